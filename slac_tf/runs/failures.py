"""How a run ends that cannot go on: one line, and in its directory all that is needed to see why."""

import collections
import collections.abc
import io
import math
import os
import pathlib
import re
import time
import traceback
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.agents import tf_agent

from slac_tf.environments import faults
from slac_tf.runs import checkpoints, run_dir

_RECENT_LOSSES = 200
_ON_THE_LINE = ("reward", "observation")  # of a batch's entries; the others only where they are not finite
# What tf.debugging.check_numerics says, by which agents of TF-Agents stop by themselves; in a tf.function it is one
# line of many.
_CHECK_NUMERICS = re.compile(r"^(?:\{\{.*?\}\} )?(.* : Tensor had .*?)(?: \[Op:.*)?$", re.MULTILINE)


class RunFailedError(RuntimeError):
    """A run cannot go on; the message says why, what is kept, and what helps."""


class NonFiniteLossError(RunFailedError):
    """A loss or weight is NaN or infinite; the message names it."""


class EnvironmentFailedError(RunFailedError):
    """The environment failed; the message says how."""


class Failures:
    """Checks what a run computes, and makes of its troubles a line and files."""

    def __init__(
        self, directory: run_dir.RunDir, saver: checkpoints.Checkpoints, variables: Callable[[], Sequence[tf.Variable]]
    ):
        """Constructor.

        Args:
            directory: The run's.
            saver: The run's, for what is kept.
            variables: Gives the agent's weights.
        """
        self._directory = directory
        self._saver = saver
        self._variables = variables
        self._batch: Any = None
        self._recent: Deque[Mapping[str, float]] = collections.deque(maxlen=_RECENT_LOSSES)

    def keep(self, batch: Any) -> Any:
        """Keeps a batch, in place of the one before, until its losses are known.

        Args:
            batch: A nest of tensors.

        Returns:
            The batch.
        """
        self._batch = batch
        return batch

    def checked(self, losses: Iterator[tf_agent.LossInfo], position: Callable[[], str]) -> Mapping[str, float]:
        """Makes a train step and looks at its losses.

        Args:
            losses: Makes a train step each time it is asked for one.
            position: Says where the run is, once that step is made.

        Returns:
            All losses by name.

        Raises:
            NonFiniteLossError: If one is not finite.
        """
        try:
            loss_info = next(losses)
        except tf.errors.InvalidArgumentError as error:
            reason = _CHECK_NUMERICS.search(error.message)
            if reason is None:
                raise
            raise self._non_finite(f"{reason[1]} at {position()}, expected a finite number") from error
        values = {"loss": float(loss_info.loss), **{name: float(x) for name, x in loss_info.extra.items()}}
        self._recent.append(values)
        for name, value in sorted(values.items(), key=lambda item: item[0] == "loss"):  # the sum comes last
            if not math.isfinite(value):
                raise self._non_finite(f"{name} is {value} at {position()}, expected a finite number")
        return values

    def check_weights(self, position: str) -> None:
        """Looks at the weights, for a finite loss can have an infinite gradient.

        Args:
            position: Where the run is.

        Raises:
            NonFiniteLossError: If one is not finite.
        """
        bad = self._bad_weights()
        if bad:
            raise self._non_finite(f"{bad[0]} is not finite at {position}, expected finite weights")

    def environment(
        self, fault: faults.FaultyEnvironmentError, position: str, checkpoint: Callable[[], pathlib.Path]
    ) -> EnvironmentFailedError:
        """Keeps all that there is after an environment's fault: the step that failed is not part of it.

        Args:
            fault: The fault.
            position: Where the run is.
            checkpoint: Writes a checkpoint, returns its directory.

        Returns:
            The error to raise.
        """
        text = "".join(traceback.format_exception(type(fault), fault, fault.__traceback__))
        what = f"{fault} at {position}"
        where = self._write_down(what, text)
        try:
            kept = f"{checkpoint()} is written, and the same command resumes there"
        except Exception as error:  # whatever it is, the fault comes first
            kept = f"no checkpoint could be written ({error}): {self._saver.kept()}"
        return EnvironmentFailedError(f"{what}; {kept}; traceback {where}")

    def _non_finite(self, what: str) -> NonFiniteLossError:
        help_ = (
            f"{self._saver.kept()}; the same command begins again from what is kept; "
            "should it happen there too, lower the learning rates, in another --root_dir"
        )
        if self._batch is None:
            return NonFiniteLossError(f"{what}; {help_}")
        entries = [(name, np.asarray(value)) for name, value in named_entries(self._batch)]
        telling = [
            f"{name} {statistics(value)}"
            for name, value in entries
            if not _all_finite(value) or any(part in _ON_THE_LINE for part in name.split("/"))
        ]
        table = "".join(f"  {name} {value.dtype}{list(value.shape)}: {statistics(value)}\n" for name, value in entries)
        where = self._write_down(what, f"the last batch:\n{table}{self._weights()}{self._recent_losses()}")
        try:
            write_npz(self._directory.failed_batch, dict(entries))
            batch = f"the batch is in {self._directory.failed_batch}"
        except OSError as error:
            batch = f"the batch could not be written ({error})"
        return NonFiniteLossError(f"{what}; {', '.join(telling)}; {batch}, statistics {where}; {help_}")

    def _bad_weights(self) -> List[str]:
        return [variable.name for variable in self._variables() if not _all_finite(variable.numpy())]

    def _weights(self) -> str:
        """Tells a loss that is not finite by itself from one of weights that an earlier gradient spoilt."""
        return f"weights that are not finite: {', '.join(self._bad_weights()) or 'none'}\n"

    def _recent_losses(self) -> str:
        """A table: which of the losses was the first to leave its range, and when."""
        if not self._recent:
            return ""
        names = list(self._recent[-1])
        rows = [names, *([f"{step[name]:.6g}" if name in step else "" for name in names] for step in self._recent)]
        return f"losses of the last {len(self._recent)} steps:\n" + "".join(f"  {', '.join(row)}\n" for row in rows)

    def _write_down(self, what: str, details: str) -> str:
        """Appends to the run's file of failures; says where that is, or why it could not."""
        path = self._directory.failure
        try:
            with path.open("a") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}\n{details}\n")
        except OSError as error:
            logging.error("%s could not be written (%s): %s", path, error, details)
            return "above"
        return f"in {path}"


