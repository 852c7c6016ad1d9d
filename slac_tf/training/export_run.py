"""Exports the policies of a checkpoint."""

import pathlib
from typing import Optional

import gin
import tensorflow as tf
from tf_agents.specs import tensor_spec

from slac_tf.export import saved_model
from slac_tf.training import checkpoints, configuration, evaluation, run_dir


def export_run(root_dir: pathlib.Path, out: Optional[pathlib.Path]) -> pathlib.Path:
    """Builds a run's agent, restores its newest checkpoint and exports its policies.

    Args:
        root_dir: The run's directory.
        out: Directory of the exports; the run's own where None.

    Returns:
        The folder written.

    Raises:
        ValueError: If there is no run or no checkpoint.
    """
    directory = run_dir.RunDir(root_dir)
    if not directory.config.exists():
        raise ValueError(f"{root_dir}: no config.gin, expected the directory of a run")
    config = directory.config.read_text()
    environment = configuration.load_environment(config)(seed=0)
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    built = build_agent(
        tensor_spec.from_spec(environment.time_step_spec()),
        tensor_spec.from_spec(environment.action_spec()),
        tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    saver = checkpoints.Checkpoints(directory.checkpoints, built.agent)
    found = saver.newest()
    if found is None:
        raise ValueError(
            f"{root_dir}: no checkpoint in {directory.checkpoints}, expected at least one; let the run go on"
        )
    saver.restore(found)
    manifest = evaluation.export_manifest(environment, config, found.state["env_step"], found.state["seed"])
    environment.close()
    # Not evaluated at this step: the manifest says so by having no returns.
    return saved_model.export_policies(built.policies, {}, manifest, out or directory.policies, keep=3)
