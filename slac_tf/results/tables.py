"""Markdown tables of curves at a few numbers of environment steps."""

from typing import List, Sequence

import numpy as np

from slac_tf.results import curve

ENV_STEPS = (50_000, 100_000, 200_000, 500_000, 1_000_000)
_NONE = "—"


def table(curves: Sequence[curve.Curve], statistic: str) -> str:
    """One table a task, a row a curve: runs first, then what was published.

    Args:
        curves: Of any tasks.
        statistic: That of the runs, for the line below.

    Returns:
        Markdown.
    """
    parts = []
    for task in dict.fromkeys(each.task for each in curves):
        steps = [f"{step // 1000}k" if step < 1_000_000 else f"{step // 1_000_000}M" for step in ENV_STEPS]
        lines = [
            f"**{task}**, return at env steps",
            "",
            _row("method", "source", "seeds", *steps, "last, or level line"),
        ]
        lines.append("|---" * (len(ENV_STEPS) + 4) + "|")
        of_task = [each for each in curves if each.task == task]
        for each in sorted(of_task, key=lambda one: bool(one.source)):
            cells = [_cell(curve.at(each, step), bool(each.source)) for step in ENV_STEPS]
            lines.append(
                _row(each.method, each.source or "runs", seeds(each.num_seeds, each.env_steps), *cells, _last(each))
            )
        parts.append("\n".join(lines))
    if any(not each.source for each in curves):
        name = {"mean": "mean", "iqm": "interquartile mean"}[statistic]
        parts.append(f"Runs: {name} over the seeds that reached the step, in brackets its 95 % bootstrap interval.")
    if any(each.source for each in curves):
        parts.append("Published: mean ± standard deviation, on the straight line between neighbouring points.")
    return "\n\n".join(parts) + "\n"


def seeds(num_seeds: np.ndarray, env_steps: np.ndarray) -> str:
    """How many seeds a curve is over.

    Args:
        num_seeds: `[N] int64`, 0 where not stated.
        env_steps: `[N] int64`.

    Returns:
        Such as '3', or '3 to 40,000, 1 to 90,000' where seeds ended before others.
    """
    ends = [
        index
        for index in range(len(num_seeds))
        if index + 1 == len(num_seeds) or num_seeds[index + 1] != num_seeds[index]
    ]
    if len(ends) == 1:
        return str(num_seeds[0] or _NONE)
    return ", ".join(f"{num_seeds[index]} to {env_steps[index]:,}" for index in ends)


def _cell(values: Sequence[float], published: bool) -> str:
    if not values:
        return _NONE
    centre, low, high, _ = values
    if not np.isfinite(low):
        return f"{centre:.0f}"
    return f"{centre:.0f} ± {centre - low:.0f}" if published else f"{centre:.0f} [{low:.0f}, {high:.0f}]"


def _last(each: curve.Curve) -> str:
    step = int(each.env_steps[-1])
    value = _cell((each.returns[-1], each.low[-1], each.high[-1], 0), bool(each.source))
    return value if step < 0 else f"{value} at {step:,}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def notes(curves: Sequence[curve.Curve]) -> List[str]:
    """What a reader of the figure should know of the runs in it.

    Args:
        curves: Of any kind.

    Returns:
        A line a curve that has no interval somewhere.
    """
    result = []
    for each in curves:
        if each.source:
            continue
        if np.all(each.num_seeds == 1):
            result.append(f"{each.method} on {each.task}: one seed only, drawn without an interval")
        elif len(set(each.num_seeds.tolist())) > 1:
            result.append(
                f"{each.method} on {each.task}: runs of unequal length, seeds {seeds(each.num_seeds, each.env_steps)}"
            )
    return result
