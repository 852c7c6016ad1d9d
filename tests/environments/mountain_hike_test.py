import math

import numpy as np
import pytest

from slac_tf.environments import mountain_hike


def load(std=0.0, seed=0):
    return mountain_hike.load_mountain_hike(observation_std=std, seed=seed)


def density(x, y, mean, stds):
    return math.exp(-0.5 * (((x - mean[0]) / stds[0]) ** 2 + ((y - mean[1]) / stds[1]) ** 2)) / (
        2 * math.pi * stds[0] * stds[1]
    )


def test_heights():
    # On the third ridge, where the two others are small: 0.55 N / 3, 4 (1 - (1 - ·)⁴) - 4.5, and the slope.
    ridge = 0.55 * density(-0.375, -0.5, (-0.375, -0.5), (0.75, 0.1)) / 3
    wanted = 4 * (1 - (1 - ridge) ** 4) - 4.5 + (-0.375 - 0.5) / 4
    np.testing.assert_allclose(mountain_hike.height(np.array([-0.375, -0.5])), wanted)
    ridge = density(0.9, 0.45, (0.5, 0.5), (0.75, 0.1)) / 3
    np.testing.assert_allclose(
        mountain_hike.height(np.array([[0.9, 0.45]])), [4 * (1 - (1 - ridge) ** 4) - 4.5 + 1.35 / 4]
    )
    np.testing.assert_array_equal(mountain_hike.height(np.array([[1.01, 0.0], [0.0, -1.2]])), [-6.0, -6.0])
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, 101)] * 2), axis=-1)
    assert np.all(mountain_hike.height(places) <= -0.5 + places.sum(axis=-1) / 4)


def test_an_episode():
    environment = load()
    assert (environment.task_name, environment.episode_agent_steps) == ("mountain_hike", 75)
    step, lengths = environment.reset(), []
    np.testing.assert_allclose(step.observation["state"], -8.5, atol=5.0)
    total = 0
    while not step.is_last():
        before = step.observation["state"]
        step = environment.step(np.array([0.03, 0.04], np.float32))  # of length 0.05: the longest step
        lengths.append(step.observation["state"] - before)
        place = step.observation["state"] / 10
        np.testing.assert_allclose(step.reward, mountain_hike.height(place) - 0.1 * 0.05, atol=1e-4)
        total += 1
    assert total == 75
    assert step.discount == 1.0  # a time limit
    # Three quarters of a hundred steps of (0.3, 0.4), each with noise of 0.25.
    np.testing.assert_allclose(np.mean(lengths, axis=0), [0.3, 0.4], atol=4 * 0.25 / math.sqrt(75))
    np.testing.assert_allclose(np.std(lengths), 0.25, rtol=0.25)


def test_longer_actions_lead_no_further_but_cost_more():
    one, other = load(), load()
    for environment in (one, other):
        environment.reset()
    short = one.step(np.array([0.05, 0.0], np.float32))
    long = other.step(np.array([1.0, 1.0], np.float32))  # of length √2, in both directions
    moved = 10 * 0.05 * (np.array([math.sqrt(0.5), math.sqrt(0.5)]) - np.array([1.0, 0.0]))
    np.testing.assert_allclose(long.observation["state"] - short.observation["state"], moved, atol=1e-5)
    place = long.observation["state"] / 10
    np.testing.assert_allclose(long.reward, mountain_hike.height(place) - 0.1 * math.sqrt(2), atol=1e-4)


def test_noise_is_on_the_observation_alone():
    environment, positions, seen = load(std=3.0), [], []
    for _ in range(4):
        step = environment.reset()
        while not step.is_last():
            step = environment.step(np.zeros(2, np.float32))
            positions.append(environment.wrapped_env()._position.copy())
            seen.append(step.observation["state"])
    errors = np.array(seen) - 10 * np.array(positions)
    np.testing.assert_allclose(errors.std(), 3.0, rtol=0.1)
    np.testing.assert_allclose(errors.mean(axis=0), 0.0, atol=0.6)
    assert abs(np.corrcoef(errors[:-1, 0], errors[1:, 0])[0, 1]) < 0.2


def test_the_picture_shows_where_the_point_is():
    environment = load()
    environment.reset()
    frame = environment.render()
    rows, columns = np.nonzero(np.all(frame == (255, 0, 0), axis=-1))
    assert len(rows) == 9
    assert rows.mean() > 40  # the start is at the bottom on the left
    assert columns.mean() < 24
    assert np.std(frame[..., 1]) > 5.0


def test_seeds():
    first, same, other = (load(std=3.0, seed=seed).reset().observation["state"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


@pytest.mark.parametrize("std", [-1.0, "0", None])
def test_a_bad_standard_deviation_is_refused(std):
    with pytest.raises(ValueError, match=r"load_mountain_hike\.observation_std: .*, expected a number of at least 0"):
        load(std)
