"""Trains each agent, SLAC with PlaNet's model too, by `Mirrored` on two devices, and beside it one alike on one.

Run by replicas_test.py. An argument leaves the division by the number of devices away, which must be noticed.
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


def ratios(kind, wrong, **settings):
    """First moments of two devices over those of one, where these are not small."""
    settings["batch_size"] = BATCH_SIZE
    if kind.startswith("slac"):
        settings["model_batch_size"] = 8
    alone = small_agents.build(kind, **settings).agent
    with STRATEGY.scope():
        agent = small_agents.build(kind, **settings).agent
    for mirrored, variable in zip(agent.variables, alone.variables):
        mirrored.assign(variable)
    experience = small_agents.experience(alone, batch_size=BATCH_SIZE)
    weights = tf.linspace(0.5, 1.0, BATCH_SIZE) if kind.startswith("d4pg") else None
    expected = alone.train(experience, weights)
    if wrong:
        context = tf.distribute.ReplicaContext
        reduce = context.all_reduce
        context.all_reduce = lambda self, op, value, options=None: reduce(
            self, tf.distribute.ReduceOp.SUM, value, options
        )
    info = replicas.Mirrored(STRATEGY, agent.train)(experience, weights)
    if not wrong:
        np.testing.assert_allclose(info.loss, expected.loss, rtol=1e-4)
        for name, value in expected.extra.items():
            np.testing.assert_allclose(info.extra[name], value, rtol=2e-4, atol=1e-5, err_msg=f"{kind} {name}")
    found = []
    for name, moments in small_agents.first_moments(alone).items():
        for moment, other in zip(moments, small_agents.first_moments(agent)[name]):
            large = np.abs(moment) > 1e-2 * np.max(np.abs(moment))
            found.extend((other[large] / moment[large]).ravel())
    return np.array(found)


if __name__ == "__main__":
    wrong = len(sys.argv) > 1
    model = functools.partial(rssm.RSSM, base_depth=1, h_size=4, s_size=3, hidden_sizes=(8,), reward_hidden_sizes=(8,))
    more = {"SLAC with RSSM": ("slac pixels", {"latent_model": model})}
    for name, (kind, settings) in {**{kind: (kind, {}) for kind in small_agents.ONE_OF_EACH}, **more}.items():
        if wrong and kind != "sac state":
            continue
        found = ratios(kind, wrong, **settings)
        print(f"{name}: {len(found)} moments, ratio {found.min():.6f} to {found.max():.6f}")
