"""Builds all parts of a run from its configuration; `loop.run` then runs them."""

import contextlib
import dataclasses
import functools
import pathlib
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence, Tuple

import gin
import tensorflow as tf
from absl import logging
from tf_agents.agents import tf_agent
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf import types
from slac_tf.environments import task_environment
from slac_tf.replay import interface, memory, rollout_replay, sequence_replay
from slac_tf.rollouts import batched_driver, rollout_driver
from slac_tf.runs import checkpoints, failures, finite, keeper, resources, run_dir, signals, storage
from slac_tf.training import evaluation, transfer
from slac_tf.training import settings as settings_lib
from slac_tf.utils import checks, processor, seeds

EVAL_SEED_OFFSET = 1_000_003


class Plan(NamedTuple):
    """What is built before anything is written: each mistake in a configuration comes up by then.

    Attributes:
        directory: The run's.
        seed: Of Python, NumPy, TensorFlow and the environments.
        config: All gin bindings as text.
        settings: Of the run.
        environments: To train in.
        eval_environment: To evaluate in.
        built: The agent.
        driver: Of the first of the environments; nothing observes it yet.
        found: The checkpoint to go on from; None at the start.
        transferred: What became of another run's model; None where none is asked for.
    """

    directory: run_dir.RunDir
    seed: int
    config: str
    settings: settings_lib.Settings
    environments: Sequence[task_environment.TaskEnvironment]
    eval_environment: task_environment.TaskEnvironment
    built: types.BuiltAgent
    driver: rollout_driver.RolloutDriver
    found: Optional[checkpoints.Found]
    transferred: Optional[transfer.Transferred]

    @property
    def environment(self) -> task_environment.TaskEnvironment:
        """The first of those to train in."""
        return self.environments[0]

    @property
    def capacity(self) -> int:
        """Windows that replay holds, of an agent that trains on its own newest steps alone: steps."""
        return self.built.sequence_length + 1 if self.built.on_policy else self.settings.replay.capacity


class Parts(NamedTuple):
    """What of a run may be in another process: `distributed.learner` has the stand-ins for it.

    Attributes:
        replay: A `SequenceReplay`, or what stands in for it.
        driver: Makes of the run's keeper a `RolloutDriver`, or what stands in for it.
        evaluator: Makes of the run's keeper and its evaluator what is to be asked in its place.
        stop: Becomes true where a signal asks to stop.
        train: In the place of the agent's `train`; that itself where None.
    """

    replay: Any
    driver: Callable[[keeper.Keeper], Any]
    evaluator: Callable[[keeper.Keeper, evaluation.Evaluator], Any]
    stop: signals.StopRequest
    train: Optional[Callable[..., tf_agent.LossInfo]] = None


class Experiment(NamedTuple):
    """What the loop runs.

    Attributes:
        schedule: What is done, and how much of it.
        seed: The run's.
        environment: To train in; the driver steps it.
        built: The agent.
        train: Makes a train step.
        driver: Steps policies in the environment; counters and replay observe it.
        replay: Sequences.
        evaluator: Evaluates the agent's policies.
        guard: Looks at what each train step reports.
        keeper: Keeps the run.
        record: Of failures.
        stop: Becomes true where a signal asks to stop.
    """

    schedule: settings_lib.Schedule
    seed: int
    environment: task_environment.TaskEnvironment
    built: types.BuiltAgent
    train: Callable[..., tf_agent.LossInfo]
    driver: rollout_driver.RolloutDriver
    replay: interface.Replay
    evaluator: evaluation.Evaluator
    guard: finite.FiniteGuard
    keeper: keeper.Keeper
    record: failures.Record
    stop: signals.StopRequest

    def updates_due(self, episode_ends: bool) -> float:
        """Train steps that an agent step makes due.

        Args:
            episode_ends: Whether an episode ended with it.

        Returns:
            What the schedule says; of an agent on its own steps alone, the windows that are full.
        """
        return float(self.replay.size) if self.built.on_policy else self.schedule.updates_due(episode_ends)


