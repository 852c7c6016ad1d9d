"""Returns of policies, and what an evaluation leaves behind: numbers, films, exported policies."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import gin
import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.policies import py_tf_eager_policy

from slac_tf import types
from slac_tf.environments import faults, task_environment
from slac_tf.export import saved_model
from slac_tf.replay import sequence_replay
from slac_tf.runs import films, metrics, run_dir, storage
from slac_tf.utils import images, masks

# 27 times the length of an episode in either suite, and that of the longest common ones, half an hour of Atari.
MAX_EPISODE_AGENT_STEPS = 27_000
_REPORT_SEQUENCES = 4
_MODEL_VIDEO_FPS = 5.0


class Episodes(NamedTuple):
    """What a policy achieved.

    Attributes:
        returns: Sum of rewards of each episode.
        lengths: Agent steps of each episode.
        frames: Of the first episode, `[T, H, W, 3] uint8`; empty where none were asked for.
    """

    returns: np.ndarray
    lengths: np.ndarray
    frames: np.ndarray


def run_episodes(
    environment: task_environment.TaskEnvironment,
    policy: Any,
    num_episodes: int,
    *,
    record: bool,
    should_stop: Callable[[], bool] = lambda: False,
    max_agent_steps: int = MAX_EPISODE_AGENT_STEPS,
) -> Episodes:
    """Runs whole episodes.

    Args:
        environment: Without batch dimension.
        policy: A TF-Agents PyPolicy, or what has its `get_initial_state` and `action`.
        num_episodes: How many.
        record: Whether to keep the frames of the first one.
        should_stop: Asked at every step; where true, what is finished is returned.
        max_agent_steps: The longest that an episode may be.

    Returns:
        The episodes.

    Raises:
        ValueError: If `num_episodes` is not positive.
        faults.FaultyEnvironmentError: If an episode does not end, or the environment fails.
    """
    if num_episodes < 1:
        raise ValueError(f"num_episodes: {num_episodes}, expected at least 1")
    returns: List[float] = []
    lengths: List[int] = []
    frames: List[np.ndarray] = []
    for episode in range(num_episodes):
        time_step = environment.reset()
        policy_state = policy.get_initial_state(1)
        total, length = 0.0, 0
        while not time_step.is_last():
            if should_stop():
                return Episodes(np.array(returns), np.array(lengths), np.array(frames, np.uint8))
            if length == max_agent_steps:
                raise faults.FaultyEnvironmentError(
                    f"{environment.task_name}: episode {episode + 1} has not ended after {length} agent steps: give "
                    "the environment a time limit, or bind train_eval.max_episode_agent_steps to more"
                )
            if record and episode == 0:
                frames.append(_frame(environment, time_step))
            step = policy.action(time_step, policy_state)
            policy_state = step.state
            time_step = environment.step(step.action)
            total += float(time_step.reward)
            length += 1
        returns.append(total)
        lengths.append(length)
    return Episodes(np.array(returns), np.array(lengths), np.array(frames, np.uint8))


def bound_max_episode_agent_steps() -> int:
    """What the configuration that gin holds says of the longest episode.

    Returns:
        Agent steps.
    """
    bindings = gin.get_bindings("train_eval", inherit_scopes=False)
    return int(bindings.get("max_episode_agent_steps", MAX_EPISODE_AGENT_STEPS))


def frames_per_second(environment: task_environment.TaskEnvironment) -> float:
    """The pace at which a film of an environment shows real time, 50 at the most.

    Args:
        environment: The environment.

    Returns:
        Frames (agent steps) a second.
    """
    return min(50.0, 1.0 / environment.agent_time_step)


def export_manifest(
    environment: task_environment.TaskEnvironment, config: str, env_step: int, seed: int
) -> Dict[str, Any]:
    """What an exported policy says of itself, whichever policy of the run it is.

    Args:
        environment: The run's.
        config: All gin bindings as text, from which the task can be loaded again.
        env_step: Simulator steps trained for.
        seed: The run's.

    Returns:
        Plain values.
    """
    return {
        "task": environment.task_name,
        "action_repeat": environment.action_repeat,
        "env_step": env_step,
        "seed": seed,
        "git_commit": run_dir.git_commit(),
        "config": config,
    }


class Evaluator:
    """Evaluates a run's policies and writes down everything about it."""

    def __init__(
        self,
        environment: task_environment.TaskEnvironment,
        built: types.BuiltAgent,
        directory: run_dir.RunDir,
        writer: metrics.MetricsWriter,
        *,
        seed: int,
        config: str,
        num_episodes: int,
        max_episode_agent_steps: int,
        keep_exports: int,
    ):
        """Constructor.

        Args:
            environment: For evaluation alone.
            built: The agent with its policies.
            directory: The run's.
            writer: The run's.
            seed: The run's, for the record.
            config: All gin bindings as text, for the exports.
            num_episodes: Of each policy.
            max_episode_agent_steps: The longest that an episode may be.
            keep_exports: Exports to keep, the newest.
        """
        self._environment = environment
        self._built = built
        self._exporter = saved_model.Exporter(built.policies)
        self._directory = directory
        self._metrics = writer
        self._seed = seed
        self._config = config
        self._num_episodes = num_episodes
        self._max_episode_agent_steps = max_episode_agent_steps
        self._keep_exports = keep_exports
        self._policies = {
            name: py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True)
            for name, policy in built.policies.items()
        }

    def evaluate(
        self,
        position: Mapping[str, Any],
        replay: sequence_replay.SequenceReplay,
        should_stop: Callable[[], bool],
    ) -> Optional[Dict[str, float]]:
        """Runs the episodes; then numbers, films and exports. An evaluation is whole or not there.

        Args:
            position: `env_step`, `agent_step`, `train_step` and `wall_seconds` of the run.
            replay: For the pictures of the latent model.
            should_stop: Asked at every step.

        Returns:
            Mean return by policy, or None if it was stopped.

        Raises:
            faults.FaultyEnvironmentError: If an episode does not end, or the environment fails.
        """
        logging.info("evaluating at env step %d: %d episodes of each policy", position["env_step"], self._num_episodes)
        results: Dict[str, Episodes] = {}
        for name, policy in self._policies.items():
            try:
                results[name] = run_episodes(
                    self._environment,
                    policy,
                    self._num_episodes,
                    record=name == "greedy" and "pixels" in self._environment.observation_spec(),
                    should_stop=should_stop,
                    max_agent_steps=self._max_episode_agent_steps,
                )
            except faults.FaultyEnvironmentError as fault:
                raise faults.FaultyEnvironmentError(f"evaluation of the {name} policy: {fault}") from fault
            if should_stop():
                return None
        env_step = position["env_step"]
        returns = {name: episodes.returns for name, episodes in results.items()}
        with storage.writing(self._directory.policies):
            self._exporter.export(
                returns,
                export_manifest(self._environment, self._config, env_step, self._seed),
                self._directory.policies,
                keep=self._keep_exports,
            )
        with storage.writing(self._directory.videos):
            self._write_films(results["greedy"].frames, replay, env_step)
        self._write_numbers(results["greedy"], results["stochastic"], position)
        logging.info(
            "eval at env step %d: %s",
            env_step,
            ", ".join(f"{name} {r.mean():.1f} ± {r.std():.1f}" for name, r in returns.items()),
        )
        return {name: float(values.mean()) for name, values in returns.items()}

    def _write_films(self, frames: np.ndarray, replay: sequence_replay.SequenceReplay, env_step: int) -> None:
        if not len(frames):  # an agent that sees no pixels has none rendered; bin/play makes a film of it
            return
        fps = frames_per_second(self._environment)
        films.write_mp4(self._directory.videos / f"env_step_{env_step:09d}.mp4", frames, fps)
        with self._metrics.writer("eval").as_default():
            films.write_gif("rollout/greedy", frames, fps, env_step)
            report = self._report(replay)
            if report is not None:
                tag = "model/truth_posterior_conditional_prior_prior"
                films.write_gif(tag, report, _MODEL_VIDEO_FPS, env_step)

    def _report(self, replay: sequence_replay.SequenceReplay) -> Optional[np.ndarray]:
        """The agent's pictures of sequences within one episode, `[T+1, H, W, 3] uint8`, or None."""
        if self._built.report is None:
            return None
        batch = next(replay.sample(16 * _REPORT_SEQUENCES)).experience
        whole = ~tf.reduce_any(masks.is_first(batch.step_type)[:, 1:], axis=1)
        batch = tf.nest.map_structure(lambda x: tf.boolean_mask(x, whole)[:_REPORT_SEQUENCES], batch)
        if not batch.step_type.shape[0]:
            return None
        return images.clip_grid(list(self._built.report(batch).values()))

    def _write_numbers(self, greedy: Episodes, stochastic: Episodes, position: Mapping[str, Any]) -> None:
        scalars = {
            "Metrics/AverageReturn": stochastic.returns.mean(),
            "Metrics/AverageEpisodeLength": stochastic.lengths.mean(),
            "Metrics/AverageReturnGreedy": greedy.returns.mean(),
            "Metrics/AverageEpisodeLengthGreedy": greedy.lengths.mean(),
        }
        self._metrics.scalars("eval", scalars, position["env_step"])
        row = {
            "task": self._environment.task_name,
            "seed": self._seed,
            "OriginalEnvironmentSteps": position["env_step"],
            "agent_step": position["agent_step"],
            "train_step": position["train_step"],
            "NumberOfEpisodes": self._num_episodes,
            "AverageReturnEvalPolicy": round(float(stochastic.returns.mean()), 4),
            "StdReturnEvalPolicy": round(float(stochastic.returns.std()), 4),
            "AverageEpisodeLength": float(stochastic.lengths.mean()),
            "AverageReturnEvalGreedyPolicy": round(float(greedy.returns.mean()), 4),
            "StdReturnEvalGreedyPolicy": round(float(greedy.returns.std()), 4),
            "wall_seconds": position["wall_seconds"],
        }
        self._metrics.eval_row(row)
        self._metrics.line("eval", {"env_step": position["env_step"], **row})
        self._metrics.flush()


def _frame(environment: task_environment.TaskEnvironment, time_step: Any) -> np.ndarray:
    """The picture of a time step, rendered only where the observation has none."""
    frame = time_step.observation.get("pixels")
    return environment.render() if frame is None else np.asarray(frame)
