"""Figures of learning curves: runs alone, over a figure of the paper, or over all that is known of a task."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from slac_tf.results import curve, published

# A method and its counterpart in another figure have one color; run directories are called as gin files are.
_COLORS = {
    ("fully stochastic (slac)", "slac", "default"): "#0072b2",
    ("planet model", "planet", "rssm"): "#d55e00",
    ("sac pixels", "sac_pixels", "vae"): "#009e73",
    ("mpo pixels", "mpo", "simple filtering", "simple_filtering"): "#cc79a7",
    ("dvrl", "partially stochastic", "partially_stochastic"): "#e69f00",
    ("sac state", "sac_state", "fully deterministic", "deterministic"): "#555555",
    ("d4pg pixels", "d4pg"): "#882255",
}
_OTHER_COLORS = (
    "#000000",
    "#88ccee",
    "#aa4499",
    "#117733",
    "#999933",
    "#cc6677",
    "#332288",
    "#661100",
    "#6699cc",
    "#bbbbbb",
)
_DASHES = ("-", "--", "-.", ":")  # where the colors begin again
_LEVEL_DASHES = {"sac state": "-.", "d4pg": "--", "mpo": ":"}


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
        title: Above it.
        curves: In it.
        last_env_step: Where the x axis ends; None where the curves do.
        to_thousand: Whether the y axis is that of the DeepMind Control Suite.
        seeds: Thin lines without a label below the curves, one a run.
    """

    title: str
    curves: Sequence[curve.Curve]
    last_env_step: Optional[int]
    to_thousand: bool
    seeds: Sequence[curve.Curve] = ()


class _Style(NamedTuple):
    """What all panels share: color and dashes by `_name`, and whether runs are drawn over the published curves."""

    lines: Dict[str, Tuple[str, str]]
    with_runs: bool


def of_paper(number: int, runs: Sequence[curve.Curve]) -> List[Panel]:
    """The panels of one of the paper's figures.

    Args:
        number: 4, 5 or 6.
        runs: Drawn over it, of tasks that are in it.

    Returns:
        A panel a task.

    Raises:
        ValueError: If there is no such figure.
    """
    everything = [*published.of_figure(number), *runs]
    return [
        Panel(_title(task), [each for each in everything if each.task == task], last, number != 5)
        for task, last in published.FIGURES[number].last_env_steps.items()
    ]


def of_task(task: str, runs: Sequence[curve.Curve]) -> List[Panel]:
    """What was published of a task: the paper's figure, the versions of SLAC, and what others reached.

    Args:
        task: With or without the version of its environment.
        runs: Of this task, drawn over each of them.

    Returns:
        The panels that have a curve.

    Raises:
        ValueError: If nothing is known of the task.
    """
    known = published.of_task(task)
    key = known[0].task
    ours = [each for each in known if each.method.startswith("SLAC")]
    paper = [each for each in known if each.source in (published.FIGURES[4].source, published.FIGURES[5].source)]
    models = [each for each in known if each.source == published.FIGURES[6].source]
    names = {id(each) for each in (*ours, *paper, *models)}
    others = [each for each in known if id(each) not in names]
    titles = ("the paper", "its latent models", "versions of SLAC", "others")
    groups = zip(titles, (paper, models, ours, others))
    return [Panel(f"{_title(key)}: {title}", [*found, *runs], None, key.islower()) for title, found in groups if found]


def of_runs(runs: Sequence[curve.Curve], seeds: Sequence[curve.Curve]) -> List[Panel]:
    """Runs alone.

    Args:
        runs: Of any tasks.
        seeds: Each run by itself.

    Returns:
        A panel a task.
    """
    return [
        Panel(
            _title(task),
            [each for each in runs if each.task == task],
            None,
            False,
            [each for each in seeds if each.task == task],
        )
        for task in dict.fromkeys(each.task for each in runs)
    ]


