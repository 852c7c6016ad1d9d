"""What several parts share: agents on cheetah run's shapes, SLAC as published, and medians of repeated calls."""

import statistics
import time
from typing import Any, Callable, List, Sequence, Tuple

import gin
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from slac_tf import types
from slac_tf.config import configuration

ACTION_SIZE = 6
_MATRIX = 4096


def build(bindings: Sequence[str] = (), files: Sequence[str] = ("gin_configs/cheetah_run.gin",)) -> types.BuiltAgent:
    """The agent of some gin files, SLAC where none are given, with the action size of cheetah run."""
    configuration.load(list(files), list(bindings))
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    return build_agent(
        ts.time_step_spec({"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)}),
        tensor_spec.BoundedTensorSpec([ACTION_SIZE], tf.float32, -1.0, 1.0),
        tf.Variable(0, dtype=tf.int64),
    )


def experience(built: types.BuiltAgent) -> trajectory.Trajectory:
    """A batch of noise, `[B, T+1, …]`."""
    shape = [built.batch_size, built.sequence_length + 1]
    steps = tf.ones(shape, tf.int32)
    return trajectory.Trajectory(
        step_type=steps,
        observation={"pixels": tf.cast(tf.random.uniform([*shape, 64, 64, 3], 0, 256, tf.int32), tf.uint8)},
        action=tf.random.uniform([*shape, ACTION_SIZE], -1.0, 1.0),
        policy_info=tf.nest.map_structure(
            lambda spec: tf.zeros([*shape, *spec.shape], spec.dtype), built.agent.collect_data_spec.policy_info
        ),
        next_step_type=steps,
        reward=tf.random.uniform(shape),
        discount=tf.ones(shape),
    )


def gflop(function: Callable[..., Any], *specs: Any) -> float:
    """Floating-point operations of a function's graph, counted by TensorFlow's profiler, which leaves out loops."""
    graph = tf.function(function).get_concrete_function(*specs).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops / 1e9


def train_step_gflop(built: types.BuiltAgent, batch: trajectory.Trajectory) -> float:
    """Floating-point operations of a train step."""
    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)
    return gflop(lambda experience: built.agent._train_step(experience, None), specs)


def matrix_product(dtype: str = "float32") -> Tuple[Callable[[], float], float]:
    """A call to time beside others, so that a machine's moods meet both, and its floating-point operations / 1e9."""
    matrix = tf.cast(tf.random.normal([_MATRIX, _MATRIX]), dtype)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    return lambda: float(product()), 2 * _MATRIX**3 / 1e9


def seconds(call: Callable[[], Any], count: int = 7, warm_up: int = 2) -> List[float]:
    """Times of a call, the first ones not counted."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def median(call: Callable[[], Any], count: int = 7, warm_up: int = 2) -> float:
    """Median time of a call, in seconds."""
    return statistics.median(seconds(call, count, warm_up))
