"""One line of a figure and one row of a table, ours or published."""

from typing import NamedTuple, Sequence

import numpy as np

from slac_tf.results import eval_csv, statistics

_LEVEL_FROM = 10_000_000  # env steps, beyond every x axis


class Curve(NamedTuple):
    """Returns of a method on a task.

    Attributes:
        task: Without the version of an environment, such as 'cheetah_run' or 'Ant'.
        method: Such as 'SLAC'.
        source: Where it was published; empty where it comes from runs.
        env_steps: `[N] int64`; one -1 for a level line without a number of steps, one 0 for what learns nothing.
        returns: `[N] float64`.
        low: `[N] float64`, the lower end of the band, nan where there is none.
        high: `[N] float64`, its upper end.
        num_seeds: `[N] int64`, 0 where not stated.
    """

    task: str
    method: str
    source: str
    env_steps: np.ndarray
    returns: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num_seeds: np.ndarray


def task_key(task: str) -> str:
    """The task without the version of its environment: rewards of Gym's v2 to v4 are the same."""
    stem, separator, version = task.rpartition("-v")
    return stem if separator and version.isdigit() else task


def from_runs(runs: Sequence[eval_csv.Run], policy: str, statistic: str) -> Curve:
    """The curve of some seeds.

    Args:
        runs: Of one method on one task.
        policy: Whose returns, 'stochastic' or 'greedy'.
        statistic: A key of `statistics.STATISTICS`.

    Returns:
        The curve, with its 95 % interval.
    """
    summary = statistics.over_seeds([run.env_steps for run in runs], [run.returns[policy] for run in runs], statistic)
    method = runs[0].method + (", greedy policy" if policy == "greedy" else "")
    return Curve(task_key(runs[0].task), method, "", *summary)


def is_level(curve: Curve) -> bool:
    """Whether a curve is one value that is drawn across the whole axis, as the paper does with long runs of others.

    Args:
        curve: Any.

    Returns:
        Whether it is.
    """
    return len(curve.env_steps) == 1 and not 0 < curve.env_steps[0] < _LEVEL_FROM


def at(curve: Curve, env_step: int) -> Sequence[float]:
    """The curve at a step, on the straight line between the two points around it.

    Args:
        curve: Of any number of points.
        env_step: Where.

    Returns:
        Return, lower and upper end of the band, number of seeds; nothing outside of the curve, or in a gap that is
        longer than one and a half of the usual distance between points.
    """
    exact = np.flatnonzero(curve.env_steps == env_step)
    if exact.size:
        left = right = int(exact[0])
    else:
        right = int(np.searchsorted(curve.env_steps, env_step))
        left = right - 1
        if left < 0 or right == len(curve.env_steps):
            return ()
        gaps = np.diff(curve.env_steps)
        if gaps[left] > 1.5 * np.median(gaps):
            return ()
    start, end = curve.env_steps[left], curve.env_steps[right]
    share = (env_step - start) / (end - start) if end > start else 0.0
    between = [float(v[left] + share * (v[right] - v[left])) for v in (curve.returns, curve.low, curve.high)]
    return (*between, int(min(curve.num_seeds[left], curve.num_seeds[right])))
