import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.sac import networks
from slac_tf.networks import encoders, representations

STATE_SIZE = 3


@pytest.fixture(scope="module")
def of_pixels():
    encoder = functools.partial(encoders.build_slac_encoder, base_depth=1)
    return networks.make_pixel_networks(representations.FrameFeatures(encoder, length=2), fakes.ACTION_SIZE, (8, 4))


@pytest.fixture(scope="module")
def of_state():
    spec = {"state": tf.TensorSpec([STATE_SIZE], tf.float32)}
    nets = networks.make_state_networks(spec, fakes.specs()[1], (8, 4))
    for net in (*nets.critics, nets.actor):
        net.create_variables()
    return nets


def shapes(module):
    return [tuple(v.shape) for v in module.trainable_variables if v.shape.rank == 2]


def test_shapes_from_pixels(of_pixels):
    size = 2 * 8  # frames of 8 features
    for critic in (*of_pixels.critics, *of_pixels.target_critics):
        assert shapes(critic) == [(size + fakes.ACTION_SIZE, 8), (8, 4), (4, 1)]
    assert shapes(of_pixels.actor) == [(size, 8), (8, 4), (4, 2 * fakes.ACTION_SIZE)]
    assert (len(of_pixels.critics), len(of_pixels.target_critics)) == (2, 2)


def test_no_variable_is_shared_from_pixels(of_pixels):
    modules = (*of_pixels.critics, *of_pixels.target_critics, of_pixels.actor, of_pixels.representation)
    variables = [v.ref() for module in modules for v in module.variables]
    assert len(variables) == len(set(variables)) == 4 * 6 + 6 + 10


def test_shapes_from_state(of_state):
    for critic in of_state.critics:
        assert shapes(critic) == [(STATE_SIZE + fakes.ACTION_SIZE, 8), (8, 4), (4, 1)]
    assert shapes(of_state.actor) == [(STATE_SIZE, 8), (8, 4), (4, 2 * fakes.ACTION_SIZE)]
    first, second = of_state.critics
    assert np.any(first.trainable_variables[0].numpy() != second.trainable_variables[0].numpy())


def test_initial_weights_from_state_are_glorot_uniform():
    spec = {"state": tf.TensorSpec([60], tf.float32)}
    nets = networks.make_state_networks(spec, fakes.specs()[1], (50, 40))
    for net in (*nets.critics, nets.actor):
        net.create_variables()
        for variable in net.trainable_variables:
            if variable.shape.rank == 1:
                assert not np.any(variable)
            else:
                limit = np.sqrt(6 / sum(variable.shape))
                assert 0.85 * limit < np.max(np.abs(variable)) <= limit


def test_layers_from_state_begin_with_weights_of_their_own():
    spec = {"state": tf.TensorSpec([50], tf.float32)}
    nets = networks.make_state_networks(spec, fakes.specs()[1], (50, 50))
    for net in (*nets.critics, nets.actor):
        net.create_variables()
        kernels = [v.numpy() for v in net.trainable_variables if v.shape == (50, 50)]
        for i, kernel in enumerate(kernels):
            for other in kernels[:i]:
                assert not np.allclose(kernel, other), net.name


def set_projection(actor, outputs):
    fakes.fill(actor)
    actor.trainable_variables[-1].assign(outputs)  # the projection's bias


@pytest.mark.parametrize(("log_std", "expected"), [(0.5, np.exp(0.5)), (5.0, np.exp(2.0)), (-30.0, np.exp(-20.0))])
def test_distribution_from_state_is_the_projects_own(of_pixels, of_state, log_std, expected):
    """A tanh of a Gaussian with standard deviation exp(clip(·, -20, 2)), of TF-Agents' network and of the project's."""
    outputs = [0.3, -0.4, log_std, log_std]
    set_projection(of_state.actor, outputs)
    fakes.make_constant(of_pixels.actor, outputs)
    theirs = of_state.actor({"state": tf.zeros([1, STATE_SIZE])}, step_type=(), network_state=())[0]
    ours = of_pixels.actor(tf.zeros([1, 16]))
    np.testing.assert_allclose(theirs.mode(), np.tanh([[0.3, -0.4]]), rtol=1e-5)
    np.testing.assert_allclose(theirs.input_distribution.stddev(), [[expected] * 2], rtol=1e-5)
    actions = tf.constant([[0.5, -0.2]])
    np.testing.assert_allclose(theirs.log_prob(actions), ours.log_prob(actions), rtol=1e-4)


def test_critics_from_state_have_relu_and_a_linear_output(of_state):
    critic = of_state.critics[0]
    weights = [v for v in critic.trainable_variables]
    for v in weights:
        v.assign(tf.fill(v.shape, 1.0 if v.shape.rank == 2 else 0.0))
    weights[-1].assign([-0.5])

    def q(state, action):
        return critic(({"state": tf.constant([state])}, tf.constant([action])), step_type=())[0]

    # The sum of state and action, 8 and then 4 times.
    np.testing.assert_allclose(q([1.0, 2.0, 3.0], [0.5, -0.25]), [6.25 * 8 * 4 - 0.5], rtol=1e-6)
    np.testing.assert_allclose(q([-1.0, -2.0, -3.0], [0.5, -0.25]), [-0.5], rtol=1e-6)
