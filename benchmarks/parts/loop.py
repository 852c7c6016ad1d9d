"""The whole loop at paper scale: agent steps a second, and where the time goes."""

import pathlib
import statistics
import tempfile
import time
from typing import Any, Dict

import gin
from tf_agents.policies import py_tf_eager_policy, random_py_policy

from parts import paper_scale
from slac_tf.replay import sequence_replay
from slac_tf.rollouts import rollout_driver

_RANDOM_STEPS, _WARM_UP, _STEPS = 400, 3, 15


def _run(built: Any, quality: str, overlap: bool) -> Dict[str, float]:
    with gin.unlock_config():
        gin.parse_config(f"RENDER_QUALITY = '{quality}'")
    environment = gin.query_parameter("train_eval.load_environment").scoped_configurable_fn(seed=0)
    with tempfile.TemporaryDirectory() as directory:
        replay = sequence_replay.SequenceReplay(
            built.agent.collect_data_spec,
            sequence_length=built.sequence_length,
            capacity=1000,
            directory=pathlib.Path(directory) / "replay",
        )
        driver = rollout_driver.RolloutDriver(environment, observers=[replay.add], overlap=overlap)
        driver.begin(random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec()))
        for _ in range(_RANDOM_STEPS):
            driver.run()
        policy = py_tf_eager_policy.PyTFEagerPolicy(built.agent.collect_policy, use_tf_function=True)
        driver.begin(policy)
        batches = replay.sample(built.batch_size)
        parts: Dict[str, list] = {"agent_step": [], "sampling": [], "train_step": []}
        for number in range(_WARM_UP + _STEPS):
            marks = [time.perf_counter()]
            driver.run()
            driver.start()
            marks.append(time.perf_counter())
            batch = next(batches)
            marks.append(time.perf_counter())
            float(built.agent.train(batch.experience).loss)
            marks.append(time.perf_counter())
            if number >= _WARM_UP:
                for name, begin, end in zip(parts, marks, marks[1:]):
                    parts[name].append(end - begin)
        driver.close()
    whole = [sum(row) for row in zip(*parts.values())]
    return {
        "agent_steps_a_second": 1.0 / statistics.median(whole),
        **{f"share_of_{name}": sum(values) / sum(whole) for name, values in parts.items()},
    }


def measure() -> Dict[str, Any]:
    """With and without overlap, for both render qualities."""
    built = paper_scale.build()
    return {
        quality: {"overlap" if overlap else "in_turns": _run(built, quality, overlap) for overlap in (False, True)}
        for quality in ("fast", "default")
    }
