"""Numbers of a run: TensorBoard, `metrics.jsonl` and `eval.csv`."""

import csv
import errno
import io
import json
import os
import pathlib
import time
from typing import Any, Dict, List, Mapping

import tensorflow as tf
from absl import logging
from tensorboard.plugins.scalar import summary_v2 as scalar

from slac_tf.runs import run_dir, storage


class MetricsWriter:
    """Writes each number once; the files of a resumed run go on where its checkpoint was."""

    def __init__(self, directory: run_dir.RunDir):
        """Constructor; `begin` or `restore` comes next.

        Args:
            directory: The run's.
        """
        self._directory = directory
        self._writers: Dict[str, tf.summary.SummaryWriter] = {}

    def begin(self) -> None:
        """Begins with nothing: what is there is of a run that ended before its first checkpoint."""
        self.restore({})

    def restore(self, state: Mapping[str, int]) -> None:
        """Cuts all files to what they were at the checkpoint: what came later will be done again.

        Args:
            state: What `state` returned then.
        """
        for path in self._files():
            size, expected = path.stat().st_size, state.get(self._name(path), 0)
            if size < expected:
                logging.warning("%s: %d bytes, expected %d: lines are missing", path, size, expected)
            elif expected or path in (self._directory.metrics, self._directory.eval_csv):
                os.truncate(path, expected)
            else:
                path.unlink()  # TensorBoard's events, a file for each process
        for name in ("train", "eval"):
            self._writers[name] = tf.summary.create_file_writer(str(getattr(self._directory, name)))

    def state(self) -> Dict[str, int]:
        """Sizes of the files, for the checkpoint.

        Returns:
            Bytes by path in the run's directory.
        """
        self.flush()
        return {self._name(path): path.stat().st_size for path in self._files()}

    def _files(self) -> List[pathlib.Path]:
        events = [path for name in ("train", "eval") for path in getattr(self._directory, name).glob("events.*")]
        return [path for path in (self._directory.metrics, self._directory.eval_csv) if path.exists()] + sorted(events)

    def _name(self, path: pathlib.Path) -> str:
        return str(path.relative_to(self._directory.root))

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
        """Appends a row to `eval.csv`, below a header where it is the first.

        Args:
            row: Values by column, in their order.

        Raises:
            storage.StorageError: If it cannot be written; then the file is as it was.
        """
        path = self._directory.eval_csv
        rows = [] if path.exists() and path.stat().st_size else [list(row)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, list(row.values())])
        _append(path, text.getvalue())

    def flush(self) -> None:
        """Puts TensorBoard's events on disk."""
        for name, writer in self._writers.items():
            with storage.writing(getattr(self._directory, name)):
                writer.flush()


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
