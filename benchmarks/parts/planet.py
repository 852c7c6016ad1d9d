"""PlaNet: a train step and the plan of an action beside their arithmetic, at the paper's size and the quickstart's."""

import functools
import time
from typing import Any, Callable, Dict

import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from parts import paper_scale
from slac_tf.planning import cem

_FILES = {
    "paper": ("gin_configs/cheetah_run.gin", "gin_configs/agents/planet.gin"),
    "small": ("gin_configs/quickstart_planet.gin",),
}
_COUNTS = {"paper": 3, "small": 11}


def _figures(call: Callable[[], Any], count: int, gflop: float) -> Dict[str, float]:
    """Of a call: seconds, seconds of all cores, which a busy machine changes less, and its arithmetic."""
    for _ in range(2):
        call()
    begin, times = time.process_time(), paper_scale.seconds(call, count, 0)
    cpu_seconds = (time.process_time() - begin) / count
    seconds = sorted(times)[count // 2]
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "gflop": gflop, "gflop_a_cpu_second": gflop / cpu_seconds}


def _plan(built: Any) -> "tuple[Callable[[], Any], float]":
    """A call that plans an action, and its arithmetic, of which the values of all candidates are nearly all."""
    policy, settings = built.policies["greedy"], cem.CemSettings()
    act = tf.function(policy.action)
    time_step = ts.restart({"pixels": tf.zeros([1, 64, 64, 3], tf.uint8)}, batch_size=1)
    state = policy.get_initial_state(1)
    latent = policy.filter(time_step, state)
    shape = [1, settings.candidates, settings.horizon, paper_scale.ACTION_SIZE]
    once = paper_scale.gflop(lambda actions: policy.value(latent, actions), tf.TensorSpec(shape, tf.float32))
    return lambda: act(time_step, state).action.numpy(), settings.iterations * once


def measure() -> Dict[str, Any]:
    """Both sizes."""
    figures: Dict[str, Any] = {}
    for name, files in _FILES.items():
        built = paper_scale.build(files=files)
        batch = paper_scale.experience(built)
        train = functools.partial(lambda built, batch: float(built.agent.train(batch).loss), built, batch)
        gflop = paper_scale.train_step_gflop(built, batch)
        plan, gflop_of_a_plan = _plan(built)
        figures[name] = {
            "train_step": _figures(train, _COUNTS[name], gflop),
            "plan_of_an_action": _figures(plan, _COUNTS[name], gflop_of_a_plan),
        }
    return figures
