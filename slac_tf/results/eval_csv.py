"""The `eval.csv` of runs: found below directories, read, checked and grouped by method and task."""

import csv
import pathlib
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

STEPS = "OriginalEnvironmentSteps"
COLUMNS = {"stochastic": "AverageReturnEvalPolicy", "greedy": "AverageReturnEvalGreedyPolicy"}
_NEEDED = ("task", "seed", STEPS)
# A run, the seeds of a run, a sweep, sweeps of several tasks: the first that is there.
_PLACES = ("eval.csv", "seed*/eval.csv", "*/seed*/eval.csv", "*/*/seed*/eval.csv")


class Run(NamedTuple):
    """One run's evaluations.

    Attributes:
        path: Its `eval.csv`.
        method: What it is called in figures.
        task: As the file has it.
        seed: As the file has it.
        env_steps: `[N] int64`, increasing.
        returns: `[N] float64` by policy, 'stochastic' or 'greedy'.
    """

    path: pathlib.Path
    method: str
    task: str
    seed: str
    env_steps: np.ndarray
    returns: Dict[str, np.ndarray]


def gather(places: Sequence[str], policies: Sequence[str]) -> Dict[Tuple[str, str], List[Run]]:
    """Reads the runs at some places.

    Args:
        places: `DIR`, `FILE` or `NAME=` before either; NAME is the method. DIR is a run, holds runs called `seed<N>`,
            or is a sweep, `DIR/<variant>/seed<N>`. Without NAME the method is called as the run's directory, or the
            one above `seed<N>`.
        policies: Whose returns are needed.

    Returns:
        The runs by method and task, in the order of the places.

    Raises:
        ValueError: If there are no runs, a file is not what it should be, or seeds do not belong together.
    """
    groups: Dict[Tuple[str, str], List[Run]] = {}
    seen: Dict[Tuple[str, str, str], pathlib.Path] = {}
    tasks: Dict[pathlib.Path, str] = {}
    for place in places:
        name, paths = _find(place)
        for path in paths:
            run = read(path, name or _method(path), policies)
            other = seen.get((run.method, run.task, run.seed))
            if other == path:
                continue  # named twice
            if other:
                raise ValueError(
                    f"{path} and {other}: both are seed {run.seed} of {run.method} on {run.task}, "
                    "expected a NAME= for each"
                )
            above = path.resolve().parent.parent
            if _is_seed(path) and tasks.setdefault(above, run.task) != run.task:
                raise ValueError(f"{above}: seeds of {tasks[above]} and of {run.task}, expected one task")
            seen[run.method, run.task, run.seed] = path
            groups.setdefault((run.method, run.task), []).append(run)
    for runs in groups.values():
        _check_common_steps(runs)
    return groups


def read(path: pathlib.Path, method: str, policies: Sequence[str]) -> Run:
    """Reads one file.

    Args:
        path: An `eval.csv`.
        method: What the run is called.
        policies: Whose returns are needed.

    Returns:
        The run.

    Raises:
        ValueError: If the file has no rows, lacks a column or a row, or has one that is torn.
    """
    columns = {policy: COLUMNS[policy] for policy in policies}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {error}, expected an eval.csv of bin/train_eval") from error
    missing = [name for name in (*_NEEDED, *columns.values()) if name not in header]
    if missing:
        raise ValueError(f"{path}: no column {missing[0]}, expected an eval.csv of bin/train_eval")
    if not lines:
        raise ValueError(f"{path}: no rows, expected one for each evaluation")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise ValueError(f"{path}, line {number}: {len(line)} cells, expected {len(header)}: the row is torn")
    rows = [dict(zip(header, line)) for line in lines]
    for name in ("task", "seed"):
        values = list(dict.fromkeys(row[name] for row in rows))
        if len(values) > 1:
            raise ValueError(f"{path}: rows of {name} {values[0]} and of {name} {values[1]}, expected one {name}")
    env_steps = np.array([int(value) for value in _numbers(path, rows, STEPS)], np.int64)
    _check_steps(path, env_steps, rows)
    returns = {policy: np.array(_numbers(path, rows, column)) for policy, column in columns.items()}
    return Run(path, method, rows[0]["task"], rows[0]["seed"], env_steps, returns)


def _find(place: str) -> Tuple[str, List[pathlib.Path]]:
    name, separator, rest = place.partition("=")
    if not separator or pathlib.Path(place).exists():
        name, rest = "", place
    path = pathlib.Path(rest).expanduser()
    if path.is_file():
        return name, [path]
    if not path.is_dir():
        raise ValueError(f"{rest}: no such directory or file, expected a run, a sweep or an eval.csv")
    for pattern in _PLACES:
        found = sorted(path.glob(pattern))
        if found:
            return name, found
    raise ValueError(f"{rest}: no eval.csv in it, expected a run, runs called seed<N>, or a sweep")


def _is_seed(path: pathlib.Path) -> bool:
    return path.resolve().parent.name.startswith("seed")


def _method(path: pathlib.Path) -> str:
    run = path.resolve().parent
    return run.parent.name if _is_seed(path) else run.name


def _numbers(path: pathlib.Path, rows: Sequence[Dict[str, str]], column: str) -> List[float]:
    values = []
    for number, row in enumerate(rows, start=2):
        try:
            values.append(float(row[column]))
        except ValueError:
            values.append(np.nan)
        if not np.isfinite(values[-1]):
            raise ValueError(f"{path}, line {number}: {column} {row[column]!r}, expected a finite number")
    return values


def _check_steps(path: pathlib.Path, env_steps: np.ndarray, rows: Sequence[Dict[str, str]]) -> None:
    """Refuses a gap between two shorter ones that divide it, and a first row from after training began."""
    gaps = np.diff(env_steps)
    if np.any(gaps <= 0):
        index = int(np.argmax(gaps <= 0))
        raise ValueError(
            f"{path}, line {index + 3}: env step {env_steps[index + 1]:,} after {env_steps[index]:,}, "
            "expected a higher one"
        )
    if "train_step" in rows[0] and rows[0]["train_step"] != "0":
        raise ValueError(
            f"{path}: the first row is of train step {rows[0]['train_step']}, expected 0: a row is missing"
        )
    for index in range(1, len(gaps) - 1):
        usual = gaps[index - 1]
        if gaps[index] > usual and gaps[index] % usual == 0 and gaps[index + 1] == usual:
            raise ValueError(
                f"{path}: no row between env steps {env_steps[index]:,} and {env_steps[index + 1]:,}, "
                f"expected one each {usual:,}"
            )


def _check_common_steps(runs: Sequence[Run]) -> None:
    """Up to where it ended, a run has the evaluations of the others; a last one may stand where it stopped."""
    for run in runs:
        for other in runs:
            lacks = np.setdiff1d(other.env_steps[:-1], run.env_steps)
            lacks = lacks[lacks < run.env_steps[-1]]
            if lacks.size:
                raise ValueError(f"{run.path}: no row at env step {lacks[0]:,}, which {other.path} has")
