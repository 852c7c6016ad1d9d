"""Numbers of a run: TensorBoard, `metrics.jsonl` and `eval.csv`."""

import csv
import errno
import io
import json
import os
import pathlib
import time
from typing import Any, Dict, Mapping

import tensorflow as tf
from absl import logging
from tensorboard.plugins.scalar import summary_v2 as scalar

from slac_tf.runs import run_dir, storage

# The header of the published curves, so that both are read by the same programs.
EVAL_COLUMNS = (
    "task",
    "seed",
    "OriginalEnvironmentSteps",
    "agent_step",
    "train_step",
    "NumberOfEpisodes",
    "AverageReturnEvalPolicy",
    "StdReturnEvalPolicy",
    "AverageEpisodeLength",
    "AverageReturnEvalGreedyPolicy",
    "StdReturnEvalGreedyPolicy",
    "wall_seconds",
)


class MetricsWriter:
    """Writes each number once; the files of a resumed run go on where its checkpoint was."""

    def __init__(self, directory: run_dir.RunDir):
        self._directory = directory
        self._writers = {
            "train": tf.summary.create_file_writer(str(directory.train)),
            "eval": tf.summary.create_file_writer(str(directory.eval)),
        }

    def writer(self, name: str) -> tf.summary.SummaryWriter:
        """The TensorBoard writer of `train` or `eval`.

        Args:
            name: Which.

        Returns:
            The writer.
        """
        return self._writers[name]

    def scalars(self, name: str, values: Mapping[str, float], step: int) -> None:
        """Writes scalars to TensorBoard.

        Args:
            name: `train` or `eval`.
            values: By tag.
            step: Position on the x axis.
        """
        # Serialized messages, one after the other, are their union. tf.summary.scalar takes twenty eager operations for
        # each value, which costs time and, on Python 3.11, memory that is never freed (docs/reliability.md).
        summary = b"".join(scalar.scalar_pb(tag, value).SerializeToString() for tag, value in values.items())
        with storage.writing(getattr(self._directory, name)), self._writers[name].as_default(step=step):
            tf.summary.experimental.write_raw_pb(summary)

    def line(self, kind: str, values: Mapping[str, Any]) -> None:
        """Appends a line to `metrics.jsonl`.

        Args:
            kind: `pretrain`, `train`, `eval` or `resources`.
            values: Plain numbers.

        Raises:
            storage.StorageError: If it cannot be written; then the file is as it was.
        """
        text = json.dumps({"kind": kind, "time": round(time.time(), 3), **values}) + "\n"
        _append(self._directory.metrics, text)

    def eval_row(self, row: Mapping[str, Any]) -> None:
        """Appends a row to `eval.csv`.

        Args:
            row: A value for each of `EVAL_COLUMNS`.

        Raises:
            storage.StorageError: If it cannot be written; then the file is as it was.
        """
        path = self._directory.eval_csv
        rows = [] if path.exists() and path.stat().st_size else [list(EVAL_COLUMNS)]
        rows.append([row[column] for column in EVAL_COLUMNS])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _append(path, text.getvalue())

    def flush(self) -> None:
        """Puts TensorBoard's events on disk."""
        for name, writer in self._writers.items():
            with storage.writing(getattr(self._directory, name)):
                writer.flush()

    def state(self) -> Dict[str, int]:
        """Sizes of the files, for the checkpoint.

        Returns:
            Bytes by file name.
        """
        self.flush()
        return {path.name: path.stat().st_size if path.exists() else 0 for path in self._files}

    def begin(self) -> None:
        """Empties the files: a run that ended before its first checkpoint has begun anew."""
        self.restore({path.name: 0 for path in self._files})

    def restore(self, state: Mapping[str, int]) -> None:
        """Cuts the files to what they were at the checkpoint: what came later will be done again.

        Args:
            state: What `state` returned then.
        """
        for path in self._files:
            size = path.stat().st_size if path.exists() else 0
            if size > state[path.name]:
                os.truncate(path, state[path.name])
            elif size < state[path.name]:
                logging.warning("%s: %d bytes, expected %d: lines are missing", path, size, state[path.name])

    @property
    def _files(self) -> "tuple[pathlib.Path, ...]":
        return self._directory.metrics, self._directory.eval_csv


def _append(path: pathlib.Path, text: str) -> None:
    """Appends all of a text or nothing."""
    with storage.writing(path), path.open("ab", buffering=0) as file:
        size = file.tell()
        data = text.encode()
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.truncate(path, size)
            raise
