"""What an evaluation leaves behind: returns, films, exported policies."""

import gc
from typing import Any, Callable, Dict, Mapping, Optional

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.policies import py_tf_eager_policy

from slac_tf import types
from slac_tf.environments import faults, task_environment
from slac_tf.export import saved_model
from slac_tf.rollouts import episodes
from slac_tf.runs import films, resources, run_dir, storage
from slac_tf.training import settings as settings_lib
from slac_tf.utils import images, masks

_REPORT_SEQUENCES = 4
_MODEL_VIDEO_FPS = 5.0


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
        writer: Any,
        settings: settings_lib.EvaluationSettings,
        *,
        seed: int,
        config: str,
    ):
        """Constructor.

        Args:
            environment: For evaluation alone.
            built: The agent with its policies.
            directory: The run's.
            writer: The run's `MetricsWriter`, or what gives the TensorBoard writer for films where `run` alone is used.
            settings: Of evaluations.
            seed: The run's, for the record.
            config: All gin bindings as text, for the exports.
        """
        self._environment = environment
        self._built = built
        self._exporter = saved_model.Exporter(built.policies)
        self._directory = directory
        self._metrics = writer
        self._settings = settings
        self._seed = seed
        self._config = config
        self._policies = {
            name: py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True)
            for name, policy in built.policies.items()
        }
        self._filmed = next(iter(built.policies))

    def is_due(self, env_step: int, action_repeat: int) -> bool:
        """Whether the agent step that led here has passed a multiple of the interval.

        Args:
            env_step: Simulator steps so far.
            action_repeat: Of which the last agent step made this many.

        Returns:
            Whether it has.
        """
        return env_step % self._settings.interval_env_steps < action_repeat

    def evaluate(
        self,
        position: Mapping[str, Any],
        replay: Any,
        should_stop: Callable[[], bool],
    ) -> Optional[Dict[str, float]]:
        """Runs the episodes; then exports, films and numbers. An evaluation is whole or not there.

        Args:
            position: `env_step`, `agent_step`, `train_step` and `wall_seconds` of the run.
            replay: For the pictures of the latent model: a `SequenceReplay`, or what stands in for it.
            should_stop: Asked at every step.

        Returns:
            Mean return by policy, or None if it was stopped.

        Raises:
            faults.FaultyEnvironmentError: If an episode does not end, or the environment fails.
            storage.StorageError: If something could not be written.
        """
        results = self.run(position["env_step"], replay, should_stop)
        return None if results is None else self.write(results, position)

    def run(
        self, env_step: int, replay: Any, should_stop: Callable[[], bool]
    ) -> Optional[Dict[str, episodes.Episodes]]:
        """Runs the episodes; then exports and films.

        Args:
            env_step: Of the run.
            replay: As `evaluate` takes it.
            should_stop: Asked at every step.

        Returns:
            The episodes by policy, or None if it was stopped.

        Raises:
            faults.FaultyEnvironmentError, storage.StorageError: As `evaluate` does.
        """
        logging.info("evaluating at env step %d: %d episodes of each policy", env_step, self._settings.num_episodes)
        results: Dict[str, episodes.Episodes] = {}
        for name in self._policies:
            results[name] = self._run_episodes(name, should_stop)
            if should_stop():
                return None
        model_film = self._report(replay) if len(results[self._filmed].frames) else None
        returns = {name: result.returns for name, result in results.items()}
        with storage.writing(self._directory.policies):
            self._exporter.export(
                returns,
                export_manifest(self._environment, self._config, env_step, self._seed),
                self._directory.policies,
                keep=self._settings.keep_exports,
            )
        self._write_films(results[self._filmed].frames, model_film, env_step)
        gc.collect()  # datasets and graphs refer to themselves; Python would find them much later
        resources.give_back_freed_memory()
        return results

    def _run_episodes(self, name: str, should_stop: Callable[[], bool]) -> episodes.Episodes:
        try:
            return episodes.run_episodes(
                self._environment,
                self._policies[name],
                self._settings.num_episodes,
                # An agent that sees no pixels has none rendered; bin/play makes a film of it.
                record=name == self._filmed and "pixels" in self._environment.observation_spec(),
                should_stop=should_stop,
                max_agent_steps=self._settings.max_episode_agent_steps,
            )
        except faults.FaultyEnvironmentError as fault:
            raise faults.FaultyEnvironmentError(f"evaluation of the {name} policy: {fault}") from fault

    def _report(self, replay: Any) -> Optional[np.ndarray]:
        """The agent's pictures of sequences within one episode, `[T+1, H, W, 3] uint8`, or None."""
        if self._built.report is None:
            return None
        experience = next(replay.sample(16 * _REPORT_SEQUENCES)).experience
        whole = ~tf.reduce_any(masks.is_first(experience.step_type)[:, 1:], axis=1)
        experience = tf.nest.map_structure(lambda x: tf.boolean_mask(x, whole)[:_REPORT_SEQUENCES], experience)
        if not experience.step_type.shape[0]:
            return None
        return images.clip_grid(list(self._built.report(experience).values()))

    def _write_films(self, frames: np.ndarray, model_film: Optional[np.ndarray], env_step: int) -> None:
        if not len(frames):
            return
        fps = frames_per_second(self._environment)
        clips = {f"rollout/{self._filmed}": (frames, fps)}
        if model_film is not None:
            clips["model/truth_posterior_conditional_prior_prior"] = (model_film, _MODEL_VIDEO_FPS)
        gifs = {tag: films.encode_gif(*clip) for tag, clip in clips.items()}
        with storage.writing(self._directory.videos):
            films.write_mp4(self._directory.videos / f"env_step_{env_step:09d}.mp4", frames, fps)
            with self._metrics.writer("eval").as_default():
                for tag, (clip, _) in clips.items():
                    films.write_gif(tag, gifs[tag], (clip.shape[1], clip.shape[2]), env_step)

    def write(self, results: Mapping[str, episodes.Episodes], position: Mapping[str, Any]) -> Dict[str, float]:
        """Writes the numbers of an evaluation.

        Args:
            results: The episodes by policy.
            position: As `evaluate` takes it.

        Returns:
            Mean return by policy.

        Raises:
            storage.StorageError: If something could not be written.
        """
        scalars: Dict[str, float] = {}
        row: Dict[str, Any] = {
            "task": self._environment.task_name,
            "seed": self._seed,
            "OriginalEnvironmentSteps": position["env_step"],
            "agent_step": position["agent_step"],
            "train_step": position["train_step"],
            "NumberOfEpisodes": self._settings.num_episodes,
        }
        # The stochastic policy, which the paper plots, has the plain names of the published curves' files.
        for name, result in sorted(results.items(), key=lambda item: item[0] != "stochastic"):
            suffix = "" if name == "stochastic" else name.capitalize()
            scalars[f"Metrics/AverageReturn{suffix}"] = result.returns.mean()
            scalars[f"Metrics/AverageEpisodeLength{suffix}"] = result.lengths.mean()
            row[f"AverageReturnEval{suffix}Policy"] = round(float(result.returns.mean()), 4)
            row[f"StdReturnEval{suffix}Policy"] = round(float(result.returns.std()), 4)
            if "AverageEpisodeLength" not in row:
                row["AverageEpisodeLength"] = float(result.lengths.mean())
        row["wall_seconds"] = position["wall_seconds"]
        self._metrics.scalars("eval", scalars, position["env_step"])
        self._metrics.eval_row(row)
        self._metrics.line("eval", {"env_step": position["env_step"], **row})
        self._metrics.flush()
        logging.info(
            "eval at env step %d: %s",
            position["env_step"],
            ", ".join(f"{name} {r.returns.mean():.1f} ± {r.returns.std():.1f}" for name, r in results.items()),
        )
        return {name: float(result.returns.mean()) for name, result in results.items()}
