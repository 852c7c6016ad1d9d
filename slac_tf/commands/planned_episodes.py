"""`bin/mpc`'s episodes: what is planned, kept and shown."""

import csv
import dataclasses
import io
import json
import time
from typing import Any, Callable, Dict, List, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import simulator, task_environment
from slac_tf.planning import cem
from slac_tf.policies import simulator_policy
from slac_tf.rollouts import episodes
from slac_tf.runs import films, progress, resources, run_dir, signals, storage
from slac_tf.training import evaluation, settings
from slac_tf.utils import seeds


class Task(NamedTuple):
    """What is planned in.

    Attributes:
        name: Such as 'cheetah_run'.
        action_repeat: Control steps per agent step.
        episode_agent_steps: The most that an episode has.
    """

    name: str
    action_repeat: int
    episode_agent_steps: int


@dataclasses.dataclass(frozen=True)
class PlannedEpisodes:
    """Episodes of model predictive control, each on its own: what a signal leaves undone is done later just the same.

    Attributes:
        directory: Keeps `mpc.json`, `eval.csv` and the film of the first episode.
        load_environment: Called with `seed`.
        planner: Settings of the plans.
        evaluation: Has the longest that an episode may be.
        intervals: Has the seconds between log lines.
        seed: Of the first states and of the candidates.
        stop: Ends all at the next iteration of a plan; the episode in progress is lost.
    """

    directory: run_dir.RunDir
    load_environment: Callable[..., task_environment.TaskEnvironment]
    planner: cem.CemSettings
    evaluation: settings.EvaluationSettings
    intervals: settings.Intervals
    seed: int
    stop: signals.StopRequest

    def task(self) -> Task:
        """Loads the task, so that each mistake comes up before anything is written.

        Returns:
            What it is.

        Raises:
            ValueError: If plans cannot be simulated in it, or it cannot be loaded.
        """
        environment = self.load_environment(seed=self.seed)
        try:
            simulator.Simulator(environment).close()
            limit = environment.episode_agent_steps or self.evaluation.max_episode_agent_steps
            return Task(environment.task_name, environment.action_repeat, limit)
        finally:
            environment.close()

    def finished(self) -> List[Dict[str, Any]]:
        """Returns the finished episodes, as `mpc.json` has them."""
        path = self.directory.root / "mpc.json"
        return json.loads(path.read_text())["episodes"] if path.exists() else []

    def run(self, num_episodes: int, task: Task) -> np.ndarray:
        """Runs the episodes that are not there yet, and writes each down as soon as it is finished.

        Args:
            num_episodes: How many there will be.
            task: As `task` gave it.

        Returns:
            Returns of the finished ones, `[N] float64`, at most `num_episodes`.

        Raises:
            faults.FaultyEnvironmentError: If the environment fails.
            storage.StorageError: If something could not be written.
        """
        finished = self.finished()
        with progress.Progress(
            "plan",
            num_episodes * task.episode_agent_steps,
            len(finished) * task.episode_agent_steps,
            "agent steps",
            self.intervals.log_seconds,
            resources.used,
        ) as shown:
            for number in range(len(finished), num_episodes):
                episode = self._episode(number, shown, task)
                if self.stop:
                    break
                finished.append(episode)
                self._write(finished, task)
                logging.info(
                    "episode %d of %d: return %.1f in %d agent steps, %.0f s",
                    *(number + 1, num_episodes, episode["return"], episode["agent_steps"], episode["seconds"]),
                )
        return np.array([episode["return"] for episode in finished[:num_episodes]])

    def _episode(self, number: int, shown: progress.Progress, task: Task) -> Dict[str, Any]:
        """One episode; worth nothing where `stop` has become true."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        seeds.seed_everything(seed)
        began = time.monotonic()
        environment = self.load_environment(seed=seed)
        simulation = simulator.Simulator(environment)
        try:
            planner = simulator_policy.SimulatorPolicy(
                simulation, environment.action_spec().shape[0], self.planner, lambda: bool(self.stop)
            )
            done = number * task.episode_agent_steps
            result = episodes.run_episodes(
                environment,
                _Shown(planner, shown, done, {"episode": number + 1}),
                1,
                record=number == 0 and "pixels" in environment.observation_spec(),
                should_stop=lambda: bool(self.stop),
                max_agent_steps=self.evaluation.max_episode_agent_steps,
            )
            if self.stop:
                return {}
            if len(result.frames):
                with storage.writing(self.directory.videos):
                    fps = evaluation.frames_per_second(environment)
                    films.write_mp4(self.directory.videos / "episode_1.mp4", result.frames, fps)
            return {
                "return": float(result.returns[0]),
                "agent_steps": int(result.lengths[0]),
                "simulated_control_steps": simulation.control_steps,
                "seconds": round(time.monotonic() - began, 3),
            }
        finally:
            simulation.close()
            environment.close()

    def _write(self, finished: List[Dict[str, Any]], task: Task) -> None:
        returns = np.array([episode["return"] for episode in finished])
        seconds = round(sum(episode["seconds"] for episode in finished), 3)
        record = {
            "task": task.name,
            "action_repeat": task.action_repeat,
            "seed": self.seed,
            "planner": dataclasses.asdict(self.planner),
            "mean_return": float(returns.mean()),
            "std_return": float(returns.std()),
            "simulated_control_steps": sum(episode["simulated_control_steps"] for episode in finished),
            "seconds": seconds,
            "episodes": finished,
        }
        row = {
            "task": task.name,
            "seed": self.seed,
            "OriginalEnvironmentSteps": 0,  # nothing is learned; bin/results draws a level
            "NumberOfEpisodes": len(finished),
            "AverageReturnEvalPolicy": round(float(returns.mean()), 4),
            "StdReturnEvalPolicy": round(float(returns.std()), 4),
            "AverageEpisodeLength": float(np.mean([episode["agent_steps"] for episode in finished])),
            "wall_seconds": seconds,
        }
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([list(row), list(row.values())])
        with storage.writing(self.directory.root):
            run_dir.write_atomically(self.directory.eval_csv, text.getvalue())
            run_dir.write_atomically(self.directory.root / "mpc.json", json.dumps(record, indent=1) + "\n")


class _Shown:
    """A policy whose steps are shown."""

    def __init__(self, policy: Any, shown: progress.Progress, done: int, notes: Dict[str, Any]) -> None:
        self._policy, self._shown, self._done, self._notes = policy, shown, done, notes

    def get_initial_state(self, batch_size: int) -> tf.Tensor:
        return self._policy.get_initial_state(batch_size)

    def action(self, time_step: ts.TimeStep, policy_state: tf.Tensor) -> policy_step.PolicyStep:
        answer = self._policy.action(time_step, policy_state)
        self._done += 1
        self._shown.update(self._done, {"agent steps": 1}, self._notes)
        return answer
