"""The example of docs/custom_agents.md, run as it stands there: nothing else has to change for an agent to be there."""

import os
import pathlib
import re
import subprocess

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def block(language):
    text = (ROOT / "docs" / "custom_agents.md").read_text()
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)
    return found


def run(command, *arguments, cwd):
    result = subprocess.run(
        [str(ROOT / "bin" / command), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.expensive
def test_an_agent_is_one_file_and_one_gin_file(tmp_path):
    (tmp_path / "my_agent.py").write_text(block("python"))
    (tmp_path / "my_agent.gin").write_text(block("gin"))
    root = tmp_path / "run"
    arguments = [f"--gin_file=gin_configs/{name}" for name in ("cheetah_run.gin", "debug.gin")]
    arguments.insert(1, "--gin_file=my_agent.gin")
    arguments += [f"--root_dir={root}", "--gin_bindings=Schedule.updates_per_agent_step = 0.5"]

    run("train_eval", *arguments, cwd=tmp_path)
    rows = processes.rows(root)
    assert [int(row["agent_step"]) for row in rows] == [60, 100]
    rewards = [line["best_reward"] for line in processes.lines(root, "train")]
    assert len(rewards) == 20 and rewards == sorted(rewards)

    assert "restored agent step 100" in run("train_eval", *arguments, cwd=tmp_path).stderr
    played = run("play", f"--policy={root}/policies/latest/greedy_policy", "--episodes=1", cwd=tmp_path).stdout
    assert float(rows[1]["AverageReturnEvalGreedyPolicy"]) > 0 and "return" in played
    run("export", f"--root_dir={root}", cwd=tmp_path)
