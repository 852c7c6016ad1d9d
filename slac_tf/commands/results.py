"""Learning curves of runs beside published ones: `bin/results --figure=4 --runs=SLAC=logs/sweep --out=figure4.png`."""

import pathlib
from typing import TYPE_CHECKING, List, Sequence, Tuple

from absl import flags

from slac_tf.commands import command

if TYPE_CHECKING:
    from slac_tf.results import curve

_RUNS = flags.DEFINE_multi_string(
    "runs", [], "Run, sweep, directory of seed<N>, or eval.csv, several in one picture; NAME=DIR names the method."
)
_FIGURE = flags.DEFINE_integer("figure", None, "Figure of the paper to draw: 4, 5 or 6.")
_PUBLISHED = flags.DEFINE_string(
    "published", None, "Task of which to draw all that was published, such as cheetah_run."
)
_STATISTIC = flags.DEFINE_enum("statistic", "mean", ["mean", "iqm"], "Of the seeds: mean or interquartile mean.")
_POLICY = flags.DEFINE_multi_enum(
    "policy", ["stochastic"], ["stochastic", "greedy"], "Whose returns; both if given twice."
)
_UNTIL = flags.DEFINE_integer("until_env_step", None, "Where the x axis ends.", lower_bound=1)
_TITLE = flags.DEFINE_string("title", "", "Title of the figure.")
_PAGE = flags.DEFINE_string(
    "page", None, "The project's results/, of which to make one HTML page; --runs are drawn over the paper's figures."
)
_OUT = flags.DEFINE_multi_string(
    "out", [], "What to write, by its suffix: a picture (.png, .svg, .pdf), the table (.md) or the page (.html)."
)

_SUFFIXES = (".png", ".svg", ".pdf", ".md")


def main() -> int:
    """Prints the table, and draws.

    Returns:
        0, or 2 after a user's mistake.
    """
    from slac_tf.results import tables

    if not (_RUNS.value or _FIGURE.value is not None or _PUBLISHED.value or _PAGE.value):
        return command.fail("expected --runs=DIR, --figure=4, 5 or 6, or --published=TASK")
    if _FIGURE.value is not None and _PUBLISHED.value:
        return command.fail("--figure and --published, expected one of them")
    outs = [pathlib.Path(out).expanduser() for out in _OUT.value]
    suffixes = (".html",) if _PAGE.value else _SUFFIXES
    for out in outs:
        if out.suffix not in suffixes:
            return command.fail(f"--out={out}: expected a name that ends in {', '.join(suffixes)}")
    if _PAGE.value and not outs:
        return command.fail("--page without --out, expected for example --out=results.html")
    try:
        runs, seeds = _curves()
        if _PAGE.value:
            return _write_page(pathlib.Path(_PAGE.value), runs, outs)
        text = tables.table([*runs, *_published(runs)], _STATISTIC.value)
        pictures = [out for out in outs if out.suffix != ".md"]
        if pictures:
            _draw(runs, seeds, pictures)
        for out in outs:
            if out.suffix == ".md":
                out.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        return command.fail(str(error))
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return command.fail("matplotlib is not installed: `python -m pip install matplotlib` (the extra 'plots')")
    print(text)
    for line in (*tables.notes(runs), *(f"wrote {out}" for out in outs)):
        print(line)
    return 0


def _write_page(root: pathlib.Path, runs: Sequence["curve.Curve"], outs: Sequence[pathlib.Path]) -> int:
    from slac_tf.results import page

    for out in outs:
        out.write_text(page.text(root, out, runs), encoding="utf-8")
        print(f"wrote {out}")
    return 0


def _curves() -> Tuple[List["curve.Curve"], List["curve.Curve"]]:
    """The runs by method and task, and each run by itself where a method has several."""
    from slac_tf.results import curve, eval_csv

    groups = eval_csv.gather(_RUNS.value, _POLICY.value)
    runs, seeds = [], []
    for group in groups.values():
        for policy in dict.fromkeys(_POLICY.value):
            runs.append(curve.from_runs(group, policy, _STATISTIC.value))
            if len(group) > 1:
                seeds += [curve.from_runs([run], policy, _STATISTIC.value) for run in group]
    return runs, seeds


def _published(runs: Sequence["curve.Curve"]) -> List["curve.Curve"]:
    """What stands in the table beside the runs: the figure's curves, or all of the tasks."""
    from slac_tf.results import published

    if _FIGURE.value is not None:
        found = published.of_figure(_FIGURE.value)
    elif _PUBLISHED.value:
        found = published.of_task(_PUBLISHED.value)
    else:
        tasks = {each.task for each in runs}
        return [each for each in published.load() if each.task in tasks and each.source.startswith("ICLR2020")]
    tasks = {each.task for each in found}
    for each in runs:
        if each.task not in tasks:
            raise ValueError(
                f"{each.method}: runs of {each.task}, expected {' or '.join(sorted(tasks))} in this figure"
            )
    return found


def _draw(runs: Sequence["curve.Curve"], seeds: Sequence["curve.Curve"], outs: Sequence[pathlib.Path]) -> None:
    from slac_tf.results import figures

    if _FIGURE.value is not None:
        panels = figures.of_paper(_FIGURE.value, runs)
    elif _PUBLISHED.value:
        panels = figures.of_task(_PUBLISHED.value, runs)
    else:
        panels = figures.of_runs(runs, seeds)
    drawing = figures.draw(panels, _TITLE.value, _STATISTIC.value, _UNTIL.value)
    for out in outs:
        drawing.savefig(out)


if __name__ == "__main__":
    command.run(main)
