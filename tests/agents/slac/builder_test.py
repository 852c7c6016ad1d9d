import fakes
import gin
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.slac import builder


@pytest.fixture(scope="module")
def built():
    return fakes.build_agent(sequence_length=3)


def test_what_the_training_loop_reads(built):
    assert built.sequence_length == 3
    assert built.batch_size == fakes.BATCH_SIZE
    assert built.pretraining.batch_size == fakes.MODEL_BATCH_SIZE
    assert int(built.pretraining.step) == 0
    assert sorted(built.policies) == ["greedy", "stochastic"]
    assert built.agent.train_sequence_length == 4
    assert built.agent.collect_data_spec.observation["pixels"].shape == (64, 64, 3)
    assert built.agent.collect_data_spec.policy_info == ()


def test_policies_are_what_they_are_called(built):
    time_step = tf.nest.map_structure(lambda spec: tf.zeros([1, *spec.shape], spec.dtype), fakes.specs()[0])

    def actions(policy):
        state = policy.get_initial_state(1)
        return [policy.action(time_step, state).action.numpy() for _ in range(2)]

    greedy, stochastic = (actions(built.policies[name]) for name in ("greedy", "stochastic"))
    np.testing.assert_array_equal(*greedy)
    assert np.any(stochastic[0] != stochastic[1])
    np.testing.assert_allclose(greedy, actions(built.agent.policy), atol=1e-6)
    collect = actions(built.agent.collect_policy)
    assert np.any(collect[0] != collect[1])
    # The encoder is trained while the collect policy acts: its state holds frames, not their features.
    assert "frames" in built.agent.collect_policy.policy_state_spec
    assert "features" in built.policies["greedy"].policy_state_spec


def test_targets_start_as_exact_copies(built):
    critics, targets = built.agent._critics, built.agent._target_critics
    first, second = critics
    assert any(np.any(a.numpy() != b.numpy()) for a, b in zip(first.variables, second.variables))
    for critic, target in zip(critics, targets):
        assert len(critic.variables) == len(target.variables) == 4
        for a, b in zip(critic.variables, target.variables):
            assert a is not b
            np.testing.assert_array_equal(a, b)


def test_default_target_entropy_is_minus_the_number_of_actions(built):
    assert built.agent._target_entropy == -fakes.ACTION_SIZE
    assert fakes.build_agent(target_entropy=-7.5).agent._target_entropy == -7.5


def test_initial_alpha():
    agent = fakes.build_agent(initial_alpha=0.25).agent
    assert float(tf.exp(agent._log_alpha)) == pytest.approx(0.25)


@pytest.mark.parametrize(("history_length", "expected"), [(None, 3), (1, 1), (2, 2)])
def test_history_length(history_length, expected):
    agent = fakes.build_agent(sequence_length=3, history_length=history_length).agent
    assert agent.collect_policy.policy_state_spec["frames"].shape == (expected, 64, 64, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"history_length": 3}, "build_slac.history_length: 3, expected 1 to sequence_length 2"),
        ({"history_length": 0}, "build_slac.history_length: 0, expected an integer of at least 1"),
        ({"model_batch_size": 5}, "build_slac.model_batch_size: 5, expected 1 to batch_size 4"),
        ({"model_batch_size": 0}, "build_slac.model_batch_size: 0, expected an integer of at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fakes.build_agent(**settings)


def test_an_environment_without_pixels_is_refused():
    time_step_spec, action_spec = fakes.specs()
    time_step_spec = time_step_spec._replace(observation={"state": tf.TensorSpec([3], tf.float32)})
    with pytest.raises(ValueError, match=r"observation holds \['state'\], expected 'pixels'"):
        builder.build_slac(
            time_step_spec, action_spec, tf.Variable(0, dtype=tf.int64), latent_model=fakes.TwoLayerModel
        )


def test_the_latent_model_must_be_chosen():
    with pytest.raises(RuntimeError, match="latent_model"):
        builder.build_slac(*fakes.specs(), tf.Variable(0, dtype=tf.int64))
    gin.clear_config()
