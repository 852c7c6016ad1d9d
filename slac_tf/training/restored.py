"""A run's agent as its newest checkpoint has it, for commands that use it without training."""

import pathlib
from typing import NamedTuple, Optional

from slac_tf import types
from slac_tf.environments import task_environment
from slac_tf.export import saved_model
from slac_tf.runs import checkpoints, run_dir
from slac_tf.training import evaluation, experiment


class RestoredRun(NamedTuple):
    """What a checkpoint and its run's configuration give.

    Attributes:
        environment: A new one of the run's task; the caller closes it.
        built: The agent, restored.
        found: The checkpoint.
    """

    environment: task_environment.TaskEnvironment
    built: types.BuiltAgent
    found: checkpoints.Found


def restore(root_dir: pathlib.Path, seed: int = 0) -> RestoredRun:
    """Builds a run's environment and agent and restores the newest checkpoint.

    Args:
        root_dir: The run's directory; gin holds all its bindings.
        seed: Of the environment.

    Returns:
        The run.

    Raises:
        ValueError: If there is no checkpoint.
    """
    directory = run_dir.RunDir(root_dir).checkpoints
    found = checkpoints.newest(directory)
    if found is None:
        raise ValueError(f"{root_dir}: no checkpoint in {directory}, expected one; let the run go on")
    environment, built = experiment.task_and_agent(seed)
    checkpoints.Checkpoints(directory, built.agent, built.reusable).restore(found)
    return RestoredRun(environment, built, found)


def export_run(root_dir: pathlib.Path, config: str, out: Optional[pathlib.Path]) -> pathlib.Path:
    """Exports the policies of a run's newest checkpoint.

    Args:
        root_dir: The run's directory.
        config: All its gin bindings as text; gin holds them.
        out: Directory of the exports; `exported` in the run's where None, beside its evaluated ones.

    Returns:
        The folder written.

    Raises:
        ValueError: If there is no checkpoint.
    """
    run = restore(root_dir)
    state = run.found.state
    manifest = evaluation.export_manifest(run.environment, config, state["env_step"], state["seed"])
    run.environment.close()
    # Not evaluated at this step: the manifest says so by having no returns.
    return saved_model.Exporter(run.built.policies).export({}, manifest, out or root_dir / "exported", keep=None)
