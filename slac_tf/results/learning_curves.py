"""Returns against environment steps, from the `eval.csv` of one run or several seeds."""

import csv
import pathlib
from typing import Dict, List, Sequence, Tuple

import matplotlib.axes
import matplotlib.figure
import numpy as np

STEPS = "OriginalEnvironmentSteps"
STOCHASTIC = "AverageReturnEvalPolicy"
GREEDY = "AverageReturnEvalGreedyPolicy"


def read(path: pathlib.Path, column: str) -> Tuple[np.ndarray, np.ndarray]:
    """One run's curve.

    Args:
        path: An `eval.csv`.
        column: Whose values are the returns.

    Returns:
        Environment steps `[N] int64` and returns `[N] float64`.

    Raises:
        ValueError: If the file has no rows or lacks a column.
    """
    with path.open(newline="") as file:
        rows: List[Dict[str, str]] = list(csv.DictReader(file))
    if not rows or STEPS not in rows[0] or column not in rows[0]:
        expected = "expected an eval.csv of bin/train_eval or bin/mpc"
        raise ValueError(f"{path}: no rows with {STEPS} and {column}, {expected}")
    steps = np.array([int(row[STEPS]) for row in rows])
    return steps, np.array([float(row[column]) for row in rows])


def figure(paths: Sequence[pathlib.Path], title: str) -> matplotlib.figure.Figure:
    """A thin line a run, and where there are several their mean at the steps that all of them have.

    What has learned from nothing, at 0 environment steps, such as a planner, is a level across the figure.

    Args:
        paths: One `eval.csv` a run.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If a file is not what it should be.
    """
    drawing = matplotlib.figure.Figure(figsize=(6, 4), dpi=120)
    axes = drawing.add_subplot()
    runs = [path for path in paths if np.any(read(path, STOCHASTIC)[0])]
    if runs:
        _draw_runs(axes, runs)
    levels = [read(path, STOCHASTIC)[1].mean() for path in paths if path not in runs]
    for level in levels:
        axes.axhline(level, color="C2", linestyle="--", linewidth=0.8, alpha=0.4 if len(levels) > 1 else 1.0)
    if levels:
        label = f"without learning, mean of {len(levels)} seeds"
        axes.axhline(np.mean(levels), color="C2", linestyle="--", linewidth=2, label=label)
    axes.set(xlabel="environment steps", ylabel="return of an episode", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    drawing.tight_layout()
    return drawing


def _draw_runs(axes: matplotlib.axes.Axes, paths: Sequence[pathlib.Path]) -> None:
    for color, label, column in (("C0", "stochastic policy", STOCHASTIC), ("C1", "greedy policy", GREEDY)):
        curves = [read(path, column) for path in paths]
        for steps, returns in curves:
            axes.plot(steps, returns, color=color, linewidth=0.8, alpha=0.4 if len(curves) > 1 else 1.0)
        common = sorted(set.intersection(*(set(steps.tolist()) for steps, _ in curves)))
        means = [np.mean([returns[steps == step][0] for steps, returns in curves]) for step in common]
        axes.plot(common, means, color=color, linewidth=2, label=f"{label}, mean of {len(curves)} seeds")
