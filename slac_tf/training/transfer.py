"""Starting a run from what another run's latent model has learned."""

import json
import pathlib
from typing import Dict, List, NamedTuple

import tensorflow as tf
from absl import logging

from slac_tf import types
from slac_tf.runs import checkpoints, run_dir

_RECORD = "initialized_from.json"


class Transferred(NamedTuple):
    """Parts of a representation by what became of them.

    Attributes:
        source: The other run's directory.
        loaded: From the other run.
        other_shapes: Left at their own initial weights, because the other run's do not fit.
        absent: Left as well, because the other run has none.
    """

    source: str
    loaded: List[str]
    other_shapes: List[str]
    absent: List[str]


def start_from(
    source: pathlib.Path, built: types.BuiltAgent, directory: run_dir.RunDir, *, encoder_only: bool, freeze: bool
) -> Transferred:
    """Loads what fits of another run's newest checkpoint, and says what.

    Where this run is resumed, its own checkpoint has the weights: then the other run is not looked at, and the
    same parts are frozen again.

    Args:
        source: The other run's directory.
        built: This run's agent, not trained yet.
        directory: This run's, which may not be there yet.
        encoder_only: Whether to load the encoder alone.
        freeze: Whether what is loaded stays as it is.

    Returns:
        What became of each part; `record` keeps it.

    Raises:
        ValueError: If the agent has no representation, the other run has no checkpoint, or nothing fits.
    """
    reusable = built.reusable
    if reusable is None:
        raise ValueError(f"InitialModel.root_dir: {type(built.agent).__name__} has no latent model to start from")
    record_file = directory.root / _RECORD
    if record_file.exists() and checkpoints.newest(directory.checkpoints) is not None:
        result = Transferred(**json.loads(record_file.read_text()))
    else:
        result = load(source, reusable.module, encoder_only=encoder_only)
        logging.info(
            "initial weights from %s: loaded %s | left out, of other shapes: %s | left out, not there: %s",
            *(source, *(", ".join(names) or "none" for names in result[1:])),
        )
    if freeze:
        parts = _parts(reusable.module)
        reusable.freeze([variable for part in result.loaded for variable in parts[part].variables])
    return result


def record(transferred: Transferred, directory: run_dir.RunDir) -> None:
    """Keeps what became of each part, for the reader and for resuming.

    Args:
        transferred: From `start_from`.
        directory: This run's, opened.
    """
    run_dir.write_atomically(directory.root / _RECORD, json.dumps(transferred._asdict(), indent=1) + "\n")


def load(source: pathlib.Path, representation: tf.Module, *, encoder_only: bool) -> Transferred:
    """Loads each part of a representation whose weights fit.

    Args:
        source: A run's directory.
        representation: Whose variables are set.
        encoder_only: Whether to load the encoder alone.

    Returns:
        What became of each part.

    Raises:
        ValueError: If there is no checkpoint, or no part fits.
    """
    found = checkpoints.newest(run_dir.RunDir(source).checkpoints)
    if found is None:
        raise ValueError(
            f"InitialModel.root_dir: {source} has no checkpoint, expected the directory of a run that has one"
        )
    result = Transferred(str(source), [], [], [])
    for name, part in _parts(representation).items():
        if encoder_only and name != "encoder":
            continue
        before = [variable.numpy() for variable in part.variables]
        reader = tf.train.Checkpoint(representation=tf.train.Checkpoint(**{name: part}))
        try:
            reader.read(str(found.directory / "agent")).assert_existing_objects_matched().expect_partial()
            result.loaded.append(name)
        except (ValueError, AssertionError) as error:  # other shapes; not in the checkpoint
            for variable, value in zip(part.variables, before):
                variable.assign(value)
            (result.other_shapes if isinstance(error, ValueError) else result.absent).append(name)
    if not result.loaded:
        raise ValueError(
            f"InitialModel.root_dir: nothing of the model in {source} fits this run's; expected equal sizes"
        )
    return result


def _parts(representation: tf.Module) -> Dict[str, tf.Module]:
    return {name: part for name, part in vars(representation).items() if isinstance(part, tf.Module)}
