"""What distributed runs learn, and how old the policies are that collect for them."""

import math
import statistics

import launched
import pytest
from processes import lines, rows

pytestmark = [pytest.mark.expensive, pytest.mark.long]

# Random actions get 4 to 7 of 20, the way straight to the target 17 to 18.
SOLVED = 11.0


def run(tmp_path, seed, gin_file):
    """The greedy policy's return, the mean one of the last ten episodes of the collectors, and the run's directory."""
    root = tmp_path / str(seed) / "run"
    with launched.Launch(root, 2, (), f"--seed={seed}", observed=False, gin_file=gin_file) as launch:
        assert launch.exit_code(590) == 0, launch.log[-5000:]
    _, state = launched.train_steps_in_checkpoint(root)
    collected = statistics.mean(state["counters"]["recent_returns"])
    greedy = float(rows(root)[-1]["AverageReturnEvalGreedyPolicy"])
    print(f"seed {seed}: greedy {greedy:.1f}, collectors {collected:.1f}")
    return greedy, collected, root


def test_learns(tmp_path):
    # As there, a second seed decides.
    for seed in range(2):
        greedy, collected, root = run(tmp_path, seed, "tests/distributed/point.gin")
        staleness = [line["staleness_mean"] for line in lines(root, "collectors") if "staleness_mean" in line]
        print(f"policies {max(staleness):.0f} train steps old on average")
        assert staleness and all(math.isfinite(value) for value in staleness)
        if min(greedy, collected) > SOLVED:
            return
    pytest.fail("not learned")


def test_collectors_that_get_one_policy_alone_do_not_improve(tmp_path):
    # Off-policy learning may succeed on what they bring, so the greedy policy's return says nothing.
    _, collected, _ = run(tmp_path, 0, "tests/distributed/point_once.gin")
    assert collected < SOLVED
