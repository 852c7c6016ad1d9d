import numpy as np
import pytest

from slac_tf.results import learning_curves

RUN = """OriginalEnvironmentSteps,AverageReturnEvalPolicy,AverageReturnEvalGreedyPolicy
100,1.0,2.0
200,3.0,4.0
"""
LEVEL = "OriginalEnvironmentSteps,AverageReturnEvalPolicy\n0,{}\n"


def drawn(tmp_path, *texts):
    """Labels of the lines in the legend, and the y values of all lines."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text(text)
    (axes,) = learning_curves.figure(paths, "title").axes
    return [text.get_text() for text in axes.get_legend().get_texts()], [
        np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()
    ]


def test_runs(tmp_path):
    labels, lines = drawn(tmp_path, RUN, RUN.replace("3.0", "5.0"))
    assert labels == ["stochastic policy, mean of 2 seeds", "greedy policy, mean of 2 seeds"]
    assert [1.0, 4.0] in lines
    assert [2.0, 4.0] in lines


def test_what_learns_nothing_is_a_level(tmp_path):
    labels, lines = drawn(tmp_path, LEVEL.format(5.0), LEVEL.format(8.0))
    assert labels == ["without learning, mean of 2 seeds"]
    assert lines == [[5.0, 5.0], [8.0, 8.0], [6.5, 6.5]]


def test_a_level_beside_a_run(tmp_path):
    labels, lines = drawn(tmp_path, RUN, LEVEL.format(5.0))
    assert labels[-1] == "without learning, mean of 1 seeds"
    assert len(labels) == 3
    assert [1.0, 3.0] in lines
    assert [5.0, 5.0] in lines


def test_a_run_of_one_evaluation_is_no_level(tmp_path):
    labels, _ = drawn(tmp_path, "".join(RUN.splitlines(keepends=True)[:2]))
    assert labels == ["stochastic policy, mean of 1 seeds", "greedy policy, mean of 1 seeds"]


def test_a_file_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match=r"0.csv: no rows with .* expected an eval.csv of bin/train_eval or bin/mpc"):
        drawn(tmp_path, "a,b\n1,2\n")
