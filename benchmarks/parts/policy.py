"""Latency of one action, batch 1: the policy that collects, and an exported one."""

import pathlib
import tempfile
from typing import Any, Dict

import numpy as np
import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import time_step as ts

from parts import paper_scale
from slac_tf.export import player, saved_model


def measure() -> Dict[str, Any]:
    """Milliseconds an action."""
    built = paper_scale.build()
    time_step = ts.TimeStep(
        np.asarray(1, np.int32),
        np.asarray(0.0, np.float32),
        np.asarray(1.0, np.float32),
        {"pixels": np.zeros((64, 64, 3), np.uint8)},
    )
    collect = py_tf_eager_policy.PyTFEagerPolicy(built.agent.collect_policy, use_tf_function=True)
    state = collect.get_initial_state(1)
    figures = {"collect_ms": 1e3 * paper_scale.median(lambda: collect.action(time_step, state), count=101)}
    with tempfile.TemporaryDirectory() as directory:
        manifest = {"env_step": 0, "task": "cheetah_run", "action_repeat": 4, "config": ""}
        place = saved_model.Exporter(built.policies).export({}, manifest, pathlib.Path(directory), keep=None)
        for name in ("greedy", "stochastic"):
            exported = player.ExportedPolicy(place / f"{name}_policy")
            state = exported.get_initial_state(1)
            call = lambda exported=exported, state=state: exported.action(time_step, state)  # noqa: E731
            figures[f"saved_model_{name}_ms"] = 1e3 * paper_scale.median(call, count=101)
    tf.keras.backend.clear_session()
    return figures
