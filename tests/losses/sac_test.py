import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import sac


def target(**kwargs):
    settings = dict(
        reward=tf.constant([1.0, 1.0]),
        discount=tf.constant([1.0, 0.0]),
        next_qs=[tf.constant([5.0, 7.0]), tf.constant([6.0, 4.0])],
        next_log_prob=tf.constant([-2.0, 3.0]),
        alpha=tf.constant(0.5),
        gamma=0.9,
    )
    return sac.td_target(**{**settings, **kwargs})


def test_td_target_by_hand():
    # 1 + 0.9 * 1 * (min(5, 6) - 0.5 * -2) = 1 + 0.9 * 6 = 6.4; where the episode terminated the reward alone.
    np.testing.assert_allclose(target(), [6.4, 1.0], rtol=1e-6)
    # With discount 1 also there: 1 + 0.9 * (min(7, 4) - 0.5 * 3) = 1 + 0.9 * 2.5.
    np.testing.assert_allclose(target(discount=tf.ones([2])), [6.4, 3.25], rtol=1e-6)


def test_no_gradient_flows_through_the_target():
    inputs = dict(
        reward=tf.ones([2]),
        next_qs=[tf.ones([2]), 2 * tf.ones([2])],
        next_log_prob=tf.ones([2]),
        alpha=tf.constant(0.5),
    )
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = target(discount=tf.ones([2]), **inputs)
    assert all(gradient is None for gradient in tf.nest.flatten(tape.gradient(y, inputs)))


def test_critic_loss_by_hand():
    # ½ (1 - 3)² + ½ (4 - 3)² = 2.5 and ½ (0 - -1)² + ½ (-1 - -1)² = 0.5
    qs = [tf.constant([1.0, 0.0]), tf.constant([4.0, -1.0])]
    np.testing.assert_allclose(sac.critic_loss(qs, tf.constant([3.0, -1.0])), [2.5, 0.5])


def test_actor_loss_by_hand():
    qs = [tf.constant([1.0, 5.0]), tf.constant([2.0, 4.0])]
    # 0.5 * 3 - min(1, 2) = 0.5 and 0.5 * -2 - min(5, 4) = -5
    loss = sac.actor_loss(qs, tf.constant([3.0, -2.0]), tf.constant(0.5))
    np.testing.assert_allclose(loss, [0.5, -5.0])


def test_actor_loss_leaves_the_temperature_alone():
    alpha, log_prob, q = tf.constant(0.5), tf.constant([3.0]), tf.constant([1.0])
    with tf.GradientTape() as tape:
        tape.watch([alpha, log_prob, q])
        loss = sac.actor_loss([q], log_prob, alpha)
    by_alpha, by_log_prob, by_q = tape.gradient(loss, [alpha, log_prob, q])
    assert by_alpha is None
    np.testing.assert_allclose(by_log_prob, [0.5])
    np.testing.assert_allclose(by_q, [-1.0])


# The target entropy is -2. An entropy estimate -log π of -3 is under it and must raise α: gradient
# descent raises log α where the gradient, -log π - H̄ = -3 + 2 = -1, is negative.
@pytest.mark.parametrize(("log_prob", "gradient"), [(3.0, -1.0), (2.0, 0.0), (-1.0, 3.0)])
def test_alpha_loss_pulls_the_entropy_to_its_target(log_prob, gradient):
    log_alpha, log_probs = tf.Variable(0.7), tf.constant([log_prob])
    with tf.GradientTape() as tape:
        tape.watch(log_probs)
        loss = sac.alpha_loss(log_alpha, log_probs, target_entropy=-2.0)
    np.testing.assert_allclose(loss, [0.7 * gradient], rtol=1e-6)
    by_log_alpha, by_log_prob = tape.gradient(loss, [log_alpha, log_probs])
    np.testing.assert_allclose(by_log_alpha, gradient)
    assert by_log_prob is None
