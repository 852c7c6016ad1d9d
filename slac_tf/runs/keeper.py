"""Keeps a run: where it is, what it has measured, and checkpoints of the whole as one unit."""

import math
import pathlib
import time
from typing import Any, Callable, Dict, Mapping

from absl import logging

from slac_tf import types
from slac_tf.replay import interface
from slac_tf.runs import checkpoints, counters, metrics, progress, resources, run_dir, storage
from slac_tf.utils import seeds


class Keeper:
    """What a run leaves on the disk while it goes on.

    Attributes:
        directory: The run's.
        action_repeat: Control steps per agent step.
        counters: What it has done so far.
        metrics: Its numbers.
        saver: Its checkpoints.
    """

    def __init__(
        self,
        directory: run_dir.RunDir,
        built: types.BuiltAgent,
        replay: interface.Replay,
        *,
        seed: int,
        action_repeat: int,
        checkpoint_seconds: float,
        log_seconds: float,
        summary_train_steps: int,
    ):
        """Constructor; `begin` or `restore` comes next.

        Args:
            directory: The run's.
            built: Its agent.
            replay: Its replay.
            seed: The run's.
            action_repeat: Control steps per agent step.
            checkpoint_seconds: Between checkpoints.
            log_seconds: Between log lines.
            summary_train_steps: Train steps between lines in metrics.jsonl and scalars in TensorBoard.
        """
        self.directory = directory
        self.counters = counters.Counters()
        self.metrics = metrics.MetricsWriter(directory)
        self.saver = checkpoints.Checkpoints(directory.checkpoints, built.agent, built.reusable)
        self._built = built
        self._replay = replay
        self._seed = seed
        self.action_repeat = action_repeat
        self._checkpoint_seconds = checkpoint_seconds
        self._log_seconds = log_seconds
        self._summary_train_steps = summary_train_steps
        self._seconds_before = 0.0
        self._start = self._last_checkpoint = time.monotonic()

    # Where the run is.

    @property
    def env_step(self) -> int:
        """Simulator steps so far, with action repeats multiplied in."""
        return self.counters.agent_step * self.action_repeat

    @property
    def train_step(self) -> int:
        """Gradient steps of the agent so far."""
        return int(self._built.agent.train_step_counter.numpy())

    @property
    def pretrain_step(self) -> int:
        """Gradient steps of pretraining so far."""
        return 0 if self._built.pretraining is None else int(self._built.pretraining.step.numpy())

    def where(self) -> str:
        """What a message says of where the run is."""
        pretraining = self._built.pretraining is not None and self.pretrain_step and not self.train_step
        step = f"pretrain step {self.pretrain_step}" if pretraining else f"train step {self.train_step}"
        return f"{step}, env step {self.env_step}"

    def position(self) -> Dict[str, Any]:
        """`env_step`, `agent_step`, `train_step` and `wall_seconds`, as every row and line has them."""
        return {
            "env_step": self.env_step,
            "agent_step": self.counters.agent_step,
            "train_step": self.train_step,
            "wall_seconds": round(self._seconds_before + time.monotonic() - self._start, 1),
        }

    # Numbers.

    def log_pretrain_step(self, values: Mapping[str, float]) -> None:
        """Writes the values of a pretraining step down, where it is time to.

        Args:
            values: Scalars by name.
        """
        step = self.pretrain_step
        if step % self._summary_train_steps == 0:
            self._log("pretrain", "Pretrain", {"pretrain_step": step}, values, step)

    def log_train_step(self, values: Mapping[str, float]) -> None:
        """Writes the values of a train step and the recent return down, where it is time to.

        Args:
            values: Scalars by name.
        """
        if self.train_step % self._summary_train_steps:
            return
        recent = self.counters.recent_return if self.counters.recent_returns else None
        if recent is not None:
            self.metrics.scalars("train", {"Metrics/AverageReturn": recent}, self.env_step)
        self._log("train", "Losses", {**self.position(), "return": recent}, values, self.env_step)

    def _log(self, kind: str, tag: str, head: Dict[str, Any], values: Mapping[str, float], step: int) -> None:
        """A line and scalars; what is not finite is null in the one and missing among the others."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.metrics.scalars("train", {f"{tag}/{name}": value for name, value in finite.items()}, step)
        self.metrics.line(kind, {**head, **dict.fromkeys(values), **finite})

    def progress(self, phase: str, total: int, done: int, unit: str) -> progress.Progress:
        """Shows how far a phase of the run is.

        Args:
            phase: Its name.
            total: Steps of it.
            done: Of these, before now.
            unit: Of the steps.

        Returns:
            A context manager.
        """
        return progress.Progress(phase, total, done, unit, self._log_seconds, self._note_resources)

    def _note_resources(self) -> Dict[str, int]:
        used = resources.used()
        self.metrics.line("resources", {**self.position(), **used})
        return used

    # Checkpoints.

    def begin(self) -> None:
        """Begins a run that has no checkpoint."""
        logging.info("no checkpoint in %s: starting at step 0", self.directory.checkpoints)
        self.metrics.begin()

    def restore(self, found: checkpoints.Found) -> None:
        """Puts the run where a checkpoint was; replay has restored itself.

        Args:
            found: The checkpoint.
        """
        self.saver.restore(found)
        state = found.state
        self.counters = counters.Counters(**state["counters"])
        self._seconds_before = state["wall_seconds"]
        self.metrics.restore(state["files"])
        seeds.seed_everything(self._seed + self.counters.agent_step)  # not the same exploration once more
        logging.info(
            "restored agent step %d, train step %d, %d sequences from %s",
            *(self.counters.agent_step, self.train_step, self._replay.size, found.directory),
        )

    def checkpoint(self, check: Callable[[], None]) -> pathlib.Path:
        """Writes a checkpoint.

        Args:
            check: Looks at the weights first, and raises where they are not worth keeping.

        Returns:
            Its directory.

        Raises:
            storage.StorageError: If it cannot be written, or the run's directory is gone.
        """
        begin = time.monotonic()
        check()
        state = {
            **self.position(),
            "pretrain_step": self.pretrain_step,
            "seed": self._seed,
            "num_sequences": self._replay.size,
            "counters": self.counters.state(),
            "files": self.metrics.state(),
        }
        with storage.writing(self.directory.checkpoints):
            self.directory.config.stat()  # deleted, all or in part: not made anew, as it could not be resumed
        place = self.saver.save(self.counters.agent_step, state, self._replay)
        resources.give_back_freed_memory()
        self._last_checkpoint = time.monotonic()
        logging.info("checkpoint %s, %.1f s", place, self._last_checkpoint - begin)
        return place

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether the newest checkpoint is as old as it may become."""
        return time.monotonic() - self._last_checkpoint >= self._checkpoint_seconds

    def explain(self, error: storage.StorageError) -> storage.StorageError:
        """Adds what is kept and what helps to an error of the disk.

        Args:
            error: The error.

        Returns:
            The error to raise.
        """
        kept = (
            f"{self.saver.kept()}: make room or mend the disk"
            if self.directory.config.exists()
            else f"{self.directory.root} is gone, all or in part: put it back"
        )
        return storage.StorageError(f"{error}; {kept}, and the same command resumes")