@gin.configurable
@checks.checked
def train_eval(
    root_dir: pathlib.Path,
    seed: int,
    config: str = "",
    settings: Optional[settings_lib.Settings] = None,
    *,
    load_environment: checks.Reference[task_environment.TaskEnvironment] = gin.REQUIRED,
    build_agent: checks.Reference[types.BuiltAgent] = gin.REQUIRED,
    driver: checks.Reference[rollout_driver.RolloutDriver] = rollout_driver.RolloutDriver,
    num_environments: checks.Count = 1,
    xla: checks.Boolean = False,
) -> Plan:
    """Builds a run, or the one in `root_dir` that was stopped; writes nothing.

    Args:
        root_dir: The run's directory.
        seed: Of Python, NumPy, TensorFlow and the environments. Reverb's sampling cannot be seeded.
        config: All gin bindings as text, where gin binds the rest; kept in the directory and compared when a run is
            resumed, and in exported policies, from which `bin/play` loads the task.
        settings: Those that gin binds where None.
        load_environment: Called with `seed`, for each environment to train in and once to evaluate.
        build_agent: Called with a time step spec, an action spec and the counter of train steps.
        driver: Called with an environment: what collects from one environment.
        num_environments: Environments to train in, which one policy steps at once, without overlap. The update ratio
            counts the agent steps of all.
        xla: Whether TensorFlow may compile clusters of operations with XLA on a GPU. It leaves the CPU as it is,
            where XLA makes the convolutions two to three times slower.

    Returns:
        All parts; `started` starts them.

    Raises:
        ValueError: If settings do not fit, or all checkpoints are damaged.
    """
    settings = settings_lib.bound() if settings is None else settings
    if settings.processor.intra_op_threads:
        processor.take_threads(settings.processor.intra_op_threads)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    if xla:
        tf.config.optimizer.set_jit("autoclustering")
    seeds.seed_everything(seed)

    directory = run_dir.RunDir(root_dir)
    found = checkpoints.newest(directory.checkpoints)
    # A resumed run has other first states than those that it began with.
    first = seed if found is None else seed + found.state["agent_step"]
    environment = load_environment(seed=first)
    built = build_agent_for(environment, build_agent)
    settings_lib.check_fit(settings, built, environment, num_environments)
    initial = settings.initial_model
    return Plan(
        directory=directory,
        seed=seed,
        config=config,
        settings=settings,
        environments=[
            environment,
            *(load_environment(seed=first + EVAL_SEED_OFFSET * (each + 1)) for each in range(1, num_environments)),
        ],
        eval_environment=load_environment(seed=seed + EVAL_SEED_OFFSET),
        built=built,
        driver=driver(environment),
        found=found,
        transferred=None
        if initial.root_dir is None
        else transfer.start_from(
            pathlib.Path(initial.root_dir).expanduser(),
            built,
            directory,
            encoder_only=initial.encoder_only,
            freeze=initial.freeze,
        ),
    )


def build_agent_for(
    environment: task_environment.TaskEnvironment, build_agent: Callable[..., types.BuiltAgent]
) -> types.BuiltAgent:
    """Builds an agent for an environment.

    Args:
        environment: What it is to act in.
        build_agent: Such as `build_slac`, with its settings.

    Returns:
        The agent.
    """
    specs = tensor_spec.from_spec((environment.time_step_spec(), environment.action_spec()))
    return build_agent(*specs, tf.Variable(0, dtype=tf.int64, trainable=False, name="train_step"))


def environment_of(seed: int) -> task_environment.TaskEnvironment:
    """Loads the environment that gin holds.

    Args:
        seed: Its seed.
    """
    return gin.query_parameter("train_eval.load_environment").scoped_configurable_fn(seed=seed)


def task_and_agent(seed: int) -> Tuple[task_environment.TaskEnvironment, types.BuiltAgent]:
    """What gin holds of a run, for a process that has other use for it than to train.

    Args:
        seed: Of the environment.

    Returns:
        A new environment and a new agent.
    """
    environment = environment_of(seed)
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    return environment, build_agent_for(environment, build_agent)


