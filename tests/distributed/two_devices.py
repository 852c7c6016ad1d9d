"""Trains agents by `Mirrored` on two devices, and beside each a second one, alike, on one; run by replicas_test.py.

Arguments are kinds of agents, `rssm` for SLAC with PlaNet's model, `resets` for SLAC with resets of its heads, and
`sum` for SAC without the division by the number of devices, which must be noticed.
"""

import functools
import sys

import numpy as np
import tensorflow as tf

from slac_tf.distributed import replicas

STRATEGY = replicas.mirrored(2)

import small_agents  # noqa: E402
from tensorflow_probability.python.internal import samplers  # noqa: E402

from slac_tf.latent_models import heads, rssm  # noqa: E402

BATCH_SIZE = 32  # 16 + 16
# No noise: else the devices' would be another than that of one.
heads._noise = tf.zeros
samplers.normal = lambda shape, mean=0.0, stddev=1.0, dtype=tf.float32, **_: tf.zeros(shape, dtype) + mean
RSSM = functools.partial(rssm.RSSM, base_depth=1, h_size=4, s_size=3, hidden_sizes=(8,), reward_hidden_sizes=(8,))
CASES = {
    **{kind: (kind, {"target_update_period": 1} if kind[:3] in ("mpo", "d4p") else {}) for kind in small_agents.KINDS},
    "rssm": ("slac pixels", {"latent_model": RSSM}),
    "resets": ("slac pixels", {"reset_interval": 2}),
    "sum": ("sac state", {}),
}


def build(kind, settings):
    sizes = {"model_batch_size": 8} if kind.startswith("slac") else {}
    return small_agents.build(kind, batch_size=BATCH_SIZE, **sizes, **settings).agent


def check_equal_on_both(agent):
    for name, variables in small_agents.groups(agent).items():
        for variable in variables:
            first, second = STRATEGY.experimental_local_results(variable)
            np.testing.assert_array_equal(first, second, err_msg=name)


def check(name):
    """One step beside that of one device; then that a step with a bad reward on the second is skipped on both."""
    kind, settings = CASES[name]
    alone = build(kind, settings)
    with STRATEGY.scope():
        agent = build(kind, settings)
    for mirrored, variable in zip(agent.variables, alone.variables):
        mirrored.assign(variable)
    experience = small_agents.experience(alone, batch_size=BATCH_SIZE)
    weights = tf.linspace(0.5, 1.0, BATCH_SIZE) if kind.startswith("d4pg") else None
    tf.config.run_functions_eagerly(True)  # spares tracing it
    expected = alone.train(experience, weights)
    tf.config.run_functions_eagerly(False)
    if name == "sum":
        context = tf.distribute.ReplicaContext
        reduce = context.all_reduce
        context.all_reduce = lambda self, op, value, options=None: reduce(
            self, tf.distribute.ReduceOp.SUM, value, options
        )
    train = replicas.Mirrored(STRATEGY, agent.train)
    info = train(experience, weights)
    found = []
    for group, moments in small_agents.first_moments(alone).items():
        assert np.any([np.any(moment != 0) for moment in moments]), group
        for moment, other in zip(moments, small_agents.first_moments(agent)[group]):
            large = np.abs(moment) > 1e-2 * np.max(np.abs(moment))
            found.extend((other[large] / moment[large]).ravel())
    print(f"{name}: {len(found)} moments, ratio {min(found):.6f} to {max(found):.6f}")
    if name == "sum":
        return
    np.testing.assert_allclose(info.loss, expected.loss, rtol=1e-4)
    for key, value in expected.extra.items():
        np.testing.assert_allclose(info.extra[key], value, rtol=2e-4, atol=1e-5, err_msg=key)

    before = [v.numpy() for v in agent.trainable_variables]
    reward = experience.reward.numpy()
    reward[-1] = np.nan
    train(experience._replace(reward=tf.constant(reward)), weights)
    for variable, value in zip(agent.trainable_variables, before):
        for of_device in STRATEGY.experimental_local_results(variable):
            np.testing.assert_array_equal(of_device, value)
    train(experience, weights)
    assert any(np.any(v.numpy() != value) for v, value in zip(agent.trainable_variables, before))
    counts = [int(counter.numpy()) for counter in (agent.train_step_counter, agent.skipped_steps)]
    assert counts == [3, 1]
    assert [int(optimizer.iterations.numpy()) for optimizer in agent._optimizers] == [2] * len(agent._optimizers)
    check_equal_on_both(agent)


def check_resets():
    """Both devices get the same new heads."""
    kind, settings = CASES["resets"]
    with STRATEGY.scope():
        agent = build(kind, settings)
    train = replicas.Mirrored(STRATEGY, agent.train)
    experience = small_agents.experience(agent, batch_size=BATCH_SIZE)
    for num_resets in (0, 1):
        train(experience)
        assert int(agent._resets.num_resets.numpy()) == num_resets
    assert int(agent._optimizers.actor.iterations.numpy()) == 0
    check_equal_on_both(agent)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        check_resets() if each == "resets" else check(each)
