import numpy as np
import tensorflow as tf

from slac_tf.networks import critic


def test_one_value_for_each_state_and_action():
    q = critic.Critic(3, 2, (8,))
    state, action = tf.random.normal([4, 3]), tf.random.uniform([4, 2])
    values = q(state, action)
    assert values.shape == (4,)
    np.testing.assert_allclose(q(state[2:3], action[2:3]), values[2:3], rtol=1e-5)
    assert np.any(q(state, -action) != values)
    assert np.any(q(-state, action) != values)


def test_parameters_at_the_papers_size():
    # (288 + 6) * 256 + 256, 256 * 256 + 256, 256 + 1
    assert sum(int(np.prod(v.shape)) for v in critic.Critic(288, 6).variables) == 75_520 + 65_792 + 257


def test_layer_normalization_of_its_hidden_layers():
    plain, normalized = critic.Critic(3, 2, (8, 6)), critic.Critic(3, 2, (8, 6), layer_norm=True)
    # A scale and an offset for each hidden unit.
    assert len(normalized.trainable_variables) == len(plain.trainable_variables) + 4
    state, action = tf.random.normal([4, 3]), tf.random.uniform([4, 2])
    np.testing.assert_allclose(
        normalized(1e3 * state, 1e3 * action), normalized(1e4 * state, 1e4 * action), rtol=1e-3, atol=1e-3
    )
    assert np.all(np.abs(plain(1e4 * state, 1e4 * action)) > 5 * np.abs(plain(1e3 * state, 1e3 * action)))
