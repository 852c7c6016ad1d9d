import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.losses import n_step

GAMMA = 0.5  # powers of it are exact


def returns(rewards, discounts, next_step_types, gamma=GAMMA):
    """Of one window, as numbers."""
    result = n_step.n_step(
        tf.constant([rewards], tf.float32),
        tf.constant([discounts], tf.float32),
        tf.constant([next_step_types], tf.int32),
        gamma,
    )
    assert all(tensor.shape == (1,) for tensor in result)
    assert [tensor.dtype for tensor in result] == [tf.float32, tf.float32, tf.int32]
    return tuple(float(tensor[0]) for tensor in result)


@pytest.mark.parametrize(
    ("rewards", "discounts", "next_step_types", "expected"),
    [
        # No end: 1 + 2/2 + 4/4 = 3; what follows counts by 1/8.
        ((1, 2, 4), (1, 1, 1), (MID, MID, MID), (3, 1 / 8, 3)),
        # The second transition terminates: 1 + 2/2 = 2 and nothing follows. The third is the reset, of reward 0.
        ((1, 2, 0), (1, 0, 1), (MID, LAST, FIRST), (2, 0, 2)),
        # The second transition ends by a time limit: the same return, and the LAST step's value counts by 1/4.
        ((1, 2, 0), (1, 1, 1), (MID, LAST, FIRST), (2, 1 / 4, 2)),
        # The first transition ends the episode, by termination and by time limit.
        ((1, 0, 4), (0, 1, 1), (LAST, FIRST, MID), (1, 0, 1)),
        ((1, 0, 4), (1, 1, 1), (LAST, FIRST, MID), (1, 1 / 2, 1)),
        # The last one does: all three rewards count.
        ((1, 2, 4), (1, 1, 0), (MID, MID, LAST), (3, 0, 3)),
        ((1, 2, 4), (1, 1, 1), (MID, MID, LAST), (3, 1 / 8, 3)),
        # The next episode has no part, neither its rewards (100) nor its own end (discount 0).
        ((1, 2, 0, 100), (1, 1, 1, 0), (MID, LAST, FIRST, LAST), (2, 1 / 4, 2)),
        ((1, 0, 100, 100), (1, 1, 0, 1), (LAST, FIRST, LAST, FIRST), (1, 1 / 2, 1)),
        # Nor has a reward that a reset might have.
        ((1, 2, 100), (1, 1, 1), (MID, LAST, FIRST), (2, 1 / 4, 2)),
        # The environment's discounts 1/2, 1/4, 1/2: 1 + (1/2 * 1/2) * 4 + (1/4 * 1/2 * 1/4) * 32 = 1 + 1 + 1 = 3;
        # what follows: 1/32 * (1/2 * 1/2) = 1/128.
        ((1, 4, 32), (1 / 2, 1 / 4, 1 / 2), (MID, MID, MID), (3, 1 / 128, 3)),
        # The same, cut off by a time limit after two: 1 + 1, and 1/4 * (1/2 * 1/4) = 1/32.
        ((1, 4, 32), (1 / 2, 1 / 4, 1 / 2), (MID, LAST, FIRST), (2, 1 / 32, 2)),
        # A discount of 0 without an end, as an environment may have it: later rewards count by 0.
        ((1, 2, 4), (0, 1, 1), (MID, MID, MID), (1, 0, 3)),
        # One step: the usual target, r + γ d V(s').
        ((3,), (1,), (MID,), (3, 1 / 2, 1)),
        ((3,), (0,), (LAST,), (3, 0, 1)),
        ((3,), (1,), (LAST,), (3, 1 / 2, 1)),
    ],
)
def test_by_hand(rewards, discounts, next_step_types, expected):
    assert returns(rewards, discounts, next_step_types) == expected


def brute_force(rewards, discounts, next_step_types, gamma):
    total, factor, steps = 0.0, 1.0, 0
    for reward, discount, next_step_type in zip(rewards, discounts, next_step_types):
        total += factor * reward
        factor *= gamma * discount
        steps += 1
        if next_step_type == LAST:
            break
    return total, factor, steps


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_against_a_loop(num_steps):
    random = np.random.RandomState(num_steps)
    shape = (200, num_steps)
    rewards = random.normal(size=shape).astype(np.float32)
    discounts = random.choice([0.0, 0.3, 1.0], shape, p=[0.1, 0.3, 0.6]).astype(np.float32)
    next_step_types = random.choice([FIRST, MID, LAST], shape, p=[0.1, 0.7, 0.2]).astype(np.int32)
    result = n_step.n_step(tf.constant(rewards), tf.constant(discounts), tf.constant(next_step_types), 0.9)
    expected = [brute_force(*window, 0.9) for window in zip(rewards, discounts, next_step_types)]
    for actual, wanted in zip(result, zip(*expected)):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)


def test_returns_of_a_window_do_not_hang_on_the_others():
    rewards = tf.constant([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    types = tf.constant([[MID, MID, MID], [LAST, FIRST, MID]])
    result = n_step.n_step(rewards, tf.ones([2, 3]), types, GAMMA)
    np.testing.assert_array_equal(result.returns, [3, 1])
    np.testing.assert_array_equal(result.discount, [1 / 8, 1 / 2])
    np.testing.assert_array_equal(result.steps, [3, 1])
