"""What comes with the package, beside the numbers that the paper's readers know."""

import pathlib
import re

import numpy as np
import pytest

from slac_tf.results import curve, published, tables


def by_name(curves):
    return {(each.task, each.method): each for each in curves}


@pytest.mark.parametrize(("number", "tasks", "lines", "levels"), [(4, 4, 5, 3), (5, 4, 4, 1), (6, 1, 6, 0)])
def test_figures_are_whole(number, tasks, lines, levels):
    curves = published.of_figure(number)
    assert len({each.task for each in curves}) == tasks
    assert sum(curve.is_level(each) for each in curves) == tasks * levels
    assert len(curves) == tasks * (lines + levels)
    for each in curves:
        assert np.all(np.diff(each.env_steps) > 0)
        assert curve.is_level(each) or len(each.env_steps) > 50
        assert each.env_steps[-1] <= published.FIGURES[number].last_env_steps[each.task] or curve.is_level(each)


def test_values_of_the_paper():
    curves = by_name(published.of_figure(4))
    value, low, high, _ = curve.at(curves["cheetah_run", "SLAC"], 100_000)
    assert (round(value), round((high - low) / 2)) == (439, 80)
    assert curve.at(curves["cheetah_run", "SLAC"], 50_000) == ()  # nothing between 6 and 80,007
    assert round(curves["cheetah_run", "SAC state (level line)"].returns[0]) == 893
    assert round(curves["finger_spin", "D4PG pixels @1e8 steps"].returns[0]) == 986


def test_all_sources_are_explained():
    text = (pathlib.Path(published.__file__).parent / "published" / "README.md").read_text()
    for source in {each.source for each in published.load()}:
        prefix, number = re.fullmatch(r"(.*?)((?:-Fig|-Table)\d)?", source).groups()
        assert prefix in text and (number or "") in text, source


def test_tasks():
    assert by_name(published.of_task("HalfCheetah-v4")).keys() == by_name(published.of_task("HalfCheetah")).keys()
    assert {each.task for each in published.of_task("cartpole_swingup")} == {"cartpole_swingup"}
    with pytest.raises(ValueError, match=r"task acrobot_swingup: nothing published, expected one of .*cheetah_run"):
        published.of_task("acrobot_swingup")
    with pytest.raises(ValueError, match="figure 7: expected one of 4, 5, 6"):
        published.of_figure(7)


def line(steps, returns, source="", seeds=3):
    steps, returns = np.array(steps), np.array(returns, float)
    return curve.Curve("dot", "A", source, steps, returns, returns - 1, returns + 2, np.full(len(steps), seeds))


def test_between_two_points():
    each = line([10, 20, 30, 60], [1, 3, 5, 7])
    assert curve.at(each, 20) == (3, 2, 5, 3)
    assert curve.at(each, 25) == (4, 3, 6, 3)
    assert curve.at(each, 5) == curve.at(each, 61) == ()
    assert curve.at(each, 45) == ()  # a gap of 30 where 10 are usual
    assert curve.task_key("Ant-v4") == "Ant" and curve.task_key("finger_spin") == "finger_spin"


def test_table():
    ours = line([50_000, 100_000], [1, 3])._replace(num_seeds=np.array([3, 1]))
    text = tables.table([line([50_000], [7], "B", 0), ours], "iqm")
    rows = [row for row in text.splitlines() if row.startswith("| A")]
    assert rows[0] == "| A | runs | 3 to 50,000, 1 to 100,000 | 1 [0, 3] | 3 [2, 5] | — | — | — | 3 [2, 5] at 100,000 |"
    assert rows[1] == "| A | B | — | 7 ± 1 | — | — | — | — | 7 ± 1 at 50,000 |"
    assert "interquartile mean over the seeds that reached the step" in text
    assert tables.notes([ours]) == ["A on dot: runs of unequal length, seeds 3 to 50,000, 1 to 100,000"]
