"""PlaNet as its builder gives it."""

import inspect

import fakes
import pytest
import small_agents
import tensorflow as tf

STATE = tf.TensorSpec([small_agents.STATE_SIZE], tf.float32)


@pytest.fixture(scope="module")
def built():
    return small_agents.build("planet pixels")


def test_what_the_training_loop_reads(built):
    assert (built.trained_step, built.sequence_length, built.batch_size) == (None, 2, fakes.BATCH_SIZE)
    assert (built.pretraining.batch_size, built.prioritization) == (fakes.BATCH_SIZE, None)
    assert list(built.policies) == ["greedy", "stochastic"]
    assert [policy._exploration_scale for policy in built.policies.values()] == [0.0, 0.3]
    assert built.agent.policy is built.policies["greedy"]
    assert built.agent.collect_policy is built.policies["stochastic"]
    assert built.agent.collect_data_spec.policy_info == ()


def test_the_optimizer_is_that_of_the_published_code(built):
    adam = built.agent._optimizer
    assert (adam.epsilon, adam.global_clipnorm) == (1e-4, 1000.0)
    assert inspect.signature(small_agents.planet_builder.build_planet).parameters["learning_rate"].default == 1e-3


def test_a_reward_is_not_predicted_from_the_action(built):
    # [h, s] -> 8 -> 1, nothing of a second latent or an action.
    shapes = [tuple(v.shape) for v in built.reusable.module._reward.trainable_variables]
    assert sorted(shapes) == sorted([(9, 8), (8,), (8, 1), (1,)])
