"""What the processes of a run say to each other: tables of the replay server, and what their items mean."""

import enum
import hashlib
import json
import random
from typing import Any, Dict, List, NamedTuple

import numpy as np
import reverb
import tensorflow as tf

from slac_tf import types

VERSION = 2
POLICY = "policy"
PROGRESS = "progress"
REPORTS = "reports"
EVALUATION = "evaluation"
RETURNS = "returns"
RUN = "run"
# Of a learner and collectors that may be gone: a server that starts again forgets them.
PASSING = (POLICY, PROGRESS, REPORTS, EVALUATION, RETURNS)
_KEPT_REPORTS = 1000
# Of the time of whoever sends or receives weights, that share goes into it, but not more often than every so often.
_WEIGHTS_TIME_SHARE = 0.05
_LEAST_SECONDS = 0.05


class Phase(enum.IntEnum):
    """What collectors are to do."""

    HOLD = 0
    RANDOM = 1
    TRAIN = 2
    DONE = 3


class Progress(NamedTuple):
    """Where the learner is; all int64 scalars but the last.

    Attributes:
        phase: A `Phase`.
        generation: Of the learner; that of each start is higher.
        train_step: Train steps made.
        agent_step: Agent steps gone through.
        policy_step: Train step of the policy published last; -1 where none is.
        evaluation_step: Agent step of what is to be evaluated; -1 where nothing is.
        priority: Of new windows, float64.
    """

    phase: int
    generation: int
    train_step: int
    agent_step: int
    policy_step: int
    evaluation_step: int
    priority: float


class Report(NamedTuple):
    """What a collector says now and then; all float64.

    Attributes:
        collector: Its number.
        policy_step: Train step of its policy; NaN where it acts at random.
        waited: Seconds that it waited for the learner since its last report.
        episode_return: Of the episode that ended with this report; NaN where none did.
    """

    collector: float
    policy_step: float
    waited: float
    episode_return: float


def policy_variables(built: types.BuiltAgent) -> List[tf.Variable]:
    """What a collector needs of an agent."""
    return list(built.agent.collect_policy.variables())


def agent_variables(built: types.BuiltAgent) -> List[tf.Variable]:
    """What an evaluator needs of an agent: its policies' variables and those that its pictures are made with."""
    found = {variable.ref(): variable for policy in built.policies.values() for variable in policy.variables()}
    if built.reusable is not None:
        found.update({variable.ref(): variable for variable in built.reusable.module.variables})
    return list(found.values())


def tables() -> List[reverb.Table]:
    """Makes the tables besides windows and steps. An item is a list of arrays.

    POLICY and EVALUATION: generation, train step (to evaluate: agent step) and env step, `[3] int64`; then weights.
    PROGRESS and REPORTS: the fields of `Progress` and `Report`. RUN: the run's record as text, `[N] uint8`.
    RETURNS: position as in EVALUATION; returns and lengths of the episodes of each policy, `[2, policies, episodes]`.

    Returns:
        The tables: of REPORTS and RETURNS each item is given once, in order; the others hold the newest alone.
    """
    selectors, limiters = reverb.selectors, reverb.rate_limiters
    return [
        *(
            reverb.Table(name, selectors.Uniform(), selectors.Fifo(), 1, limiters.MinSize(1))
            for name in (POLICY, PROGRESS, EVALUATION, RUN)
        ),
        *(
            reverb.Table(name, selectors.Fifo(), selectors.Fifo(), _KEPT_REPORTS, limiters.MinSize(1), 1)
            for name in (REPORTS, RETURNS)
        ),
    ]


def run_record(config: str, built: types.BuiltAgent) -> Dict[str, Any]:
    """What the server says of the run that it is of.

    Args:
        config: All gin bindings as text, the seed's line above them.
        built: The agent.

    Returns:
        Plain values.
    """
    variables = [f"{v.name} {v.shape} {v.dtype.name}" for v in agent_variables(built)]
    return {
        "version": VERSION,
        "config": config,
        "variables": hashlib.blake2b("\n".join(variables).encode()).hexdigest(),
    }


def arrays(values: Any) -> List[np.ndarray]:
    """A `Progress` or `Report` as the item of its table."""
    return [np.asarray(value, np.float64 if isinstance(value, float) else np.int64) for value in values]


def encoded(record: Dict[str, Any]) -> np.ndarray:
    """A record as the item of a table, `[N] uint8`."""
    return np.frombuffer(json.dumps(record).encode(), np.uint8)


def decoded(item: np.ndarray) -> Dict[str, Any]:
    """The record of such an item."""
    return json.loads(np.asarray(item).tobytes())


def newest(client: reverb.Client, info: Dict[str, Any], table: str, count: int = 1) -> List[List[np.ndarray]]:
    """The items of a table, none where it is empty; blocks while the server is away.

    Args:
        client: Of the server.
        info: The server's, fresh: an empty table is not asked for anything.
        table: Its name.
        count: The most to get.

    Returns:
        Arrays of each item.
    """
    count = min(count, info[table].current_size)
    if not count:
        return []
    samples = client.sample(table, count, emit_timesteps=False)
    return [[steps[0] for steps in sample.data] for sample in samples]  # each item is a sequence of one step


def seconds_until_next(seconds: float) -> float:
    """When to send or receive weights again.

    Args:
        seconds: That it took the last time.

    Returns:
        Seconds from now, not the same for all processes.
    """
    return max(_LEAST_SECONDS, seconds / _WEIGHTS_TIME_SHARE) * random.uniform(0.8, 1.2)
