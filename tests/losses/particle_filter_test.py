import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import particle_filter


def copies(weights, offsets):
    """How often each particle goes on, `[offsets, K]`."""
    weights = tf.constant(np.broadcast_to(weights, (len(offsets), len(weights))), tf.float32)
    indices = particle_filter.systematic_indices(weights, tf.constant(offsets, tf.float32)).numpy()
    assert np.all(np.diff(indices) >= 0)
    return np.array([np.bincount(row, minlength=weights.shape[1]) for row in indices])


def check_floor_or_ceiling(found, wanted):
    assert np.all(found >= np.floor(wanted - 1e-4))
    assert np.all(found <= np.ceil(wanted + 1e-4))


@pytest.mark.parametrize("num_particles", [1, 2, 7, 15])
def test_copies_are_floor_or_ceiling_and_right_in_the_mean(num_particles):
    weights = np.random.RandomState(num_particles).dirichlet(np.full(num_particles, 0.5))
    offsets = (np.arange(4000) + 0.5) / 4000
    found = copies(weights, offsets)
    wanted = num_particles * weights
    check_floor_or_ceiling(found, wanted)
    np.testing.assert_allclose(found.mean(axis=0), wanted, atol=2e-3)
    np.testing.assert_array_equal(found.sum(axis=1), num_particles)


def test_the_check_refuses_independent_draws():
    """Multinomial resampling has the same mean and a larger spread."""
    weights = np.array([0.5, 0.3, 0.2])
    with pytest.raises(AssertionError):
        check_floor_or_ceiling(np.random.RandomState(0).multinomial(3, weights, 1000), 3 * weights)


def test_equal_weights_let_all_go_on_and_a_single_one_alone():
    np.testing.assert_array_equal(copies(np.full(4, 0.25), [0.01, 0.5, 0.99]), np.ones((3, 4)))
    np.testing.assert_array_equal(copies(np.array([0.0, 1.0, 0.0]), [0.0, 0.5, 0.999]), [[0, 3, 0]] * 3)


def test_an_offset_belongs_to_its_row():
    # Positions u/2 and (u + 1)/2 against a boundary at 0.2: the first is below it where u < 0.4.
    weights = tf.constant([[0.2, 0.8], [0.2, 0.8]])
    found = particle_filter.systematic_indices(weights, tf.constant([0.3, 0.5]))
    np.testing.assert_array_equal(found, [[0, 1], [1, 1]])


def test_weights_and_their_mean():
    log_weights = particle_filter.step_log_weights(tf.constant([1.0]), tf.constant([5.0]), tf.constant([20.0]))
    np.testing.assert_allclose(log_weights, [16.0])
    found = particle_filter.log_mean_exp(tf.math.log([[1.0, 3.0], [2.0, 2.0]]))
    np.testing.assert_allclose(found, np.log([2.0, 2.0]), rtol=1e-6)
    np.testing.assert_allclose(particle_filter.log_mean_exp(tf.fill([1, 3], -1e4)), [-1e4])  # no underflow
