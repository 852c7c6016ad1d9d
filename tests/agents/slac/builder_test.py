import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.agents.slac import builder


def test_what_is_slacs_own():
    built = fakes.build_agent()
    assert built.pretraining.batch_size == fakes.MODEL_BATCH_SIZE
    assert int(built.pretraining.step) == 0
    # Weights are frozen where these act: they can keep features instead of frames.
    assert all("features" in policy.policy_state_spec for policy in built.policies.values())


@pytest.mark.parametrize(("history_length", "expected"), [(None, 3), (1, 1), (2, 2)])
def test_history_length(history_length, expected):
    agent = fakes.build_agent(sequence_length=3, history_length=history_length).agent
    assert agent.collect_policy.policy_state_spec["frames"].shape == (expected, 64, 64, 3)


def test_transitions_that_a_window_does_not_have():
    message = r"^build_slac\.transitions_per_window: 3, expected 1 to sequence_length = 2\n"
    with pytest.raises(ValueError, match=message):
        fakes.build_agent(transitions_per_window=3)
    message = r"^build_slac\.history_length: 2, expected 1 to sequence_length \+ 1 - transitions_per_window = 1\n"
    with pytest.raises(ValueError, match=message):
        fakes.build_agent(history_length=2, transitions_per_window=2)


def test_a_history_of_the_whole_window():
    """Eq. (10) and (11) as written: the actor sees tau + 1 frames at step tau + 1."""
    length = fakes.SEQUENCE_LENGTH + 1
    with pytest.raises(ValueError, match=r"^build_slac\.history_length: 3, expected 1 to sequence_length = 2\n"):
        fakes.build_agent(history_length=length)
    with pytest.raises(ValueError, match=r"^build_slac\.history_length: 4, expected 1 to sequence_length \+ 1 = 3\n"):
        fakes.build_agent(history_length=length + 1, actor_loss_on_next_step=True)

    built = fakes.build_agent(history_length=length, actor_loss_on_next_step=True)
    before = [v.numpy() for v in built.agent._actor.variables]
    info = built.agent.train(fakes.experience())
    assert np.isfinite(info.loss) and int(info.extra["skipped_steps"]) == 0
    assert any(np.any(a != b) for a, b in zip(built.agent._actor.variables, before))
    time_step = tf.nest.map_structure(lambda spec: tf.ones([1, *spec.shape], spec.dtype), fakes.specs()[0])
    for policy in (*built.policies.values(), built.agent.collect_policy):
        state = policy.get_initial_state(1)
        assert tf.nest.flatten(state)[0].shape[1] in (length, length - 1)  # frames or features, actions
        assert policy.action(time_step, state).action.shape == (1, fakes.ACTION_SIZE)


def test_the_latent_model_must_be_chosen():
    with pytest.raises(RuntimeError, match="latent_model"):
        builder.build_slac(*fakes.specs(), tf.Variable(0, dtype=tf.int64))


@pytest.mark.parametrize("critic_layer_norm", [False, True])
def test_layer_normalization_of_critics_and_their_targets_alone(critic_layer_norm):
    agent = fakes.build_agent(critic_layer_norm=critic_layer_norm).agent
    for network in (*agent._critics, *agent._target_critics):
        assert len(network.variables) == (6 if critic_layer_norm else 4)
    assert len(agent._actor.variables) == 4
    for critic, target in zip(agent._critics, agent._target_critics):
        for a, b in zip(critic.variables, target.variables):
            np.testing.assert_array_equal(a, b)


def test_a_train_step_trains_normalized_critics(eagerly):
    agent = fakes.build_agent(critic_layer_norm=True).agent
    before = small_agents.values(agent)
    agent.train(fakes.experience())
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)
    # Scales and offsets among them; targets follow.
    for network, targets in zip(agent._critics, agent._target_critics):
        assert np.any(network._mlp._layers[1].gamma != np.ones(8))
        assert np.any(targets._mlp._layers[1].gamma != np.ones(8))
