"""Insertion and sampling of paper-scale windows of rendered frames."""

import gc
import pathlib
import tempfile
import time
from typing import Any, Dict, List

import numpy as np
import psutil
from tf_agents.trajectories import trajectory

from parts import paper_scale
from slac_tf.environments import suite_dm_control
from slac_tf.replay import sequence_replay

_STEPS = 3000


def _steps(built: Any) -> List[trajectory.Trajectory]:
    """Steps of random actions in cheetah run, as the replay is given them."""
    environment = suite_dm_control.load_dm_control(
        "cheetah", "run", action_repeat=4, observations=("pixels",), render_quality="fast", seed=0
    )
    random = np.random.RandomState(0)
    time_step, steps = environment.reset(), []
    for _ in range(_STEPS):
        action = random.uniform(-1.0, 1.0, paper_scale.ACTION_SIZE).astype(np.float32)
        following = environment.step(action)
        steps.append(
            trajectory.Trajectory(
                time_step.step_type,
                time_step.observation,
                action,
                (),
                following.step_type,
                following.reward,
                following.discount,
            )
        )
        time_step = following
    environment.close()
    return steps


def measure() -> Dict[str, Any]:
    """Rates, and bytes of memory a stored step."""
    built = paper_scale.build()
    steps = _steps(built)
    with tempfile.TemporaryDirectory() as directory:
        replay = sequence_replay.SequenceReplay(
            built.agent.collect_data_spec,
            sequence_length=built.sequence_length,
            capacity=100_000,
            directory=pathlib.Path(directory) / "replay",
        )
        gc.collect()
        before = psutil.Process().memory_info().rss
        begin = time.perf_counter()
        for step in steps:
            replay.add(step)
        replay.flush()
        insertion = (time.perf_counter() - begin) / len(steps)
        stored = (psutil.Process().memory_info().rss - before) / len(steps)
        figures: Dict[str, Any] = {
            "inserted_steps_a_second": 1.0 / insertion,
            "bytes_a_step": stored,
            "raw_bytes_a_step": 64 * 64 * 3,
        }
        for size in (built.pretraining.batch_size, built.batch_size):
            batches = replay.sample(size)
            cpu = time.process_time()
            wall = paper_scale.seconds(lambda batches=batches: next(batches), count=30, warm_up=3)
            figures[f"batch_of_{size}"] = {
                "batches_a_second": len(wall) / sum(wall),
                "cpu_seconds": (time.process_time() - cpu) / (len(wall) + 3),
            }
    return figures
