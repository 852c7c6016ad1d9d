import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import dpg


def gradient(action_gradients, clip_norm, actions=None):
    """∂loss/∂a and the loss."""
    action_gradients = tf.constant(action_gradients)
    actions = tf.zeros_like(action_gradients) if actions is None else tf.constant(actions)
    with tf.GradientTape() as tape:
        tape.watch(actions)
        loss = dpg.actor_loss(actions, action_gradients, clip_norm)
    return tape.gradient(loss, actions).numpy(), loss.numpy()


def test_the_gradient_is_minus_that_of_q():
    dqda = np.array([[0.3, -0.4], [0.0, 0.0], [-0.1, 0.2]], np.float32)
    result, loss = gradient(dqda, clip_norm=1.0, actions=np.full((3, 2), 0.5, np.float32))
    np.testing.assert_allclose(result, -dqda, rtol=1e-6)
    np.testing.assert_allclose(loss, [0.05, 0.0, -0.05], atol=1e-7)  # -a ∂Q/∂a


@pytest.mark.parametrize(("clip_norm", "expected"), [(1.0, (0.6, -0.8)), (2.0, (1.2, -1.6)), (9.0, (3.0, -4.0))])
def test_it_is_scaled_to_a_norm_at_the_most_state_by_state(clip_norm, expected):
    # (3, -4) has norm 5; the second state's gradient, of norm 0.1, stays whatever the first one's is.
    result, _ = gradient([[3.0, -4.0], [0.1, 0.0]], clip_norm)
    np.testing.assert_allclose(result, [[-expected[0], -expected[1]], [-0.1, 0.0]], rtol=1e-6, atol=1e-7)


def test_no_gradient_flows_into_that_of_q():
    actions, dqda = tf.constant([[0.5, 0.5]]), tf.constant([[3.0, -4.0]])
    with tf.GradientTape() as tape:
        tape.watch(dqda)
        loss = dpg.actor_loss(actions, dqda, 1.0)
    assert tape.gradient(loss, dqda) is None


def test_descent_finds_the_best_action():
    # Q = -|a - (0.3, -0.2)|², ∂Q/∂a = -2 (a - (0.3, -0.2)).
    best, action = np.array([[0.3, -0.2]], np.float32), tf.Variable([[0.9, 0.9]])
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = dpg.actor_loss(action, -2.0 * (action - best), clip_norm=1.0)
        action.assign_sub(0.1 * tape.gradient(loss, action))
    np.testing.assert_allclose(action, best, atol=1e-3)
