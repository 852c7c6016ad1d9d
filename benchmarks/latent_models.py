"""Held-out bound of the six latent models of Figure 6, on frames of a real task, after equally many steps.

    .venv/bin/python benchmarks/latent_models.py --out=results/latent_models/elbo.csv

Random episodes are collected once; the last ones are held out. Each model then makes the same number of gradient
steps on the same sequences in the same order, at the sizes of gin_configs/quickstart.gin. Whole windows of one
episode are scored. Rows are appended; a model and seed that the file already has is not run again.
"""

import csv
import pathlib
import time
from typing import Any, Dict, List

from absl import app, flags

from slac_tf.commands import command

_OUT = flags.DEFINE_string("out", "results/latent_models/elbo.csv", "The table.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, separated by commas.")
_STEPS = flags.DEFINE_integer("steps", 1500, "Gradient steps of each model.", lower_bound=1)
_TASK = flags.DEFINE_string("task", "cheetah_run", "Gin file of the task, without .gin.")
_AGENT_STEPS = flags.DEFINE_integer("agent_steps", 5000, "Random agent steps to collect; a tenth is held out.")

MODELS = ("fully_stochastic", "partially_stochastic", "deterministic", "simple_filtering", "vae", "rssm")
_COLUMNS = (
    "task,model,seed,gradient_steps,elbo,frame_log_prob,reward_log_prob,kl,squared_error_a_frame,train_seconds".split(
        ","
    )
)
_BATCH, _HELD_OUT_SEQUENCES = 8, 128


def _collect(task: str, agent_steps: int) -> Any:
    """Consecutive steps of random actions as arrays `[agent_steps, …]`."""
    import numpy as np
    import tensorflow as tf
    from tf_agents.drivers import py_driver
    from tf_agents.policies import random_py_policy

    from slac_tf.config import configuration

    environment = configuration.load_text(_config(task))(seed=0)
    steps: List[Any] = []
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec(), seed=0)
    driver = py_driver.PyDriver(environment, policy, observers=[steps.append], max_steps=agent_steps)
    driver.run(environment.reset())
    environment.close()
    return tf.nest.map_structure(lambda *values: np.stack(values), *steps)


def _config(task: str) -> str:
    from slac_tf.config import configuration

    return configuration.load([f"gin_configs/{task}.gin"], ["RENDER_QUALITY = 'fast'"])


def _build(task: str, model: str, seed: int, specs: Any) -> Any:
    import gin
    import tensorflow as tf

    from slac_tf.config import configuration

    files = [f"gin_configs/{task}.gin"]
    if model != "fully_stochastic":
        files.append(f"gin_configs/latent_models/{model}.gin")
    sizes = ["Z1_SIZE = 16", "Z2_SIZE = 64", "BASE_DEPTH = 8", "HEAD_SIZES = (128, 128)"]
    settings = ["build_slac.model_learning_rate = 1e-3", "build_slac.hidden_sizes = (16,)"]
    configuration.load(files, sizes + settings)
    tf.keras.utils.set_random_seed(seed)
    return gin.query_parameter("train_eval.build_agent").scoped_configurable_fn(*specs, tf.Variable(0, dtype=tf.int64))


def _windows(data: Any, begins: Any, length: int) -> Any:
    import numpy as np
    import tensorflow as tf

    index = begins[:, np.newaxis] + np.arange(length)
    return tf.nest.map_structure(lambda x: tf.constant(x[index]), data)


def _run(data: Any, task: str, model: str, seed: int, specs: Any) -> Dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    from slac_tf.agents.slac import agent as slac_agent

    built = _build(task, model, seed, specs)
    length = built.sequence_length + 1
    num_steps = len(data.reward)
    held_out = num_steps - num_steps // 10
    random = np.random.RandomState(seed)
    begin = time.perf_counter()
    for _ in range(_STEPS.value):
        built.pretraining.train(_windows(data, random.randint(0, held_out - length, _BATCH), length))
    seconds = time.perf_counter() - begin

    whole = [b for b in range(held_out, num_steps - length) if not np.any(data.step_type[b + 1 : b + length] == 0)]
    batch = _windows(data, np.random.RandomState(0).choice(whole, _HELD_OUT_SEQUENCES), length)
    losses, _ = built.agent.model_loss(slac_agent._window(batch))
    frame = float(tf.reduce_mean(losses.frame_log_prob))
    variance, values = 0.1, 64 * 64 * 3
    constant = 0.5 * values * np.log(2 * np.pi * variance)
    return {
        "task": task,
        "model": model,
        "seed": seed,
        "gradient_steps": _STEPS.value,
        "elbo": -float(tf.reduce_mean(losses.loss)),
        "frame_log_prob": frame,
        "reward_log_prob": float(tf.reduce_mean(losses.reward_log_prob)),
        "kl": float(tf.reduce_mean(tf.add_n(list(losses.kl.values())))),
        "squared_error_a_frame": -(frame / length + constant) * 2 * variance,
        "train_seconds": round(seconds, 1),
    }


def main(_: List[str]) -> None:
    """Runs what the table lacks."""
    command.configure_process()
    import tensorflow as tf
    from tf_agents.specs import tensor_spec

    from slac_tf.config import configuration

    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if out.exists():
        with out.open(newline="") as file:
            done = {(row["task"], row["model"], row["seed"]) for row in csv.DictReader(file)}
    else:
        out.write_text(",".join(_COLUMNS) + "\n")
    data = _collect(_TASK.value, _AGENT_STEPS.value)
    environment = configuration.load_text(_config(_TASK.value))(seed=0)
    specs = tuple(tensor_spec.from_spec(spec) for spec in (environment.time_step_spec(), environment.action_spec()))
    environment.close()
    for seed in _SEEDS.value:
        for model in MODELS:
            if (_TASK.value, model, seed) in done:
                continue
            tf.keras.backend.clear_session()
            row = _run(data, _TASK.value, model, int(seed), specs)
            with out.open("a", newline="") as file:
                csv.DictWriter(file, _COLUMNS, lineterminator="\n").writerow(row)
            print(row, flush=True)


if __name__ == "__main__":
    app.run(main)
