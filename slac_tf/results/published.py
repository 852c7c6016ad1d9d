"""Published returns that come with the package; published/README.md says where each is from."""

import collections
import csv
import pathlib
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from slac_tf.results import curve

_FOLDER = pathlib.Path(__file__).resolve().parent / "published"


class Figure(NamedTuple):
    """A figure of the paper.

    Attributes:
        source: What its curves name as theirs.
        last_env_steps: Its tasks, with the end of each x axis.
    """

    source: str
    last_env_steps: Dict[str, int]


FIGURES = {
    4: Figure(
        "ICLR2020-Fig4",
        {"cheetah_run": 3_000_000, "walker_walk": 1_000_000, "ball_in_cup_catch": 1_000_000, "finger_spin": 1_000_000},
    ),
    5: Figure(
        "ICLR2020-Fig5", {"HalfCheetah": 1_000_000, "Walker2d": 4_000_000, "Hopper": 2_000_000, "Ant": 4_000_000}
    ),
    6: Figure("ICLR2020-Fig6", {"cheetah_run": 2_500_000}),
}


def load() -> List[curve.Curve]:
    """All published curves, level lines and single values.

    Returns:
        The curves, SLAC first and level lines last; a band is the mean plus and minus the published standard deviation.
    """
    rows: Dict[Tuple[str, str], List[Tuple[float, ...]]] = collections.defaultdict(list)
    for path in sorted(_FOLDER.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                mean, std = float(row["mean"]), float(row["std"] or "nan")
                point = (int(row["env_steps"] or -1), mean, mean - std, mean + std, int(row["n_seeds"] or 0))
                rows[row["task"], row["source"]].append(point)
    result = []
    for (task, name), points in rows.items():
        steps, means, lows, highs, seeds = (np.array(column) for column in zip(*sorted(points)))
        source, _, method = name.rpartition(":")
        result.append(curve.Curve(curve.task_key(task), method, source, steps, means, lows, highs, seeds))
    return sorted(result, key=lambda each: (curve.is_level(each), "SLAC" not in each.method))


def of_figure(number: int) -> List[curve.Curve]:
    """The curves and level lines of one figure.

    Args:
        number: A key of `FIGURES`.

    Returns:
        The curves in the paper's order of tasks, SLAC first, level lines last.

    Raises:
        ValueError: If there is no such figure.
    """
    if number not in FIGURES:
        raise ValueError(f"figure {number}: expected one of {', '.join(map(str, FIGURES))}")
    tasks = list(FIGURES[number].last_env_steps)
    found = [each for each in load() if each.source == FIGURES[number].source]
    return sorted(found, key=lambda each: tasks.index(each.task))


def of_task(task: str) -> List[curve.Curve]:
    """All that is known of one task.

    Args:
        task: With or without the version of its environment.

    Returns:
        The curves.

    Raises:
        ValueError: If nothing is known.
    """
    curves = load()
    found = [each for each in curves if each.task == curve.task_key(task)]
    if not found:
        raise ValueError(
            f"task {task}: nothing published, expected one of {', '.join(sorted({c.task for c in curves}))}"
        )
    return found
