import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.d4pg import networks
from slac_tf.networks import representations

ACTION_SIZE = 2
SUPPORT = tf.linspace(-2.0, 2.0, 5)


@pytest.fixture(scope="module")
def nets():
    state = representations.State(tf.TensorSpec([3], tf.float32))
    critic = networks.CategoricalCritic(3, ACTION_SIZE, (8, 6), SUPPORT)
    return networks.D4pgNetworks(state, critic, networks.DeterministicActor(3, ACTION_SIZE, (8, 6)))


def test_shapes(nets):
    seen, actions = tf.ones([4, 3]), tf.zeros([4, ACTION_SIZE])
    assert nets.actor(seen).shape == (4, ACTION_SIZE)
    assert nets.critic(seen, actions).shape == (4, 5)
    assert nets.critic.mean(seen, actions).shape == (4,)


def test_the_actor_begins_in_the_middle(nets):
    # However far off the states are: the first layer is normalized, the last one almost zero.
    actions = nets.actor(tf.constant(100 * np.random.RandomState(0).normal(size=(50, 3)), tf.float32))
    assert 0 < np.max(np.abs(actions)) < 0.1


def test_actions_are_within_their_bounds():
    actor = networks.DeterministicActor(3, ACTION_SIZE, (8,))
    actor._mlp._layers[-1].bias.assign([50.0, -50.0])
    np.testing.assert_allclose(actor(tf.ones([1, 3])), [[1.0, -1.0]])


def test_the_mean_is_that_of_the_distribution(nets):
    seen, actions = tf.random.normal([4, 3]), tf.random.uniform([4, ACTION_SIZE], -1, 1)
    probabilities = tf.nn.softmax(nets.critic(seen, actions)).numpy()
    np.testing.assert_allclose(nets.critic.mean(seen, actions), probabilities @ SUPPORT.numpy(), atol=1e-6)


@pytest.mark.parametrize("hidden_sizes", [(8,), (8, 6)])
def test_the_critic_sees_what_is_seen_and_the_action(hidden_sizes):
    critic = networks.CategoricalCritic(3, ACTION_SIZE, hidden_sizes, SUPPORT)
    inputs = [tf.random.normal([4, 3]), tf.random.uniform([4, ACTION_SIZE], -1, 1)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        q = critic.mean(*inputs)
    for gradient in tape.gradient(q, inputs):
        assert np.all(np.any(gradient.numpy() != 0, axis=-1))
