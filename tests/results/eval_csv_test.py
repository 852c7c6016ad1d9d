"""Runs found, read and refused, from files written by hand."""

import re

import numpy as np
import pytest

from slac_tf.results import curve, eval_csv

HEADER = (
    "task,seed,OriginalEnvironmentSteps,agent_step,train_step,AverageReturnEvalPolicy,AverageReturnEvalGreedyPolicy"
)
POLICIES = ("stochastic", "greedy")


def write(directory, seed=0, task="finger_spin", steps=(10, 20, 30, 40, 50), lines=None):
    """Returns of the stochastic policy are the steps plus the seed, those of the greedy one a hundred more."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [f"{task},{seed},{step},{step // 2},{step - steps[0]},{step + seed},{step + seed + 100}" for step in steps]
    (directory / "eval.csv").write_text("\n".join([HEADER, *(lines or rows)]) + "\n")
    return directory


def test_places(tmp_path):
    write(tmp_path / "sweep" / "vae" / "seed0")
    write(tmp_path / "sweep" / "vae" / "seed1", seed=1)
    write(tmp_path / "sweep" / "default" / "seed0")
    write(tmp_path / "alone")

    def found(*places):
        groups = eval_csv.gather([str(place) for place in places], POLICIES)
        return {key: [run.seed for run in runs] for key, runs in groups.items()}

    sweep = {("default", "finger_spin"): ["0"], ("vae", "finger_spin"): ["0", "1"]}
    assert found(tmp_path / "sweep") == sweep
    assert found(tmp_path / "sweep" / "vae") == {("vae", "finger_spin"): ["0", "1"]}
    assert found(tmp_path / "sweep" / "vae" / "seed1") == {("vae", "finger_spin"): ["1"]}
    assert found(tmp_path / "sweep" / "vae" / "seed1" / "eval.csv") == {("vae", "finger_spin"): ["1"]}
    assert found(tmp_path / "alone") == {("alone", "finger_spin"): ["0"]}
    assert found(f"A name={tmp_path}/sweep/vae") == {("A name", "finger_spin"): ["0", "1"]}
    assert found(tmp_path / "sweep", tmp_path / "sweep" / "vae") == sweep  # named twice, counted once


def test_values(tmp_path):
    write(tmp_path / "seed3", seed=3)
    ((run,),) = eval_csv.gather([str(tmp_path)], POLICIES).values()
    np.testing.assert_array_equal(run.env_steps, [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(run.returns["stochastic"], [13, 23, 33, 43, 53])
    np.testing.assert_array_equal(run.returns["greedy"], [113, 123, 133, 143, 153])


ROW = "finger_spin,0,{},5,{},1.0,2.0"
FIRST = ROW.format(10, 0)
MISTAKES = {
    "no_rows": ([""], "no rows"),
    "torn_row": ([FIRST, "finger_spin,0,20,1"], "line 3: 4 cells, expected 7"),
    "torn_number": (
        [FIRST, "finger_spin,0,20,5,1,x,2.0"],
        "line 3: AverageReturnEvalPolicy 'x', expected a finite number",
    ),
    "not_finite": ([FIRST, "finger_spin,0,20,5,1,nan,2.0"], "'nan', expected a finite number"),
    "two_tasks": ([FIRST, "cheetah_run,0,20,5,1,1.0,2.0"], "rows of task finger_spin and of task cheetah_run"),
    "two_seeds": ([FIRST, "finger_spin,1,20,5,1,1.0,2.0"], "rows of seed 0 and of seed 1"),
    "steps_fall": ([FIRST, ROW.format(5, 1)], "line 3: env step 5 after 10"),
    "first_row_is_missing": ([ROW.format(20, 7)], "the first row is of train step 7"),
    "a_row_is_missing": (
        [FIRST, *(ROW.format(step, step) for step in (20, 30, 50, 60, 70))],
        "no row between env steps 30 and 50, expected one each 10",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_files_that_are_refused(tmp_path, name):
    lines, message = MISTAKES[name]
    write(tmp_path, lines=lines)
    if name == "no_rows":
        (tmp_path / "eval.csv").write_text(HEADER + "\n")
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        eval_csv.gather([str(tmp_path)], POLICIES)
    assert str(tmp_path / "eval.csv") in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"task,seed\n", b"\xff\xfe\x00", b"task\x00\n"])
def test_files_that_are_none(tmp_path, content):
    (tmp_path / "eval.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected an eval\.csv"):
        eval_csv.gather([str(tmp_path)], POLICIES)


def test_steps_of_a_run_whose_interval_changed(tmp_path):
    write(tmp_path, steps=(10, 15, 20, 30, 40, 50, 53))
    assert eval_csv.gather([str(tmp_path)], POLICIES)


def test_a_row_that_other_seeds_have(tmp_path):
    write(tmp_path / "seed0")
    write(tmp_path / "seed1", seed=1, steps=(10, 20, 30, 50))
    with pytest.raises(ValueError, match=r"seed1/eval.csv: no row at env step 40, which .*seed0/eval.csv has"):
        eval_csv.gather([str(tmp_path)], POLICIES)
    write(tmp_path / "seed1", seed=1, steps=(10, 20, 30, 33))  # stopped between two evaluations
    assert eval_csv.gather([str(tmp_path)], POLICIES)


def test_places_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no eval\.csv in it"):
        eval_csv.gather([str(tmp_path)], POLICIES)
    with pytest.raises(ValueError, match="no such directory"):
        eval_csv.gather([str(tmp_path / "x")], POLICIES)
    write(tmp_path / "a" / "seed0")
    write(tmp_path / "b" / "seed0")
    with pytest.raises(ValueError, match="both are seed 0 of SLAC on finger_spin"):
        eval_csv.gather([f"SLAC={tmp_path}"], POLICIES)
    write(tmp_path / "a" / "seed1", seed=1, task="cheetah_run")
    with pytest.raises(ValueError, match="seeds of finger_spin and of cheetah_run"):
        eval_csv.gather([str(tmp_path / "a")], POLICIES)


def test_what_learns_nothing_is_a_level(tmp_path):
    path = tmp_path / "eval.csv"
    path.write_text("task,seed,OriginalEnvironmentSteps,AverageReturnEvalPolicy\ncartpole_swingup,0,0,850.0\n")
    (runs,) = eval_csv.gather([f"MPC={path}"], ["stochastic"]).values()
    assert curve.is_level(curve.from_runs(runs, "stochastic", "mean"))
