"""Trains each agent on two devices, and beside it a second one, alike, on one; run by base_test.py."""

import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import small_agents  # noqa: E402
from tensorflow_probability.python.internal import samplers  # noqa: E402

from slac_tf.latent_models import heads  # noqa: E402

HALF = 2  # sequences of each replica
# No noise: else the replicas' would be another than that of one.
heads._noise = tf.zeros
samplers.normal = lambda shape, mean=0.0, stddev=1.0, dtype=tf.float32, **_: tf.zeros(shape, dtype) + mean


def halves(strategy, experience):
    """The first sequences to the first replica, the others to the second one."""

    def of(context):
        begin = HALF * context.replica_id_in_sync_group
        return tf.nest.map_structure(lambda x: x[begin : begin + HALF], experience)

    return strategy.experimental_distribute_values_from_function(of)


def with_nan(experience):
    """Spoils a reward of the second replica's alone."""
    reward = experience.reward.numpy()
    reward[-1] = np.nan
    return experience._replace(reward=tf.constant(reward))


def check(strategy, kind):
    # The model loss takes all sequences of a replica, and so of the batch.
    settings = {"model_batch_size": 2 * HALF} if "slac" in kind else {"target_update_period": 1}
    settings = {} if "sac" in kind.split() else settings
    alone = small_agents.build(kind, **settings).agent
    with strategy.scope():
        agent = small_agents.build(kind, **settings).agent
    for mirrored, variable in zip(agent.variables, alone.variables):
        mirrored.assign(variable)
    train = tf.function(lambda experience: strategy.run(agent.train, args=(experience,)))

    experience = small_agents.experience(alone, batch_size=2 * HALF)
    expected = alone.train(experience)
    info = train(halves(strategy, experience))
    for name, moments in small_agents.first_moments(alone).items():
        assert np.any([np.any(moment != 0) for moment in moments]), (kind, name)
        for found, moment in zip(small_agents.first_moments(agent)[name], moments):
            scale = max(1e-8, np.max(np.abs(moment)))  # sums in another order
            np.testing.assert_allclose(found, moment, rtol=1e-3, atol=1e-3 * scale, err_msg=f"{kind} {name}")
    for name, value in expected.extra.items():
        if name.endswith("_gradient_norm"):
            for of_replica in strategy.experimental_local_results(info.extra[name]):
                np.testing.assert_allclose(of_replica, value, rtol=1e-3, err_msg=f"{kind} {name}")

    # A step with one bad reward is skipped on both replicas.
    weights = [v.numpy() for v in agent.trainable_variables]
    train(halves(strategy, with_nan(experience)))
    for variable, value in zip(agent.trainable_variables, weights):
        for of_replica in strategy.experimental_local_results(variable):
            np.testing.assert_array_equal(of_replica, value)
    train(halves(strategy, experience))
    assert any(np.any(v.numpy() != value) for v, value in zip(agent.trainable_variables, weights))
    assert int(agent.train_step_counter.numpy()) == 3, kind
    assert int(agent.skipped_steps.numpy()) == 1, kind
    assert [int(optimizer.iterations.numpy()) for optimizer in agent._optimizers] == [2] * len(agent._optimizers), kind
    for name, variables in small_agents.groups(agent).items():
        for variable in variables:
            first, second = strategy.experimental_local_results(variable)
            np.testing.assert_array_equal(first, second, err_msg=f"{kind} {name}")


def check_resets(strategy):
    """Both replicas get the same new heads."""
    with strategy.scope():
        agent = small_agents.build("slac pixels", model_batch_size=2 * HALF, reset_interval=2).agent
    train = tf.function(lambda experience: strategy.run(agent.train, args=(experience,)))
    experience = halves(strategy, small_agents.experience(agent, batch_size=2 * HALF))
    for num_resets in (0, 1):
        train(experience)
        assert int(agent._resets.num_resets.numpy()) == num_resets
    assert int(agent._optimizers.actor.iterations.numpy()) == 0
    for name, variables in small_agents.groups(agent).items():
        for variable in variables:
            first, second = strategy.experimental_local_results(variable)
            np.testing.assert_array_equal(first, second, err_msg=name)
            assert name not in ("critic", "actor") or variable.shape.rank > 1 or not np.any(first)


if __name__ == "__main__":
    mirrored_strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for each in small_agents.ONE_OF_EACH:
        check(mirrored_strategy, each)
    check_resets(mirrored_strategy)