def named_entries(nest: Any, prefix: str = "") -> List[Tuple[str, Any]]:
    """The tensors of a nest with their names.

    Args:
        nest: Named tuples and dicts of tensors.
        prefix: Of the names.

    Returns:
        Pairs such as ('observation/pixels', tensor).
    """
    fields: Optional[Mapping[str, Any]] = None
    if isinstance(nest, tuple):
        fields = nest._asdict() if hasattr(nest, "_asdict") else {str(i): value for i, value in enumerate(nest)}
    elif isinstance(nest, collections.abc.Mapping):
        fields = nest
    if fields is None:
        return [(prefix, nest)]
    return [
        pair
        for name, value in fields.items()
        for pair in named_entries(value, f"{prefix}/{name}" if prefix else str(name))
    ]


def statistics(value: np.ndarray) -> str:
    """Range and mean of an array's finite numbers, and how many others there are.

    Args:
        value: The array.

    Returns:
        A few words.
    """
    finite = value[np.isfinite(value)].astype(np.float64)
    words = "has no finite number"
    if finite.size:
        words = f"{finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}"
    return words if _all_finite(value) else f"{words}, {value.size - finite.size} of {value.size} not finite"


def write_npz(path: pathlib.Path, arrays: Dict[str, np.ndarray]) -> None:
    """Writes arrays to a file that is there whole or, as before, not at all.

    Args:
        path: The file.
        arrays: By name.

    Raises:
        OSError: If that fails.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def closed(close: Callable[[], None]) -> None:
    """Closes an environment at the end of a run, which must not be taken for a failure if that goes wrong.

    Args:
        close: Closes it.
    """
    try:
        close()
    except Exception as error:
        logging.warning("closing an environment raised %s: %s", type(error).__name__, error)


def _all_finite(value: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(value)))
