"""Times SLAC's train step on random data of paper-scale shapes, beside this machine's matrix-product rate.

    .venv/bin/python benchmarks/train_step.py
    .venv/bin/python benchmarks/train_step.py --gin_file=gin_configs/quickstart.gin

The task is not loaded: frames are noise, and the action has six dimensions, as cheetah run's.
"""

import os
import statistics
import time
from typing import Callable, List

from absl import app, flags

_GIN_FILES = flags.DEFINE_multi_string("gin_file", ["gin_configs/cheetah_run.gin"], "Configuration of the agent.")
_STEPS = flags.DEFINE_integer("steps", 15, "Counted steps.", lower_bound=5)
_ACTION_SIZE = 6


def _times(step: Callable[[], object], count: int) -> List[float]:
    step()
    step()
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return seconds


def main(_: List[str]) -> None:
    """Prints a table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import gin
    import tensorflow as tf
    from tf_agents.specs import tensor_spec
    from tf_agents.trajectories import time_step as ts
    from tf_agents.trajectories import trajectory

    from slac_tf.training import configuration

    configuration.load(_GIN_FILES.value, [])
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    built = build_agent(
        ts.time_step_spec({"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)}),
        tensor_spec.BoundedTensorSpec([_ACTION_SIZE], tf.float32, -1.0, 1.0),
        tf.Variable(0, dtype=tf.int64),
    )
    shape = [built.batch_size, built.sequence_length + 1]
    steps = tf.ones(shape, tf.int32)
    experience = trajectory.Trajectory(
        step_type=steps,
        observation={"pixels": tf.cast(tf.random.uniform([*shape, 64, 64, 3], 0, 256, tf.int32), tf.uint8)},
        action=tf.random.uniform([*shape, _ACTION_SIZE], -1.0, 1.0),
        policy_info=(),
        next_step_type=steps,
        reward=tf.random.uniform(shape),
        discount=tf.ones(shape),
    )
    small = tf.nest.map_structure(lambda x: x[: built.pretraining.batch_size], experience)
    matrix = tf.random.normal([4096, 4096])
    rows = (
        ("train step", lambda: float(built.agent.train(experience).loss)),
        ("model step (pretraining)", lambda: float(built.pretraining.train(small).loss)),
        ("4096 matrix product", lambda: float(tf.reduce_sum(matrix @ matrix))),
    )
    print(f"batch {shape[0]} x {shape[1]} frames, model batch {built.pretraining.batch_size}, {os.cpu_count()} cores")
    for name, step in rows:
        seconds = _times(step, _STEPS.value)
        print(f"{name:26s} median {statistics.median(seconds):.4f} s   min {min(seconds):.4f}   max {max(seconds):.4f}")
        if "matrix" in name:
            print(f"{'':26s} {2 * 4096**3 / statistics.median(seconds) / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    app.run(main)
