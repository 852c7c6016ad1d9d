"""Means and intervals against numbers worked by hand."""

import numpy as np
import pytest

from slac_tf.results import statistics


def test_interquartile_mean():
    # A quarter of 4 is left out at either end: (2 + 3) / 2. Of 3, nothing: (1 + 2 + 9) / 3.
    assert statistics.interquartile_mean(np.array([100.0, 2.0, 3.0, 1.0])) == 2.5
    assert statistics.interquartile_mean(np.array([9.0, 1.0, 2.0])) == 4.0
    np.testing.assert_array_equal(statistics.interquartile_mean(np.array([[0.0, 1, 2, 9], [4, 4, 4, 4]])), [1.5, 4])


def test_interval_of_two_seeds():
    # The resamples of 0 and 10 have means 0, 5, 5 and 10. The quantile q of four values stands at place 3 q:
    # 2.5 % at 0.075, between 0 and 5: 0.375; 97.5 % at 2.925, between 5 and 10: 9.625.
    assert statistics.interval(np.array([0.0, 10.0]), statistics.mean) == pytest.approx((0.375, 9.625))


def test_interval_of_three_seeds():
    # 27 resamples of 0, 3, 9. The lowest means are 0 (once), then 1 (0, 0, 3: three times); the highest 9 (once), then
    # 7 (9, 9, 3: three times). Place 26 * 0.025 = 0.65 between 0 and 1; place 25.35 between 7 and 9: 7 + 0.35 * 2.
    assert statistics.interval(np.array([0.0, 3.0, 9.0]), statistics.mean) == pytest.approx((0.65, 7.7))


def test_interval_of_many_seeds_is_that_of_a_normal_distribution():
    values = np.random.default_rng(1).normal(size=200)
    low, high = statistics.interval(values, statistics.mean)
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert (low, high) == statistics.interval(values, statistics.mean)  # the same again


def test_interval_of_one_seed():
    assert np.isnan(statistics.interval(np.array([3.0]), statistics.mean)).all()


def test_runs_of_unequal_length():
    # The second run stopped at 25, where the first has no evaluation; at 30 the first is alone.
    steps = [np.array([10, 20, 30]), np.array([10, 20, 25])]
    returns = [np.array([1.0, 2.0, 3.0]), np.array([3.0, 8.0, 9.0])]
    kept, means, lows, highs, counts = statistics.over_seeds(steps, returns, "mean")
    np.testing.assert_array_equal(kept, [10, 20, 30])
    np.testing.assert_array_equal(means, [2, 5, 3])
    np.testing.assert_array_equal(counts, [2, 2, 1])
    # As above: the width of two seeds' interval is 0.925 of their distance.
    np.testing.assert_allclose(highs[:2] - lows[:2], [0.925 * 2, 0.925 * 6])
    assert np.isnan(lows[2]) and np.isnan(highs[2])
