"""PlaNet: a train step and the plan of an action beside their arithmetic, at the paper's size and the quickstart's."""

import functools
import statistics
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


def _cpu_seconds(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def _figures(call: Callable[[], Any], count: int, gflop: float) -> Dict[str, float]:
    """Of a call, in turns with a matrix product: seconds, those of all cores, and what its arithmetic comes to."""
    product, gflop_of_product = paper_scale.matrix_product()
    for _ in range(2):
        call()
        product()
    times, cpu_times, product_times = [], [], []
    for _ in range(count):
        begin = time.perf_counter()
        cpu_times.append(_cpu_seconds(call))
        times.append(time.perf_counter() - begin)
        product_times.append(_cpu_seconds(product))
    cpu_seconds = statistics.mean(cpu_times)
    rate = gflop / cpu_seconds
    return {
        "seconds": statistics.median(times),
        "cpu_seconds": cpu_seconds,
        "gflop": gflop,
        "gflop_a_cpu_second": rate,
        "share_of_matmul_rate": rate * statistics.mean(product_times) / gflop_of_product,
    }


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
