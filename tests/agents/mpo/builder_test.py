import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.mpo import builder
from slac_tf.networks import encoders, representations

STATE_SIZE = 3
LENGTH = 2  # frames
NUM_STEPS = 2


def build(observation="pixels", **kwargs):
    """A small agent on pixels, on state, or on an observation spec."""
    time_step_spec, action_spec = fakes.specs()
    if observation == "state":
        observation = {"state": tf.TensorSpec([STATE_SIZE], tf.float32)}
    if observation != "pixels":
        time_step_spec = time_step_spec._replace(observation=observation)
    encoder = functools.partial(encoders.build_control_suite_encoder, base_depth=1)
    settings = dict(
        representation=functools.partial(representations.StackedFrames, encoder=encoder, length=LENGTH),
        pixel_layer_size=5,
        batch_size=fakes.BATCH_SIZE,
        actor_hidden_sizes=(8,),
        critic_hidden_sizes=(8,),
        num_samples=3,
        num_steps=NUM_STEPS,
    )
    settings.update(kwargs)
    tf.keras.utils.set_random_seed(0)
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    return builder.build_mpo(time_step_spec, action_spec, counter, **settings)


@pytest.fixture(scope="module")
def of_pixels():
    return build()


@pytest.fixture(scope="module")
def of_state():
    return build("state")


@pytest.mark.parametrize(("name", "length"), [("of_pixels", LENGTH), ("of_state", 1)])
def test_what_the_training_loop_reads(request, name, length):
    built = request.getfixturevalue(name)
    # A window holds H + n steps, that is H + n - 1 transitions; the first n of them with a whole history are summed.
    assert built.sequence_length == length + NUM_STEPS - 1
    assert built.trained_step == length - 1
    assert built.agent.train_sequence_length == length + NUM_STEPS
    assert built.batch_size == fakes.BATCH_SIZE
    assert sorted(built.policies) == ["greedy", "stochastic"]
    assert built.agent.collect_data_spec.policy_info == ()
    assert built.pretraining is built.report is built.representation is built.prioritization is None
    assert int(built.agent.train_step_counter) == 0


def test_what_replay_stores(of_pixels, of_state):
    assert of_pixels.agent.collect_data_spec.observation["pixels"].shape == (64, 64, 3)
    assert list(of_state.agent.collect_data_spec.observation) == ["state"]


def test_the_policys_state_holds_frames_only_where_several_are_seen(of_pixels, of_state):
    history = of_pixels.agent.collect_policy.policy_state_spec["history"]
    assert history.shape == (LENGTH, 64, 64, 3)
    assert history.dtype == tf.uint8  # the encoder is trained while the policy acts
    assert of_state.agent.collect_policy.policy_state_spec == ()


@pytest.mark.parametrize("name", ["of_pixels", "of_state"])
def test_policies_are_what_they_are_called(request, name):
    built = request.getfixturevalue(name)
    spec = built.agent.time_step_spec
    time_step = tf.nest.map_structure(lambda spec: tf.zeros([1, *spec.shape], spec.dtype), spec)

    def actions(policy):
        state = policy.get_initial_state(1)
        return [policy.action(time_step, state).action.numpy() for _ in range(2)]

    greedy, stochastic = (actions(built.policies[name]) for name in ("greedy", "stochastic"))
    np.testing.assert_array_equal(*greedy)
    assert np.any(stochastic[0] != stochastic[1])
    np.testing.assert_array_equal(greedy, actions(built.agent.policy))
    collect = actions(built.agent.collect_policy)
    assert np.any(collect[0] != collect[1])
    assert np.all(np.abs([*stochastic, *collect]) < 1.0 + 1e-6)


def test_actions_are_clipped():
    built = build("state")
    fakes.make_constant(built.agent._networks.actor, [5.0, -5.0, 0.0, 0.0])
    spec = built.agent.time_step_spec
    time_step = tf.nest.map_structure(lambda spec: tf.zeros([2, *spec.shape], spec.dtype), spec)
    for policy in built.policies.values():
        np.testing.assert_array_equal(policy.action(time_step).action, [[1.0, -1.0]] * 2)


@pytest.mark.parametrize("name", ["of_pixels", "of_state"])
def test_targets_start_as_exact_copies(request, name):
    agent = request.getfixturevalue(name).agent
    networks, targets = agent._networks.variables, agent._target.variables
    assert len(networks) == len(targets) == {"of_pixels": 4 + 8 + 8, "of_state": 6 + 6}[name]
    assert not {v.ref() for v in networks} & {v.ref() for v in targets}
    for a, b in zip(networks, targets):
        np.testing.assert_array_equal(a, b)


def test_pixels_have_a_layer_of_their_own_in_actor_and_critic(of_pixels, of_state):
    def first_layers(built):
        return [tuple(module._mlp._first.kernel.shape) for module in (built.agent._networks[1:])]

    # 31 by 31 after the first convolution, 29 by 29 after the second.
    assert first_layers(of_pixels) == [(29 * 29, 5)] * 2
    assert first_layers(of_state) == [(STATE_SIZE, 8)] * 2


def test_pixels_are_preferred_to_the_state():
    observation = {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8), "state": tf.TensorSpec([STATE_SIZE], tf.float32)}
    assert build(observation).agent._networks.representation.observation == "pixels"


def test_an_environment_with_neither_pixels_nor_state_is_refused():
    with pytest.raises(ValueError, match=r"observation holds \['touch'\], expected 'pixels' or 'state'"):
        build({"touch": tf.TensorSpec([3], tf.float32)})


def test_frames_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"frames of shape \[84, 84, 3\], expected \[64, 64, 3\]"):
        build({"pixels": tf.TensorSpec([84, 84, 3], tf.uint8)})
