"""The learner: `training.loop` as it is, with stand-ins for what is elsewhere."""

import dataclasses
import math
from typing import Any, Callable, List, Optional

import tensorflow as tf

from slac_tf.distributed import connection as connection_lib
from slac_tf.distributed import liveness, protocol, remote_driver, remote_replay, replicas
from slac_tf.runs import keeper as keeper_lib
from slac_tf.runs import run_dir, signals
from slac_tf.training import evaluation, experiment, loop
from slac_tf.training import settings as settings_lib


def run(
    plan: experiment.Plan,
    connection: connection_lib.Connection,
    stop: liveness.StopRequest,
    evaluator: Optional[Callable[..., Any]] = None,
    strategy: Optional[tf.distribute.Strategy] = None,
) -> loop.Result:
    """Trains, with agent steps that collectors make.

    Args:
        plan: The run's.
        connection: To the replay server, not started.
        stop: The connection's.
        evaluator: Makes what stands in for the run's evaluator, as `evaluator.RemoteEvaluator`; that itself where None.
        strategy: In whose scope the plan was made, where it is one.

    Returns:
        How the run ended.

    Raises:
        connection_lib.UnusableServerError: If the replay server is of another run.
        connection_lib.PeerGoneError: If the server was away for too long; a checkpoint is written.
        Exception: As `loop.run` and `experiment.started` do.
    """
    expected = protocol.run_record(run_dir.with_seed(plan.config, plan.seed), plan.built)
    try:
        connection.start(expected, settings_lib.may_change())
    except signals.Stopped:
        return loop.Result(math.nan, math.nan, math.nan, stop.exit_code)
    restore_from = None if plan.found is None else plan.found.replay
    replay = remote_replay.RemoteReplay(connection, plan.built, restore_from)
    made: List[remote_driver.RemoteDriver] = []

    def driver(keeper: keeper_lib.Keeper) -> remote_driver.RemoteDriver:
        made.append(remote_driver.RemoteDriver(keeper, plan.built, replay, connection, plan.settings))
        return made[0]

    def evaluator_of(keeper: keeper_lib.Keeper, here: evaluation.Evaluator) -> Any:
        return here if evaluator is None else evaluator(keeper, here, made[0], replay, restore_from)

    parts = experiment.Parts(replay, driver, evaluator_of, stop)
    if strategy is not None:
        parts = parts._replace(train=replicas.Mirrored(strategy, plan.built.agent.train))
        pretraining = plan.built.pretraining
        if pretraining is not None:
            pretraining = pretraining._replace(train=replicas.Mirrored(strategy, pretraining.train))
            plan = plan._replace(built=dataclasses.replace(plan.built, pretraining=pretraining))
    stop.works()
    with experiment.started(plan, parts) as started:
        try:
            result = loop.run(started)
        except connection_lib.PeerGoneError:
            started.keeper.checkpoint(started.guard.check_weights)
            raise
        if not result.exit_code:
            started.driver.finish()
        return result
