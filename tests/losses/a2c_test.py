import numpy as np
import tensorflow as tf
from fakes import LAST, MID

from slac_tf.losses import a2c

GAMMA = 0.5


def returns(rewards, discounts, next_step_types, next_values, num_steps):
    rows = [tf.constant([row], dtype) for row, dtype in ((rewards, tf.float32), (discounts, tf.float32))]
    found = a2c.n_step_returns(
        *rows, tf.constant([next_step_types]), tf.constant([next_values], tf.float32), GAMMA, num_steps
    )
    return found.numpy()[0]


def test_pieces_of_two_and_a_shorter_last_one():
    found = returns([1, 2, 3, 4, 5], [1] * 5, [MID] * 5, [10, 20, 30, 40, 50], 2)
    # 1 + (2 + 20/2)/2, 2 + 20/2, 3 + (4 + 40/2)/2, 4 + 40/2, 5 + 50/2
    np.testing.assert_allclose(found, [7, 12, 15, 24, 30])


def test_a_termination_and_a_time_limit_inside():
    # Transition 1 leads to a termination, 2 is the reset, 4 leads to a time limit, 5 is the reset.
    types = [MID, LAST, MID, MID, LAST, MID, MID]
    discounts = [1, 0, 1, 1, 1, 1, 1]
    found = returns([1, 2, 100, 3, 4, 200, 5], discounts, types, [10, 20, 30, 40, 50, 60, 70], 7)
    wanted = {0: 1 + 2 / 2, 1: 2, 3: 3 + (4 + 50 / 2) / 2, 4: 4 + 50 / 2, 6: 5 + 70 / 2}
    for step, value in wanted.items():
        np.testing.assert_allclose(found[step], value)
    # Nothing of the next episode, nor of the reset, is in an earlier one's returns.
    other = returns([1, 2, -7, 3, 4, -9, 6], discounts, types, [10, 20, -3, 40, 50, -1, 7], 7)
    for step in (0, 1, 3, 4):
        np.testing.assert_allclose(other[step], wanted[step])
    # A time limit that is taken for a termination gives less.
    cut = returns([1, 2, 100, 3, 4, 200, 5], [1, 0, 1, 1, 0, 1, 1], types, [10, 20, 30, 40, 50, 60, 70], 7)
    np.testing.assert_allclose(cut[3:5], [3 + 4 / 2, 4])


def test_gradients_of_the_losses():
    log_prob, values, found = (tf.Variable([[x]]) for x in (-1.5, 3.0, 5.0))
    with tf.GradientTape(persistent=True) as tape:
        policy = a2c.policy_loss(log_prob, found, values)
        value = a2c.value_loss(found, values)
    np.testing.assert_allclose(policy, [[1.5 * 2.0]])
    np.testing.assert_allclose(tape.gradient(policy, log_prob), [[-2.0]])
    assert tape.gradient(policy, values) is None
    np.testing.assert_allclose(value, [[4.0]])
    np.testing.assert_allclose(tape.gradient(value, values), [[-4.0]])
    assert tape.gradient(value, found) is None
