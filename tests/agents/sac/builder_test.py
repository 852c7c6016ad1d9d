import functools

import fakes
import gin
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.sac import builder
from slac_tf.networks import encoders, representations

STATE_SIZE = 3
small_frame_features = functools.partial(
    representations.FrameFeatures, functools.partial(encoders.build_slac_encoder, base_depth=1), length=3
)


def state_specs():
    time_step_spec, action_spec = fakes.specs()
    return time_step_spec._replace(observation={"state": tf.TensorSpec([STATE_SIZE], tf.float32)}), action_spec


def build(kind, **kwargs):
    tf.keras.utils.set_random_seed(0)
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    settings = {"batch_size": 4, "hidden_sizes": (8,), **kwargs}
    if kind == "pixels":
        return builder.build_sac_pixels(*fakes.specs(), counter, **{"representation": small_frame_features, **settings})
    return builder.build_sac_state(*state_specs(), counter, **settings)


@pytest.fixture(scope="module")
def builts():
    return {kind: build(kind) for kind in ("pixels", "state")}


@pytest.fixture(params=["pixels", "state"])
def kind(request):
    return request.param


def critics_and_targets(kind, agent):
    if kind == "pixels":
        return agent._networks.critics, agent._networks.target_critics
    return (
        (agent._critic_network_1, agent._critic_network_2),
        (agent._target_critic_network_1, agent._target_critic_network_2),
    )


def test_what_the_training_loop_reads(builts, kind):
    built = builts[kind]
    assert built.sequence_length == {"pixels": 3, "state": 1}[kind]
    assert built.batch_size == 4
    assert sorted(built.policies) == ["greedy", "stochastic"]
    # Nothing is trained before the task, the last transition is, and replay is sampled uniformly.
    assert built[4:] == (None,) * 5
    assert built.agent.train_sequence_length == built.sequence_length + 1
    observation = built.agent.collect_data_spec.observation
    assert {name: spec.shape.as_list() for name, spec in observation.items()} == {
        "pixels": {"pixels": [64, 64, 3]},
        "state": {"state": [STATE_SIZE]},
    }[kind]
    assert built.agent.collect_data_spec.policy_info == ()
    assert int(built.agent.train_step_counter) == 0


def test_policies_are_what_they_are_called(builts, kind):
    built = builts[kind]
    specs = (fakes.specs() if kind == "pixels" else state_specs())[0]
    time_step = tf.nest.map_structure(lambda spec: tf.ones([1, *spec.shape], spec.dtype), specs)

    def actions(policy):
        state = policy.get_initial_state(1)
        return [policy.action(time_step, state).action.numpy() for _ in range(2)]

    greedy, stochastic = (actions(built.policies[name]) for name in ("greedy", "stochastic"))
    np.testing.assert_array_equal(*greedy)
    assert np.any(stochastic[0] != stochastic[1])
    np.testing.assert_allclose(greedy[0], actions(built.agent.policy)[0] if kind == "pixels" else greedy[1], atol=1e-6)
    collect = actions(built.agent.collect_policy)
    assert np.any(collect[0] != collect[1])


def test_policies_see_the_agents_weights(builts, kind):
    agent, policy = builts[kind].agent, builts[kind].policies["greedy"]
    actor = agent._networks.actor if kind == "pixels" else agent._actor_network
    assert {v.ref() for v in policy.variables()} >= {v.ref() for v in actor.trainable_variables}


def test_targets_start_as_exact_copies(builts, kind):
    critics, targets = critics_and_targets(kind, builts[kind].agent)
    first, second = critics
    assert any(np.any(a.numpy() != b.numpy()) for a, b in zip(first.variables, second.variables))
    for critic, target in zip(critics, targets):
        assert len(critic.variables) == len(target.variables) == 4
        for a, b in zip(critic.variables, target.variables):
            assert a is not b
            np.testing.assert_array_equal(a, b)


def test_target_entropy(builts, kind):
    assert builts[kind].agent._target_entropy == -fakes.ACTION_SIZE
    assert build(kind, target_entropy=-7.5).agent._target_entropy == -7.5


def test_initial_alpha(builts, kind):
    assert float(builts[kind].agent._log_alpha) == 0.0
    assert float(tf.exp(build(kind, initial_alpha=0.25).agent._log_alpha)) == pytest.approx(0.25)


def test_learning_rates_and_the_rest_reach_the_agent(kind):
    agent = build(
        kind,
        critic_learning_rate=0.1,
        actor_learning_rate=0.2,
        alpha_learning_rate=0.3,
        gamma=0.9,
        target_update_tau=0.25,
    ).agent
    rates = [float(getattr(agent, f"_{name}_optimizer").learning_rate) for name in ("critic", "actor", "alpha")]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3])
    assert agent._gamma == 0.9
    if kind == "pixels":
        assert agent._target_update_tau == 0.25  # of TF-Agents' agent, agent_test.py holds the update itself to it


@pytest.mark.parametrize(("encoder", "size"), [("slac", 8), ("strided", 64), ("control_suite", 841), ("max_pool", 256)])
def test_encoders_are_chosen_by_gin(encoder, size):
    gin.parse_config(
        f"build_{encoder}_encoder.base_depth = 1\nFrameFeatures.encoder = @build_{encoder}_encoder\n"
        "FrameFeatures.length = 2\n"
    )
    built = build("pixels", representation=representations.FrameFeatures)
    assert built.sequence_length == 2
    seen = built.agent._networks.representation
    assert seen.size == 2 * size
    assert built.agent._networks.actor.variables[0].shape[0] == 2 * size
    assert built.agent._networks.critics[0].variables[0].shape[0] == 2 * size + fakes.ACTION_SIZE
    assert built.policies["greedy"].policy_state_spec["history"].shape == (2, 64, 64, 3)


def test_the_default_is_slacs_encoder_on_four_frames():
    built = build("pixels", representation=representations.FrameFeatures)
    assert built.sequence_length == 4
    assert built.agent._networks.representation.size == 4 * 256


@pytest.mark.parametrize(
    "observation",
    [
        {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)},
        {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8), "state": tf.TensorSpec([STATE_SIZE])},
    ],
    ids=["pixels", "both"],
)
def test_sac_from_state_refuses_pixels(observation):
    time_step_spec, action_spec = fakes.specs()
    names = ", ".join(repr(name) for name in sorted(observation))
    with pytest.raises(ValueError, match=rf"build_sac_state: observation holds \[{names}\], expected 'state' alone"):
        builder.build_sac_state(
            time_step_spec._replace(observation=observation), action_spec, tf.Variable(0, dtype=tf.int64)
        )


def test_sac_from_pixels_refuses_other_observations():
    time_step_spec, action_spec = fakes.specs()
    for observation, message in (
        ({"pixels": tf.TensorSpec([84, 84, 3], tf.uint8)}, r"frames of shape \[84, 84, 3\]"),
        ({"touch": tf.TensorSpec([2])}, r"observation holds \['touch'\], expected 'pixels' or 'state'"),
    ):
        with pytest.raises(ValueError, match=message):
            builder.build_sac_pixels(
                time_step_spec._replace(observation=observation), action_spec, tf.Variable(0, dtype=tf.int64)
            )


def test_sac_from_pixels_sees_the_state_where_there_are_no_pixels():
    built = builder.build_sac_pixels(*state_specs(), tf.Variable(0, dtype=tf.int64), hidden_sizes=(8,))
    assert built.sequence_length == 1
    assert isinstance(built.agent._networks.representation, representations.State)
    assert built.policies["greedy"].policy_state_spec == ()
