"""A run from its first step to its last: Algorithm 1 of the paper, and what surrounds it."""

import contextlib
import math
from typing import Iterator, NamedTuple, Optional

from absl import logging
from tf_agents.policies import py_tf_eager_policy, random_py_policy

from slac_tf.environments import faults
from slac_tf.replay import reader
from slac_tf.runs import failures, progress, signals
from slac_tf.training import experiment as experiment_lib


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


def run(experiment: experiment_lib.Experiment) -> Result:
    """Does all that is left to do of a run, or what there is time for until a signal comes.

    Args:
        experiment: The run, started.

    Returns:
        How it ended.

    Raises:
        finite.NonFiniteError: If losses or weights stay NaN or infinite.
        failures.EnvironmentFailedError: If the environment fails.
    """
    experiment.stop.install()
    built, replay = experiment.built, experiment.replay
    # Held here: to close an iterator of Reverb's can take a minute, and the last checkpoint must not wait for that.
    pretrain_batches = None if built.pretraining is None else replay.sample(built.pretraining.batch_size)
    batches = replay.sample(built.batch_size)
    try:
        with contextlib.suppress(signals.Stopped):
            collect_at_random(experiment)
            pretrain(experiment, pretrain_batches)
            _evaluate_at_the_beginning(experiment)
            train(experiment, batches)
            _evaluate(experiment)
        if experiment.stop:
            logging.warning("stopped by signal %d: writing a checkpoint", experiment.stop.signal)
        _checkpoint(experiment)
    except faults.FaultyEnvironmentError as fault:
        raise _end_of_environment(experiment, fault) from fault
    counters = experiment.keeper.counters
    return Result(
        random_return=counters.random_return,
        greedy_return=counters.last_eval.get("greedy", math.nan),
        stochastic_return=counters.last_eval.get("stochastic", math.nan),
        exit_code=experiment.stop.exit_code,
    )


def collect_at_random(experiment: experiment_lib.Experiment) -> None:
    """Fills replay with steps of uniformly random actions."""
    driver, keeper, schedule = experiment.driver, experiment.keeper, experiment.schedule
    counters, episodes = keeper.counters, schedule.initial_collect_episodes
    total, unit = (schedule.initial_collect_agent_steps, "agent steps") if episodes is None else (episodes, "episodes")

    def done() -> int:
        return counters.agent_step if episodes is None else counters.episodes

    def complete() -> bool:
        return schedule.random_data_is_complete(counters.agent_step, counters.episodes)

    if complete():
        return
    environment, seed = experiment.environment, experiment.seed + counters.agent_step
    specs = environment.time_step_spec(), environment.action_spec()
    driver.begin(random_py_policy.RandomPyPolicy(*specs, seed=seed))
    logging.info("collecting %d %s of random actions", total - done(), unit)
    with keeper.progress("random", total, done(), unit) as shown:
        while not complete() and not experiment.stop:
            driver.run()
            if complete():  # before a checkpoint at this step
                counters.random_return = counters.recent_return
            shown.update(done(), {"env": environment.action_repeat, "upd": 0}, {})
            _checkpoint_if_due(experiment)


def pretrain(experiment: experiment_lib.Experiment, batches: Optional[Iterator[reader.Batch]]) -> None:
    """Trains what the agent pretrains, for SLAC its latent model, on the random data."""
    pretraining, keeper = experiment.built.pretraining, experiment.keeper
    total = experiment.schedule.num_pretrain_steps
    if pretraining is None or batches is None or experiment.stop or keeper.pretrain_step >= total:
        return
    with keeper.progress("pretrain", total, keeper.pretrain_step, "model steps") as shown:
        while keeper.pretrain_step < total and not experiment.stop:
            batch = next(batches)
            loss_info = pretraining.train(batch.experience)
            values = experiment.guard.check(batch, loss_info)
            keeper.log_pretrain_step(values)
            shown.update(keeper.pretrain_step, {"upd": 1}, {"loss": values["loss"]})
            _checkpoint_if_due(experiment)