def draw(panels: Sequence[Panel], title: str, statistic: str, last_env_step: Optional[int]) -> matplotlib.figure.Figure:
    """Draws panels: of several tasks in rows of four with one legend, of one task below each other with a legend each.

    Args:
        panels: At least one.
        title: Of the figure; may be empty.
        statistic: 'mean' or 'iqm', for the legend's heading.
        last_env_step: Where every x axis ends; None leaves it to the panels.

    Returns:
        The figure. Runs are thick, with their points; published curves are thinner, and paler where there are runs.
    """
    one_legend = len({panel.curves[0].task for panel in panels}) == len(panels)
    columns = min(len(panels), 4) if one_legend else 1
    rows = -(-len(panels) // columns)
    size = (max(4.2 * columns, 6.4), 4.2 * rows) if one_legend else (13, 4 * rows)
    figure = matplotlib.figure.Figure(figsize=size, dpi=120, layout="constrained")
    everything = [each for panel in panels for each in panel.curves]
    style = _Style(_lines(everything), any(not each.source for each in everything))
    handles: Dict[str, matplotlib.artist.Artist] = {}
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        own = _draw_panel(axes, panel, style, last_env_step or panel.last_env_step)
        axes.set_ylabel("return of an episode" if index % columns == 0 else "")
        handles.update(own)
        if not one_legend:
            axes.legend(
                list(own.values()),
                list(own),
                fontsize=7,
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
                ncols=1 if len(own) < 20 else 2,
            )
    heading = _bands(everything, statistic)
    if one_legend:
        figure.legend(
            list(handles.values()),
            list(handles),
            fontsize=8,
            title=heading,
            title_fontsize=8,
            loc="outside lower center",
            ncols=2 if columns == 1 else 5,
        )
        figure.suptitle(title, fontsize=11)
    else:
        figure.suptitle("\n".join(filter(None, (title, heading))), fontsize=9)
    return figure


def _draw_panel(
    axes: matplotlib.axes.Axes, panel: Panel, style: _Style, last: Optional[int]
) -> Dict[str, matplotlib.artist.Artist]:
    handles: Dict[str, matplotlib.artist.Artist] = {}
    for each in panel.seeds:
        axes.plot(each.env_steps, each.returns, color=style.lines[_name(each)][0], linewidth=0.7, alpha=0.4)
    for each in sorted(panel.curves, key=lambda one: not one.source):
        (color, dashes), label = style.lines[_name(each)], _label(each, panel.curves, style.with_runs)
        pale = 0.55 if style.with_runs and each.source else 1.0
        if curve.is_level(each):
            method = each.method.lower()
            dashes = next((dashes for name, dashes in _LEVEL_DASHES.items() if method.startswith(name)), "--")
            handles[label] = axes.axhline(each.returns[0], color=color, linestyle=dashes, linewidth=1.2, alpha=pale)
            continue
        few = bool(each.source) and len(each.env_steps) < 4  # values of a table, not a curve
        (handles[label],) = axes.plot(
            each.env_steps,
            each.returns,
            color=color,
            linestyle="" if few else dashes,
            linewidth=1.3 if each.source else 2.2,
            marker="o" if few or not each.source else "",
            markersize=4 if few else 3,
            alpha=pale,
        )
        if few:
            continue
        axes.fill_between(each.env_steps, each.low, each.high, color=color, alpha=0.2 * pale, linewidth=0)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("env steps")
    axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.25)
    axes.set_xlim(0, last)
    if panel.to_thousand:
        axes.set_ylim(-20, 1030)
    return handles


def _title(task: str) -> str:
    return task.replace("_", " ")


def _name(each: curve.Curve) -> str:
    """What has a color of its own: a run's method; a published one with its source, for others share its name."""
    return each.method if not each.source else f"{each.source}:{each.method}"


def _label(each: curve.Curve, together: Sequence[curve.Curve], with_runs: bool) -> str:
    if not each.source:
        most = int(each.num_seeds.max())
        return f"{each.method}, runs ({most} seed{'s' if most > 1 else ''})"
    label = each.method
    if len({one.source for one in together if one.source}) > 1:
        label += f" [{each.source}]"
    return label + (", published" if with_runs else "")


def _lines(curves: Sequence[curve.Curve]) -> Dict[str, Tuple[str, str]]:
    """Color and dashes by `_name`. A run has the color of its published counterpart, unless another run has it."""
    result: Dict[str, Tuple[str, str]] = {}
    taken: Set[str] = set()
    others = 0
    for each in curves:
        if _name(each) in result:
            continue
        # The figures of the paper are never in one pair of axes, and a level line has the color of its method.
        kind = ("figures" if each.source.startswith("ICLR2020") else "others") if each.source else "runs"
        color = _known_color(each.method)
        if color and (kind == "figures" or (kind == "runs" and color not in taken)):
            result[_name(each)] = (color, "-")
            if kind == "runs":
                taken.add(color)
        else:
            color = _OTHER_COLORS[others % len(_OTHER_COLORS)]
            result[_name(each)] = (color, _DASHES[others // len(_OTHER_COLORS) % len(_DASHES)])
            others += 1
    return result


def _known_color(method: str) -> Optional[str]:
    wanted = method.lower().split("-")[-1]
    found = [(len(name), color) for names, color in _COLORS.items() for name in names if wanted.startswith(name)]
    return max(found)[1] if found else None


def _bands(curves: Sequence[curve.Curve], statistic: str) -> str:
    parts = []
    if any(each.source and np.isfinite(each.low).any() for each in curves):
        parts.append("published: mean ± standard deviation")
    if any(not each.source for each in curves):
        name = {"mean": "mean", "iqm": "interquartile mean"}[statistic]
        intervals = any(np.isfinite(each.low).any() for each in curves if not each.source)
        parts.append(
            f"runs: {name} over seeds"
            + (", with its 95 % bootstrap interval" if intervals else ", one seed, no interval")
        )
    return "; ".join(parts)
