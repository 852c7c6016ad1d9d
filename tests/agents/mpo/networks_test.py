import fakes
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.mpo import networks
from slac_tf.networks import representations

STATE_SIZE = 3
ACTION_SIZE = 2


def make(representation):
    critic = networks.ClippedActionCritic(STATE_SIZE, ACTION_SIZE, (6, 7))
    return networks.MpoNetworks(representation, critic, networks.GaussianActor(STATE_SIZE, ACTION_SIZE, (8,)))


@pytest.fixture(scope="module")
def made():
    tf.keras.utils.set_random_seed(0)
    return make(representations.State(tf.TensorSpec([STATE_SIZE], tf.float32)))


@pytest.fixture(scope="module")
def states():
    return tf.constant(np.random.RandomState(0).normal(size=(4, STATE_SIZE)).astype(np.float32))


def make_actor(outputs):
    """An actor whose last layer gives `outputs`: the means, then the deviations before softplus."""
    actor = networks.GaussianActor(STATE_SIZE, ACTION_SIZE, (8,))
    fakes.make_constant(actor, outputs)
    return actor


def test_the_policy_at_first(made, states):
    policy = made.actor(states)
    assert policy.loc.shape == policy.scale.shape == (4, ACTION_SIZE)
    np.testing.assert_allclose(policy.loc, np.zeros([4, 2]), atol=0.05)
    np.testing.assert_allclose(policy.scale, np.full([4, 2], 0.3), atol=0.02)
    assert np.any(policy.loc != policy.loc[:1])  # it does see the state


def test_policy_by_hand(states):
    # Deviations: 0.3 softplus(x) / softplus(0) + 1e-6, with softplus(log 3) = log 4 twice softplus(0) = log 2.
    policy = make_actor([5.0, -5.0, 0.0, np.log(3.0)])(states)
    np.testing.assert_allclose(policy.loc, [[5.0, -5.0]] * 4)
    np.testing.assert_allclose(policy.scale, [[0.300001, 0.600001]] * 4, rtol=1e-6)


def test_the_deviation_does_not_vanish(states):
    scale = make_actor([0.0, 0.0, -200.0, -200.0])(states).scale
    np.testing.assert_allclose(scale, np.full([4, 2], 1e-6))


def test_the_mode_is_the_mean(made, states):
    np.testing.assert_array_equal(made.actor.mode(states), made.actor(states).loc)


def test_samples_have_the_policys_moments(states):
    actor = make_actor([5.0, -5.0, 0.0, np.log(3.0)])
    tf.random.set_seed(0)
    samples = actor.samples(states, 5000)
    assert samples.shape == (5000, 4, ACTION_SIZE)
    np.testing.assert_allclose(np.mean(samples, axis=0), [[5.0, -5.0]] * 4, atol=0.05)
    np.testing.assert_allclose(np.std(samples, axis=0), [[0.3, 0.6]] * 4, atol=0.03)
    # Of their own: actions of a state, states and dimensions.
    noise = (samples.numpy() - [5.0, -5.0]) / [0.3, 0.6]
    correlations = np.corrcoef(noise.reshape(5000, 8), rowvar=False)
    np.testing.assert_allclose(correlations, np.eye(8), atol=0.1)
    assert actor.sample(states).shape == (4, ACTION_SIZE)


def test_the_critic_sees_clipped_actions(made, states):
    def values(action):
        return made.critic(states, tf.constant([action] * 4)).numpy()

    assert values([0.5, 0.5]).shape == (4,)
    np.testing.assert_array_equal(values([3.0, -2.0]), values([1.0, -1.0]))
    assert np.all(values([0.9, -1.0]) != values([1.0, -1.0]))
    assert np.all(values([1.0, -0.9]) != values([1.0, -1.0]))


def test_the_critic_sees_the_state(made, states):
    values = made.critic(states, tf.zeros([4, ACTION_SIZE])).numpy()
    assert len(set(values)) == 4


def test_sizes(made):
    # Weights and biases of each layer, and scale and offset of the layer normalization after the first one.
    def shapes(module):
        return sorted(tuple(v.shape) for v in module.variables)

    assert shapes(made.actor) == sorted([(3, 8), (8,), (8,), (8,), (8, 4), (4,)])
    assert shapes(made.critic) == sorted([(3, 6), (6,), (6,), (6,), (6 + 2, 7), (7,), (7, 1), (1,)])
