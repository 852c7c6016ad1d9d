"""One run from its first step to its last, whichever the agent is."""

import gc
import math
import pathlib
import random
import time
from typing import Any, Dict, Iterator, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.agents import tf_agent
from tf_agents.policies import py_tf_eager_policy, random_py_policy

from slac_tf import types
from slac_tf.environments import faults, task_environment
from slac_tf.replay import sequence_replay
from slac_tf.runs import checkpoints, counters, failures, metrics, progress, resources, run_dir, signals, storage
from slac_tf.training import collection, evaluation
from slac_tf.training import settings as settings_lib


class Result(NamedTuple):
    """How a run ended.

    Attributes:
        random_return: Mean return of the last 10 episodes collected at random; NaN where none was finished.
        greedy_return: Mean return of the last evaluation's greedy policy; NaN where there was none.
        stochastic_return: Same, of the stochastic policy.
        exit_code: 0, or 128 + the signal that stopped it.
    """

    random_return: float
    greedy_return: float
    stochastic_return: float
    exit_code: int


class Run:
    """A run in progress: random collection, pretraining, then training with evaluations."""

    def __init__(
        self,
        settings: settings_lib.Settings,
        seed: int,
        environment: task_environment.TaskEnvironment,
        built: types.BuiltAgent,
        replay: sequence_replay.SequenceReplay,
        evaluator: evaluation.Evaluator,
        writer: metrics.MetricsWriter,
        saver: checkpoints.Checkpoints,
        directory: run_dir.RunDir,
    ):
        self._settings = settings
        self._seed = seed
        self._environment = environment
        self._built = built
        self._replay = replay
        self._evaluator = evaluator
        self._metrics = writer
        self._saver = saver
        self._directory = directory
        self._failures = failures.Failures(directory, saver, lambda: built.agent.trainable_variables)
        self._counters = counters.Counters()
        self._stop = signals.StopRequest()
        self._seconds_before = 0.0
        self._start = self._last_checkpoint = time.monotonic()
        self._collector = collection.Collector(
            environment,
            [lambda step: self._counters.observe(step), replay.add],  # a resumed run has other counters
            overlap=settings.overlap_collection,
        )

    # The way through a run.

    def run(self) -> Result:
        """Does all that is left to do, or what there is time for until a signal comes.

        Returns:
            How it ended.

        Raises:
            failures.NonFiniteLossError: If a loss is NaN or infinite.
            failures.EnvironmentFailedError: If the environment fails.
        """
        self._stop.install()
        try:
            self._go_through_phases()
        except faults.FaultyEnvironmentError as fault:
            raise self._failures.environment(fault, self._where(), self._checkpoint) from fault
        count = self._counters
        return Result(
            random_return=count.random_return,
            greedy_return=count.last_eval.get("greedy", math.nan),
            stochastic_return=count.last_eval.get("stochastic", math.nan),
            exit_code=self._stop.exit_code,
        )

    def _go_through_phases(self) -> None:
        self._collect_initial_data()
        self._pretrain()
        if self._evaluation_is_due or not self._counters.last_eval:  # not wherever a run happens to be resumed
            self._evaluate_once_here()
        self._train()
        self._evaluate_once_here()
        if self._stop:
            logging.warning("stopped by signal %d: writing a checkpoint", self._stop.signal)
        self._checkpoint()

    def _collect_initial_data(self) -> None:
        total, count = self._settings.initial_collect_agent_steps, self._counters
        if count.agent_step >= total:
            return
        policy = random_py_policy.RandomPyPolicy(
            self._environment.time_step_spec(),
            self._environment.action_spec(),
            seed=self._seed + count.agent_step,
        )
        self._collector.begin(policy)
        logging.info("collecting %d agent steps of random actions", total - count.agent_step)
        with self._progress("random", total, count.agent_step, "agent steps") as shown:
            while count.agent_step < total and not self._stop:
                self._collector.finish()
                if count.agent_step >= total:  # before a checkpoint at this step
                    count.random_return = count.recent_return
                shown.update(count.agent_step, self._step_counts(0), {})
                self._checkpoint_if_due()

    def _pretrain(self) -> None:
        pretraining, total = self._built.pretraining, self._settings.num_pretrain_steps
        if pretraining is None or self._stop or int(pretraining.step) >= total:
            return
        batches = self._replay.sample(pretraining.batch_size)
        losses = (pretraining.train(self._failures.keep(batch.experience)) for batch in batches)
        with self._progress("pretrain", total, int(pretraining.step), "model steps") as shown:
            while int(pretraining.step) < total and not self._stop:
                values = self._failures.checked(losses, lambda: f"pretrain step {int(pretraining.step)}")
                step = int(pretraining.step)
                if step % self._settings.summary_interval_train_steps == 0:
                    tagged = {f"Pretrain/{name}": value for name, value in values.items()}
                    self._metrics.scalars("train", tagged, step)
                    self._metrics.line("pretrain", {"pretrain_step": step, **values})
                shown.update(step, {"upd": 1}, {"loss": values["loss"]})
                self._checkpoint_if_due()

    def _train(self) -> None:
        settings, count = self._settings, self._counters
        total = -(-settings.num_env_steps // self._environment.action_repeat)  # agent steps, rounded up
        if self._stop or count.agent_step >= total:
            return
        policy = py_tf_eager_policy.PyTFEagerPolicy(self._built.agent.collect_policy, use_tf_function=True)
        self._collector.begin(policy)
        losses = self._losses()
        with self._progress("train", total, count.agent_step, "agent steps") as shown:
            while count.agent_step < total and not self._stop:
                self._collector.finish()
                count.updates_owed += settings.updates_per_agent_step  # kept, should the environment fail now
                if count.agent_step < total:
                    self._collector.start()
                updates = int(count.updates_owed)
                count.updates_owed -= updates
                for _ in range(updates):
                    self._train_step(losses)
                notes = {"env": self._env_step, "ret": count.recent_return, "upd": self._train_steps}
                shown.update(count.agent_step, self._step_counts(updates), notes)
                if self._evaluation_is_due:
                    self._evaluate_once_here()
                self._checkpoint_if_due()

    # Steps.

    def _losses(self) -> Iterator[tf_agent.LossInfo]:
        """Makes a train step each time it is asked for one."""
        agent = self._built.agent
        for batch in self._replay.sample(self._built.batch_size):
            self._failures.keep(batch.experience if batch.weights is None else batch)
            loss_info = agent.train(batch.experience, batch.weights)
            extra = {name: value for name, value in loss_info.extra.items() if name != "priorities"}
            yield loss_info._replace(extra=extra)
            self._replay.update(batch, loss_info.extra)  # after the losses were checked

    def _train_step(self, losses: Iterator[tf_agent.LossInfo]) -> None:
        values = self._failures.checked(losses, self._where)
        if self._train_steps % self._settings.summary_interval_train_steps == 0:
            scalars = {f"Losses/{name}": value for name, value in values.items()}
            if self._counters.recent_returns:
                scalars["Metrics/AverageReturn"] = self._counters.recent_return
            self._metrics.scalars("train", scalars, self._env_step)
            returns = {"return": self._counters.recent_return if self._counters.recent_returns else None}
            self._metrics.line("train", {**self._position(), **returns, **values})

    # What is done now and then.

    @property
    def _evaluation_is_due(self) -> bool:
        return self._env_step % self._settings.eval_interval_env_steps < self._environment.action_repeat

    def _evaluate_once_here(self) -> None:
        self._collector.wait()  # so that not two environments render at a time
        count = self._counters
        if self._stop or count.last_eval.get("agent_step") == count.agent_step:
            return
        returns = self._evaluator.evaluate(self._position(), self._replay, lambda: bool(self._stop))
        if returns is not None:
            count.last_eval = {"agent_step": count.agent_step, **returns}
        gc.collect()  # datasets and graphs refer to themselves; Python would find them much later
        resources.give_back_freed_memory()

    def _checkpoint_if_due(self) -> None:
        if time.monotonic() - self._last_checkpoint >= self._settings.checkpoint_interval_seconds:
            self._checkpoint()

    def close(self) -> None:
        """Closes the environment."""
        failures.closed(self._collector.close)

    def _checkpoint(self) -> pathlib.Path:
        begin = time.monotonic()
        self._failures.check_weights(self._where())
        state = {
            **self._position(),
            "pretrain_step": 0 if self._built.pretraining is None else int(self._built.pretraining.step),
            "seed": self._seed,
            "num_sequences": self._replay.size,
            "counters": self._counters.state(),
            "files": self._metrics.state(),
        }
        with storage.writing(self._directory.checkpoints):
            self._directory.config.stat()  # deleted, all or in part: not made anew, as it could not be resumed
        place = self._saver.save(self._counters.agent_step, state, self._replay)
        resources.give_back_freed_memory()
        self._last_checkpoint = time.monotonic()
        logging.info("checkpoint %s, %.1f s", place, self._last_checkpoint - begin)
        return place

    def restore(self, found: checkpoints.Found) -> None:
        """Puts the run where a checkpoint was; replay has restored itself.

        Args:
            found: The checkpoint.
        """
        self._saver.restore(found)
        state = found.state
        self._counters = counters.Counters(**state["counters"])
        self._seconds_before = state["wall_seconds"]
        self._metrics.restore(state["files"])
        seed_everything(self._seed + self._counters.agent_step)  # not the same exploration once more
        logging.info(
            "restored agent step %d, train step %d, %d sequences from %s",
            *(self._counters.agent_step, self._train_steps, self._replay.size, found.directory),
        )

    # Numbers.

    @property
    def _env_step(self) -> int:
        return self._counters.agent_step * self._environment.action_repeat

    @property
    def _train_steps(self) -> int:
        return int(self._built.agent.train_step_counter)

    def _where(self) -> str:
        return f"train step {self._train_steps}, env step {self._env_step}"

    def _position(self) -> Dict[str, Any]:
        return {
            "env_step": self._env_step,
            "agent_step": self._counters.agent_step,
            "train_step": self._train_steps,
            "wall_seconds": round(self._seconds_before + time.monotonic() - self._start, 1),
        }

    def _step_counts(self, updates: int) -> Dict[str, float]:
        return {"env": self._environment.action_repeat, "upd": updates}

    def _progress(self, phase: str, total: int, done: int, unit: str) -> progress.Progress:
        return progress.Progress(phase, total, done, unit, self._settings.log_interval_seconds, self._note_resources)

    def _note_resources(self) -> Dict[str, int]:
        used = resources.used()
        self._metrics.line("resources", {**self._position(), **used})
        return used


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow.

    Args:
        seed: At least 0.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    tf.random.set_seed(seed)
