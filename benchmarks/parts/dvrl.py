"""DVRL's train step at full size beside its arithmetic, and the step of its belief when it acts."""

import statistics
from typing import Any, Callable, Dict

import tensorflow as tf

from parts import paper_scale

_ROUNDS = 7
_BACKWARD_AND_FORWARD = 3  # a product has two gradients, each as large as itself


def _gflop(call: Callable[[], Any]) -> float:
    """Floating-point operations of what a call adds to a graph; a loop's body would be counted once."""
    graph = tf.function(call).get_concrete_function().graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops / 1e9


def measure() -> Dict[str, Any]:
    """The train step and a matrix product in turns, so that a machine's moods meet both."""
    built = paper_scale.build(files=["gin_configs/cheetah_run.gin", "gin_configs/agents/dvrl.gin"])
    batch = paper_scale.experience(built)
    belief, steps = built.agent._networks.belief, built.sequence_length + 1
    first = tf.nest.map_structure(lambda x: x[:, 0], batch)
    state, noise = first.policy_info["state"], belief.noise(first.policy_info["seed"])

    def update() -> Any:
        feature = belief.encode(first.observation)
        after, _ = belief.update(state["belief"], state["action"], feature, first.observation, noise)
        return belief.vector(after), after["log_weights"]

    product, gflop_of_product = paper_scale.matrix_product()
    times: Dict[str, list] = {"step": [], "product": []}
    for number in range(_ROUNDS + 2):
        step = paper_scale.seconds(lambda: float(built.agent.train(batch).loss), 1, 0)
        rate = paper_scale.seconds(product, 1, 0)
        if number >= 2:
            times["step"] += step
            times["product"] += rate
    compiled = tf.function(update)
    seconds = statistics.median(times["step"])
    matmul_rate = gflop_of_product / statistics.median(times["product"])
    gflop = _BACKWARD_AND_FORWARD * steps * _gflop(update)
    return {
        "seconds": seconds,
        "fastest_seconds": min(times["step"]),
        "slowest_seconds": max(times["step"]),
        "gflop": gflop,
        "gflops": gflop / seconds,
        "share_of_matmul_rate": gflop / seconds / matmul_rate,
        "belief_step_ms": 1000 * paper_scale.median(lambda: compiled()[0].numpy()),
    }
