"""The data that is drawn is the data that was read."""

import numpy as np
import pytest

from slac_tf.results import curve, published

pytest.importorskip("matplotlib")

from slac_tf.results import figures


def ours(task, method="SLAC", low=0.0):
    steps, returns = np.array([10_000, 20_000]), np.array([100.0, 200.0])
    return curve.Curve(task, method, "", steps, returns, returns + low, returns - low, np.array([3, 3]))


@pytest.mark.parametrize("number", [4, 5, 6])
def test_a_figure_of_the_paper_has_the_published_data(number):
    drawing = figures.draw(figures.of_paper(number, ()), "", "mean", None)
    tasks = published.FIGURES[number].last_env_steps
    assert [axes.get_xlim() for axes in drawing.axes] == [(0, last) for last in tasks.values()]
    for axes, task in zip(drawing.axes, tasks):
        expected = [each for each in published.of_figure(number) if each.task == task]
        assert len(axes.lines) == len(expected)
        for line, each in zip(axes.lines, expected):
            steps, returns = line.get_data()
            np.testing.assert_array_equal(returns, np.repeat(each.returns, 2) if curve.is_level(each) else each.returns)
            assert curve.is_level(each) or np.array_equal(steps, each.env_steps)


def test_runs_are_drawn_over_the_published():
    drawing = figures.draw(figures.of_paper(4, [ours("finger_spin", low=-30)]), "A title", "mean", 200_000)
    axes = drawing.axes[3]
    line = axes.lines[-1]
    np.testing.assert_array_equal(line.get_data(), [[10_000, 20_000], [100, 200]])
    theirs = axes.lines[0]
    assert line.get_color() == theirs.get_color() and line.get_linewidth() > theirs.get_linewidth()
    assert axes.get_xlim() == (0, 200_000)
    band = axes.collections[-1].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(10_000, 70), (10_000, 130), (20_000, 170), (20_000, 230)}
    labels = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert "SLAC, published" in labels and "SLAC, runs (3 seeds)" in labels
    assert "runs: mean over seeds, with its 95 % bootstrap interval" in drawing.legends[0].get_title().get_text()


def test_all_that_is_known_of_a_task():
    drawing = figures.draw(figures.of_task("cheetah_run", ()), "", "mean", None)
    # SLAC of Figure 4 is in two panels: the paper's, and that of all versions of SLAC.
    assert sum(len(axes.lines) for axes in drawing.axes) == len(published.of_task("cheetah_run")) + 1
    assert len(figures.draw(figures.of_task("cartpole_swingup", ()), "", "mean", None).axes) == 1


def test_runs_alone_have_a_panel_a_task_and_colors_of_their_own():
    runs = [ours("finger_spin"), ours("finger_spin", "SLAC, wider"), ours("dot_reach")]
    drawing = figures.draw(figures.of_runs(runs, [ours("finger_spin")]), "", "iqm", None)
    assert [axes.get_title() for axes in drawing.axes] == ["finger spin", "dot reach"]
    thin, *lines = drawing.axes[0].lines
    assert len(lines) == 2 and lines[0].get_color() != lines[1].get_color()
    assert thin.get_color() == lines[0].get_color() and thin.get_linewidth() < 1
