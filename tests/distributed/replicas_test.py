"""Training on two devices gives the gradients of one with the whole batch; in processes of their own."""

import os
import pathlib
import re
import subprocess
import sys

import launched
import numpy as np
import pytest
from processes import lines

SCRIPT = pathlib.Path(__file__).with_name("two_devices.py")


def ratios(*arguments):
    tests = SCRIPT.parents[1]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    print(ended.stdout)
    return {name: (float(a), float(b)) for name, a, b in re.findall(r"(.*): .* ratio (\S+) to (\S+)", ended.stdout)}


def test_gradients_of_slac_are_those_of_the_whole_batch_and_a_missing_division_is_noticed():
    found = ratios("slac pixels", "sum")
    assert found["sum"] == pytest.approx((2, 2), abs=1e-2)
    assert found["slac pixels"] == pytest.approx((1, 1), abs=1e-4)


@pytest.mark.expensive
def test_gradients_of_the_others_and_resets():
    others = ("sac state", "mpo state", "d4pg state", "rssm")
    found = ratios(*others, "resets")
    assert sorted(found) == sorted(others)
    for name, both in found.items():
        assert both == pytest.approx((1, 1), abs=1e-4), name


@pytest.mark.expensive
def test_a_run_on_two_devices_goes_on_with_one(tmp_path):
    root = tmp_path / "run"
    for devices, total in ((2, 150), (1, 200)):
        bindings = (f"Distributed.learner_devices = {devices}", f"Schedule.num_env_steps = {total}")
        with launched.Launch(root, 1, bindings, observed=False) as launch:
            assert launch.exit_code(300) == 0, launch.log[-5000:]
        steps = lines(root, "train")
        assert steps[-1]["train_step"] == total - launched.INITIAL
        assert all(np.isfinite(line["loss"]) for line in steps)