def train(experiment: experiment_lib.Experiment, batches: Iterator[reader.Batch]) -> None:
    """Algorithm 1. With overlap, the next environment step is simulated during the gradient steps."""
    agent, replay, guard = experiment.built.agent, experiment.replay, experiment.guard
    driver, keeper, counters = experiment.driver, experiment.keeper, experiment.keeper.counters
    total = -(-experiment.schedule.num_env_steps // experiment.environment.action_repeat)  # agent steps, rounded up
    if experiment.stop or (counters.agent_step >= total and not counters.has_updates):
        return
    policy = agent.collect_policy
    driver.begin(
        py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True, batch_time_steps=not driver.is_batched)
    )
    with keeper.progress("train", total, counters.agent_step, "agent steps") as shown:
        while (counters.agent_step < total or counters.has_updates) and not experiment.stop:
            # For each environment step: a_t ~ π(a_t | x_{1:t}, a_{1:t-1}); r_t, x_{t+1} ~ E(a_t); D ← D ∪ (…).
            if not counters.has_updates:  # else the run was stopped between gradient steps
                episodes = counters.episodes
                driver.run()
                counters.updates_owed += experiment.updates_due(counters.episodes > episodes)
                if counters.agent_step < total and not experiment.built.on_policy:  # which acts with the new weights
                    driver.start()
                _show(experiment, shown, env=experiment.environment.action_repeat)
            # For each gradient step: ψ ← ψ - λ ∇J_M, θ_i ← θ_i - λ ∇J_Q, φ ← φ - λ ∇J_π, then the target critics.
            while counters.has_updates:
                batch = next(batches)
                counters.updates_owed -= 1
                loss_info = experiment.train(batch.experience, batch.weights)
                values = guard.check(batch, loss_info)
                replay.update(batch, loss_info.extra)
                keeper.log_train_step(values)
                _show(experiment, shown, upd=1)
                if experiment.stop:
                    break
                if counters.has_updates:
                    _checkpoint_if_due(experiment)
            if _evaluation_is_due(experiment):
                _evaluate(experiment)
            _checkpoint_if_due(experiment)


# What is done now and then.


def _show(experiment: experiment_lib.Experiment, shown: progress.Progress, **counts: int) -> None:
    keeper = experiment.keeper
    notes = {"env": keeper.env_step, "ret": keeper.counters.recent_return, "upd": keeper.train_step}
    shown.update(keeper.counters.agent_step, counts, notes)


def _evaluation_is_due(experiment: experiment_lib.Experiment) -> bool:
    return experiment.evaluator.is_due(experiment.keeper.env_step, experiment.environment.action_repeat)


def _evaluate_at_the_beginning(experiment: experiment_lib.Experiment) -> None:
    """Evaluates before the first train step, and where a run was stopped when it should have."""
    if experiment.keeper.counters.has_updates:  # of a run that was stopped between them: evaluated after them
        return
    if _evaluation_is_due(experiment) or not (experiment.keeper.counters.last_eval or experiment.keeper.train_step):
        _evaluate(experiment)


def _evaluate(experiment: experiment_lib.Experiment) -> None:
    """Evaluates, but once at a step."""
    counters = experiment.keeper.counters
    experiment.driver.wait()  # so that not two environments render at a time
    if experiment.stop or counters.last_eval.get("agent_step") == counters.agent_step:
        return
    position = experiment.keeper.position()
    returns = experiment.evaluator.evaluate(position, experiment.replay, lambda: bool(experiment.stop))
    if returns is not None:
        counters.last_eval = {"agent_step": counters.agent_step, **returns}


def _checkpoint(experiment: experiment_lib.Experiment) -> object:
    return experiment.keeper.checkpoint(experiment.guard.check_weights)


def _checkpoint_if_due(experiment: experiment_lib.Experiment) -> None:
    if experiment.keeper.checkpoint_is_due:
        _checkpoint(experiment)


def _end_of_environment(
    experiment: experiment_lib.Experiment, fault: faults.FaultyEnvironmentError
) -> failures.EnvironmentFailedError:
    """Keeps all that there is after an environment's fault: the step that failed is not part of it."""
    what = f"{fault} at {experiment.keeper.where()}"
    where = experiment.record.error(what, fault)
    try:
        kept = f"{_checkpoint(experiment)} is written, and the same command resumes there"
    except Exception as error:  # whatever it is, the fault comes first
        kept = f"no checkpoint could be written ({error}): {experiment.keeper.saver.kept()}"
    return failures.EnvironmentFailedError(f"{what}; {kept}; traceback {where}")