@contextlib.contextmanager
def started(plan: Plan, parts: Optional[Parts] = None) -> Iterator[Experiment]:
    """Takes the run's directory, starts its replay and restores its checkpoint; closes the environments at the end.

    Args:
        plan: The parts.
        parts: Those that are not in this process; None where all are.

    Yields:
        What the loop runs.

    Raises:
        run_dir.RunDirectoryError: If the directory holds another run, or has a newer checkpoint than when planned.
        listening.ListeningError: If the replay server could be reached by others.
        errors.ReplayError: If the replay server fails. Where it does not answer any more, the process
            ends with exit code 1: nothing else interrupts a call that waits for it.
        storage.StorageError: If something could not be written; the message says what is kept.
    """
    with contextlib.ExitStack() as at_the_end:
        plan.directory.open(plan.config, gin.operative_config_str(), plan.seed, settings_lib.may_change())
        at_the_end.callback(plan.directory.close)
        checkpoints.take_up(plan.directory.checkpoints, plan.found)
        at_the_end.callback(failures.closed, plan.eval_environment.close)
        if plan.transferred is not None:
            transfer.record(plan.transferred, plan.directory)
        experiment = _experiment(plan, _here(plan) if parts is None else parts)
        at_the_end.callback(failures.closed, experiment.driver.close)
        kept = experiment.keeper
        _say_what_begins(plan)
        if plan.found is None:
            kept.begin()
        else:
            kept.restore(plan.found)
        try:
            with experiment.replay.watched(kept.saver.last):
                yield experiment
        except storage.StorageError as error:
            raise kept.explain(error) from error


def _replay(plan: Plan) -> interface.Replay:
    if plan.built.on_policy:
        return rollout_replay.RolloutReplay(
            plan.built.agent.collect_data_spec, sequence_length=plan.built.sequence_length
        )
    if plan.found is not None and not (plan.found.replay / "DONE").exists():  # Reverb's last file
        raise run_dir.RunDirectoryError(
            f"{plan.directory.root} holds a run of bin/launch, whose replay is no part of its checkpoints: go on with "
            "bin/launch, or choose another --root_dir"
        )
    return sequence_replay.SequenceReplay(
        plan.built.agent.collect_data_spec,
        sequence_length=plan.built.sequence_length,
        capacity=plan.settings.replay.capacity,
        directory=plan.directory.replay,
        restore_from=None if plan.found is None else plan.found.replay,
        trained_step=plan.built.trained_step,
        prioritization=plan.built.prioritization,
        reachable_from_network=plan.settings.replay.reachable_from_network,
        num_streams=len(plan.environments),
    )


def _here(plan: Plan) -> Parts:
    """All parts in this process."""
    replay = _replay(plan)

    def driver(kept: keeper.Keeper) -> Any:
        def observe(step: trajectory_lib.Trajectory, stream: int) -> None:
            kept.counters.observe(step, stream)  # a resumed run has other counters
            replay.add(step, stream)

        observers = [[functools.partial(observe, stream=stream)] for stream in range(len(plan.environments))]
        if len(observers) == 1:
            plan.driver.observers.extend(observers[0])
            return plan.driver
        return batched_driver.BatchedDriver(plan.environments, observers)

    return Parts(replay, driver, lambda kept, evaluator: evaluator, signals.StopRequest())


def _experiment(plan: Plan, parts: Parts) -> Experiment:
    built, settings, replay = plan.built, plan.settings, parts.replay
    kept = keeper.Keeper(
        plan.directory,
        built,
        replay,
        seed=plan.seed,
        action_repeat=plan.environment.action_repeat,
        **dataclasses.asdict(settings.intervals),
    )
    record = failures.Record(plan.directory)
    evaluator = evaluation.Evaluator(
        plan.eval_environment,
        built,
        plan.directory,
        kept.metrics,
        settings.evaluation,
        seed=plan.seed,
        config=plan.config,
    )
    return Experiment(
        schedule=settings.schedule,
        seed=plan.seed,
        environment=plan.environment,
        built=built,
        train=built.agent.train if parts.train is None else parts.train,
        driver=parts.driver(kept),
        replay=replay,
        evaluator=parts.evaluator(kept, evaluator),
        guard=finite.FiniteGuard(record, kept.saver, lambda: built.agent.trainable_variables, kept.where),
        keeper=kept,
        record=record,
        stop=parts.stop,
    )


def _say_what_begins(plan: Plan) -> None:
    replay_bytes = memory.memory_estimate(plan.built.agent.collect_data_spec, plan.capacity)
    logging.info(
        "%s, seed %d, in %s | action repeat %d | %s | %d devices | replay of %d %s, about %.2f GiB when full, "
        "%.2f GiB in all",
        *(plan.environment.task_name, plan.seed, plan.directory.root, plan.environment.action_repeat),
        *(type(plan.built.agent).__name__, len(tf.config.list_physical_devices()), plan.capacity),
        *("steps" if plan.built.on_policy else "sequences", replay_bytes / 2**30),
        resources.peak_estimate(plan.built, replay_bytes) / 2**30,
    )
