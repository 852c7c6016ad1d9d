"""Settings of the training loop, checked."""

import math
from typing import NamedTuple

from slac_tf import types
from slac_tf.environments import task_environment


class Settings(NamedTuple):
    """The loop's settings; `train_eval.train_eval` says what each is."""

    num_env_steps: int
    initial_collect_agent_steps: int
    num_pretrain_steps: int
    updates_per_agent_step: float
    overlap_collection: bool
    replay_capacity: int
    eval_interval_env_steps: int
    num_eval_episodes: int
    max_episode_agent_steps: int
    log_interval_seconds: float
    summary_interval_train_steps: int
    checkpoint_interval_seconds: float
    keep_exports: int
    replay_reachable_from_network: bool = False


_SWITCHES = ("overlap_collection", "replay_reachable_from_network")
_MAY_BE_FRACTIONS = ("updates_per_agent_step", "log_interval_seconds", "checkpoint_interval_seconds")
_MAY_BE_ZERO = ("num_pretrain_steps", "updates_per_agent_step", "log_interval_seconds", "keep_exports")


def check(settings: Settings) -> None:
    """Checks types and ranges.

    Args:
        settings: The settings.

    Raises:
        ValueError: If one is not a number or out of range; the message names it.
    """
    for name, value in settings._asdict().items():
        if name in _SWITCHES:
            if not isinstance(value, bool):
                raise ValueError(f"train_eval.{name}: {value!r}, expected True or False")
            continue
        kinds = (int, float) if name in _MAY_BE_FRACTIONS else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = "a number" if name in _MAY_BE_FRACTIONS else "an integer"
            raise ValueError(f"train_eval.{name}: {value!r}, expected {wanted} (without quotes)")
        if not math.isfinite(value):
            raise ValueError(f"train_eval.{name}: {value}, expected a finite number")
        if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
            wanted = "at least 0" if name in _MAY_BE_ZERO else "more than 0"
            raise ValueError(f"train_eval.{name}: {value}, expected {wanted}")


def check_sequences(settings: Settings, built: types.BuiltAgent, environment: task_environment.TaskEnvironment) -> None:
    """Checks that episodes hold the agent's sequences, and replay a batch of them.

    Args:
        settings: The settings.
        built: The agent.
        environment: The environment that it acts in.

    Raises:
        ValueError: If they do not.
    """
    episode = environment.episode_agent_steps
    if episode is not None and built.sequence_length > episode:
        raise ValueError(
            f"sequence_length: {built.sequence_length} agent steps, expected at most {episode}, an episode of "
            f"{environment.task_name} at action repeat {environment.action_repeat}"
        )
    if settings.replay_capacity < built.batch_size:
        raise ValueError(
            f"train_eval.replay_capacity: {settings.replay_capacity} sequences, expected at least batch_size "
            f"{built.batch_size}"
        )


def check_initial_data(settings: Settings, built: types.BuiltAgent) -> None:
    """Checks that the initial data hold at least one sequence.

    Args:
        settings: The settings.
        built: The agent.

    Raises:
        ValueError: If they do not.
    """
    needed = built.sequence_length + 1
    if settings.initial_collect_agent_steps < needed:
        raise ValueError(
            f"train_eval.initial_collect_agent_steps: {settings.initial_collect_agent_steps}, expected at "
            f"least {needed}, one more than sequence_length {built.sequence_length}"
        )
