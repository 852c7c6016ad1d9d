"""Settings of a run, one class for each subject; gin binds them, and each refuses what it cannot be."""

import dataclasses
from typing import Any, Callable, NamedTuple, Optional, Set

import gin

from slac_tf import types
from slac_tf.environments import task_environment
from slac_tf.rollouts import episodes
from slac_tf.utils import checks


def _setting(default: Any, check: Callable[..., None], *, may_change: bool = False) -> Any:
    """A field with its rule: a run may be resumed with another value only where `may_change` says so."""
    return dataclasses.field(default=default, metadata={"check": check, "may_change": may_change})


class _Checked:
    """Looks at each field when it is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            field.metadata["check"](type(self).__name__, **{field.name: getattr(self, field.name)})


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Schedule(_Checked):
    """What is done, and how much of it.

    Attributes:
        num_env_steps: Simulator steps to train for, the random ones and action repeats counted.
        initial_collect_agent_steps: Agent steps of uniformly random actions before training.
        num_pretrain_steps: Gradient steps of the agent's representation alone, on the random data.
        updates_per_agent_step: Train steps for each agent step after that; may be a fraction.
    """

    num_env_steps: int = _setting(gin.REQUIRED, checks.counts, may_change=True)
    initial_collect_agent_steps: int = _setting(10_000, checks.counts)
    num_pretrain_steps: int = _setting(100_000, checks.whole_numbers)
    updates_per_agent_step: float = _setting(1, checks.not_negative)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ReplaySettings(_Checked):
    """The replay.

    Attributes:
        capacity: Sequences in replay, about as many agent steps.
        reachable_from_network: Whether others may reach the replay server, which has no authentication: see
            SECURITY.md.
    """

    capacity: int = _setting(100_000, checks.counts)
    reachable_from_network: bool = _setting(False, checks.booleans, may_change=True)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class EvaluationSettings(_Checked):
    """Evaluations.

    Attributes:
        interval_env_steps: Simulator steps between evaluations; one more comes before training and one at the end.
        num_episodes: Episodes of each policy in an evaluation.
        max_episode_agent_steps: The longest that an episode of an evaluation may be; one that has not ended then
            is an error, for without an end it has no return. Collection has no such limit.
        keep_exports: Exported policies to keep, the newest.
    """

    interval_env_steps: int = _setting(10_000, checks.counts)
    num_episodes: int = _setting(10, checks.counts)
    max_episode_agent_steps: int = _setting(episodes.MAX_AGENT_STEPS, checks.counts, may_change=True)
    keep_exports: int = _setting(3, checks.whole_numbers)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Intervals(_Checked):
    """How often a run is written down.

    Attributes:
        checkpoint_seconds: Between checkpoints.
        log_seconds: Between log lines.
        summary_train_steps: Train steps between scalars in TensorBoard and lines in metrics.jsonl.
    """

    checkpoint_seconds: float = _setting(600, checks.positive, may_change=True)
    log_seconds: float = _setting(30, checks.not_negative, may_change=True)
    summary_train_steps: int = _setting(100, checks.counts)


def _check_root_dir(where: str, root_dir: Optional[str]) -> None:
    if root_dir is not None and not isinstance(root_dir, str):
        raise ValueError(f"{where}.root_dir: {root_dir!r}, expected a run's directory, in quotes")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class InitialModel(_Checked):
    """Another run, whose latent model this one starts from.

    Parts of other shapes (for example of another action size) are left out, which is said.

    Attributes:
        root_dir: Directory of the other run; None starts from random weights.
        encoder_only: Whether to take the encoder alone.
        freeze: Whether what is taken stays as it is.
    """

    root_dir: Optional[str] = _setting(None, _check_root_dir)
    encoder_only: bool = _setting(False, checks.booleans)
    freeze: bool = _setting(False, checks.booleans)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("encoder_only", "freeze"):
            if self.root_dir is None and getattr(self, name):
                raise ValueError(
                    f"InitialModel.{name}: True, expected False where no InitialModel.root_dir is bound: bind that to "
                    "a run's directory"
                )


class Settings(NamedTuple):
    """All of a run's settings but those of environment and agent."""

    schedule: Schedule
    replay: ReplaySettings = ReplaySettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    intervals: Intervals = Intervals()
    initial_model: InitialModel = InitialModel()


def bound() -> Settings:
    """What gin binds.

    Returns:
        The settings.

    Raises:
        ValueError: If one is of another type or out of range; the message names it.
    """
    return Settings(Schedule(), ReplaySettings(), EvaluationSettings(), Intervals(), InitialModel())


def may_change() -> Set[str]:
    """Settings that a run may be resumed with another value of: it does not become another run by them.

    Returns:
        `Class.field` of each.
    """
    classes = (Schedule, ReplaySettings, EvaluationSettings, Intervals, InitialModel)
    return {f"{c.__name__}.{f.name}" for c in classes for f in dataclasses.fields(c) if f.metadata["may_change"]}


def check_fit(settings: Settings, built: types.BuiltAgent, environment: task_environment.TaskEnvironment) -> None:
    """Checks that episodes and initial data hold the agent's sequences, and replay a batch of them.

    Args:
        settings: The settings.
        built: The agent.
        environment: The environment that it acts in.

    Raises:
        ValueError: If they do not.
    """
    length, episode = built.sequence_length, environment.episode_agent_steps
    if episode is not None and length > episode:
        raise ValueError(
            f"sequence_length: {length} agent steps, expected at most {episode}, an episode of "
            f"{environment.task_name} at action repeat {environment.action_repeat}"
        )
    if settings.replay.capacity < built.batch_size:
        raise ValueError(
            f"ReplaySettings.capacity: {settings.replay.capacity} sequences, expected at least batch_size "
            f"{built.batch_size}"
        )
    initial = settings.schedule.initial_collect_agent_steps
    if initial < length + 1:
        raise ValueError(
            f"Schedule.initial_collect_agent_steps: {initial}, expected at least {length + 1}, one more than "
            f"sequence_length {length}"
        )
