"""The benchmark's command; its figures are never tested."""

import json
import pathlib
import subprocess

import pytest

BENCHMARK = pathlib.Path(__file__).resolve().parents[2] / "bin" / "benchmark"


def run(*arguments):
    return subprocess.run([str(BENCHMARK), *arguments], capture_output=True, text=True, timeout=300)


def test_an_unknown_part_is_named():
    done = run("--only=environment,gpu")
    assert done.returncode == 2
    assert done.stderr == (
        "benchmark: 'gpu', expected --only=train_step,environment,replay,policy,loop,planet,dvrl, or some of them\n"
    )


@pytest.mark.expensive
def test_figures_are_printed_and_written(tmp_path):
    done = run("--only=environment,policy", f"--json={tmp_path}/figures.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["environment"]["frame_ms"].keys() == {"default", "fast"}
    assert figures["policy"].keys() == {
        "collect_ms",
        "saved_model_greedy_ms",
        "saved_model_stochastic_ms",
        "peak_memory_gib",
    }
    assert "agent_steps_a_second.fast" in done.stdout
    line = next(line for line in done.stdout.splitlines() if "fast_to_every_simulator_step_rendered" in line)
    assert line.endswith("5 wanted")
    # The lights' shadows and smoothed edges differ, and not much else.
    assert 0.1 < figures["environment"]["pixel_difference_of_fast_to_default"]["mean"] < 10
