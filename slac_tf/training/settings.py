"""Settings of a run, one class for each subject; gin binds them, and each refuses what it cannot be."""

import dataclasses
import typing
from typing import Annotated, Any, NamedTuple, Optional, Set

import gin

from slac_tf import types
from slac_tf.environments import task_environment
from slac_tf.replay import listening
from slac_tf.rollouts import episodes
from slac_tf.utils import checks


def _may_change(default: Any) -> Any:
    """A field that a run may be resumed with another value of: it does not become another run by it."""
    return dataclasses.field(default=default, metadata={"may_change": True})


class _Checked:
    """Looks at each field when it is made: the check stands in the field's annotation."""

    def __post_init__(self) -> None:
        checks.annotated(type(self).__name__, typing.get_type_hints(type(self), include_extras=True), vars(self))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Schedule(_Checked):
    """What is done, and how much of it.

    Attributes:
        num_env_steps: Simulator steps to train for, the random ones and action repeats counted.
        initial_collect_agent_steps: Agent steps of uniformly random actions before training; 0 for an agent that
            trains on its own steps alone.
        initial_collect_episodes: Whole episodes of them in that place, where it is not None.
        num_pretrain_steps: Gradient steps of the agent's representation alone, on the random data.
        updates_per_agent_step: Train steps for each agent step after that; may be a fraction. An agent that trains on
            its own steps alone makes one when its window is full, whatever stands here.
        updates_per_episode: Train steps at the end of each episode in that place, where it is not None; PlaNet's.
    """

    num_env_steps: checks.Count = _may_change(gin.REQUIRED)
    initial_collect_agent_steps: checks.WholeNumber = 10_000
    initial_collect_episodes: Optional[checks.Count] = None
    num_pretrain_steps: checks.WholeNumber = 100_000
    updates_per_agent_step: checks.NotNegative = 1
    updates_per_episode: Optional[checks.NotNegative] = None

    def random_data_is_complete(self, agent_step: int, episodes: int) -> bool:
        """Whether all random actions were made.

        Args:
            agent_step: Agent steps so far.
            episodes: Finished episodes so far.
        """
        if self.initial_collect_episodes is None:
            return agent_step >= self.initial_collect_agent_steps
        return episodes >= self.initial_collect_episodes

    def updates_due(self, episode_ends: bool) -> float:
        """Train steps that an agent step makes due.

        Args:
            episode_ends: Whether an episode ended with it.

        Returns:
            How many; may be a fraction.
        """
        if self.updates_per_episode is None:
            return self.updates_per_agent_step
        return self.updates_per_episode if episode_ends else 0.0


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ReplaySettings(_Checked):
    """The replay.

    Attributes:
        capacity: Sequences in replay, about as many agent steps.
        reachable_from_network: Whether others than this machine may reach the replay server, which has no
            authentication, or the networks that may: see SECURITY.md.
    """

    capacity: checks.Count = 100_000
    reachable_from_network: Annotated[listening.Reach, listening.check_reach] = _may_change(False)


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

    interval_env_steps: checks.Count = 10_000
    num_episodes: checks.Count = 10
    max_episode_agent_steps: checks.Count = _may_change(episodes.MAX_AGENT_STEPS)
    keep_exports: checks.Count = 3


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Intervals(_Checked):
    """How often a run is written down.

    Attributes:
        checkpoint_seconds: Between checkpoints.
        log_seconds: Between log lines.
        summary_train_steps: Train steps between scalars in TensorBoard and lines in metrics.jsonl.
    """

    checkpoint_seconds: checks.Positive = _may_change(600)
    log_seconds: checks.NotNegative = _may_change(30)
    summary_train_steps: checks.Count = 100


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Processor(_Checked):
    """How the processor is used; nothing that is computed depends on it.

    Attributes:
        intra_op_threads: Threads of one TensorFlow operation; 0 leaves the choice to TensorFlow, which takes all cores.
            With small networks 1 is faster: operations are too short to be shared, and run side by side instead.
    """

    intra_op_threads: checks.WholeNumber = _may_change(0)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Distributed(_Checked):
    """Of a run whose collectors are processes of their own, which `bin/launch` starts.

    Attributes:
        max_lead_agent_steps: How many agent steps the collectors may be ahead of the learner; they then wait. Below 20
            times the number of environments it costs throughput.
        peer_wait_seconds: How long a process waits for a replay server that does not answer before it ends with 75.
        learner_devices: Devices that the learner trains on, each with an equal share of every batch: GPUs, or parts of
            the CPU where there is none.
    """

    max_lead_agent_steps: checks.Count = _may_change(200)
    peer_wait_seconds: checks.Positive = _may_change(300)
    learner_devices: checks.Count = _may_change(1)


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

    root_dir: Annotated[Optional[str], _check_root_dir] = None
    encoder_only: checks.Boolean = False
    freeze: checks.Boolean = False

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
    processor: Processor = Processor()
    distributed: Distributed = Distributed()


def bound() -> Settings:
    """What gin binds.

    Returns:
        The settings.

    Raises:
        ValueError: If one is of another type or out of range; the message names it.
    """
    return Settings(
        Schedule(), ReplaySettings(), EvaluationSettings(), Intervals(), InitialModel(), Processor(), Distributed()
    )


def may_change() -> Set[str]:
    """Settings that a run may be resumed with another value of.

    Returns:
        `Class.field` of each.
    """
    classes = (Schedule, ReplaySettings, EvaluationSettings, Intervals, InitialModel, Processor, Distributed)
    return {f"{c.__name__}.{f.name}" for c in classes for f in dataclasses.fields(c) if f.metadata.get("may_change")}


def check_fit(
    settings: Settings,
    built: types.BuiltAgent,
    environment: task_environment.TaskEnvironment,
    num_environments: int = 1,
) -> None:
    """Checks that episodes and initial data hold the agent's sequences, and replay a batch of them.

    Args:
        settings: The settings.
        built: The agent.
        environment: The environment that it acts in.
        num_environments: How many of them.

    Raises:
        ValueError: If they do not.
    """
    if built.on_policy:  # windows hold any number of episodes, and no random steps
        if num_environments > 1:
            raise ValueError(
                f"train_eval.num_environments: {num_environments}, expected 1 for an agent that trains on its own "
                "steps alone, one window after the other"
            )
        return
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
    least = num_environments * (length + 1)
    if settings.schedule.initial_collect_episodes is None and initial < least:
        of_each = "" if num_environments == 1 else f", in each of {num_environments} environments"
        raise ValueError(
            f"Schedule.initial_collect_agent_steps: {initial}, expected at least {least}, one more than "
            f"sequence_length {length}{of_each}"
        )
    total, repeat = settings.schedule.num_env_steps, environment.action_repeat
    if settings.schedule.initial_collect_episodes is None and initial * repeat > total:
        raise ValueError(
            f"Schedule.num_env_steps: {total}, expected at least {initial * repeat}, the random data: "
            f"initial_collect_agent_steps {initial} at action repeat {repeat}"
        )
