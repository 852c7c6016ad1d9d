"""A run's agent as its newest checkpoint has it, for commands that use it without training."""

import pathlib
from typing import NamedTuple, Optional

import gin
import tensorflow as tf
from tf_agents.specs import tensor_spec

from slac_tf import types
from slac_tf.environments import pixels
from slac_tf.export import saved_model
from slac_tf.training import checkpoints, configuration, evaluation, run_dir


class RestoredRun(NamedTuple):
    """What a checkpoint and its run's configuration give.

    Attributes:
        directory: The run's.
        config: All gin bindings as text.
        environment: A new one of the run's task; the caller closes it.
        built: The agent, restored.
        found: The checkpoint.
    """

    directory: run_dir.RunDir
    config: str
    environment: pixels.PixelEnvironment
    built: types.BuiltAgent
    found: checkpoints.Found


def restore(root_dir: pathlib.Path, seed: int = 0) -> RestoredRun:
    """Builds a run's environment and agent and restores the newest checkpoint.

    Args:
        root_dir: The run's directory.
        seed: Of the environment.

    Returns:
        The run.

    Raises:
        ValueError: If there is no run or no checkpoint.
    """
    directory = run_dir.RunDir(root_dir)
    if not directory.config.exists():
        raise ValueError(f"{root_dir}: no config.gin, expected the directory of a run")
    config = directory.config.read_text()
    load_environment = configuration.load_environment(config)
    if checkpoints.newest(directory.checkpoints) is None:
        raise ValueError(f"{root_dir}: no checkpoint in {directory.checkpoints}, expected one; let the run go on")
    environment = load_environment(seed=seed)
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    built = build_agent(
        tensor_spec.from_spec(environment.time_step_spec()),
        tensor_spec.from_spec(environment.action_spec()),
        tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    saver = checkpoints.Checkpoints(directory.checkpoints, built.agent, built.representation)
    found = saver.newest()
    assert found is not None  # seen above
    saver.restore(found)
    return RestoredRun(directory, config, environment, built, found)


def export_run(root_dir: pathlib.Path, out: Optional[pathlib.Path]) -> pathlib.Path:
    """Exports the policies of a run's newest checkpoint.

    Args:
        root_dir: The run's directory.
        out: Directory of the exports; `exported` in the run's where None, beside its evaluated ones.

    Returns:
        The folder written.

    Raises:
        ValueError: If there is no run or no checkpoint.
    """
    run = restore(root_dir)
    state = run.found.state
    manifest = evaluation.export_manifest(run.environment, run.config, state["env_step"], state["seed"])
    run.environment.close()
    # Not evaluated at this step: the manifest says so by having no returns.
    return saved_model.Exporter(run.built.policies).export({}, manifest, out or root_dir / "exported", keep=None)
