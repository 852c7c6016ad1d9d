"""What distributed runs learn, and how old the policies are that collect for them."""

import math

import launched
import pytest
from processes import lines, rows

pytestmark = [pytest.mark.expensive, pytest.mark.long]

# Random actions get 4 to 7 of 20, the way straight to the target 17 to 18.
SOLVED = 11.0
GIN_FILE = "tests/distributed/point.gin"


def greedy_return(root):
    return float(rows(root)[-1]["AverageReturnEvalGreedyPolicy"])


def test_learns(tmp_path):
    # As there, a second seed decides.
    for seed in range(2):
        root = tmp_path / str(seed) / "run"
        with launched.Launch(root, 2, (), f"--seed={seed}", observed=False, gin_file=GIN_FILE) as launch:
            assert launch.exit_code(590) == 0, launch.log[-5000:]
        staleness = [line["staleness_mean"] for line in lines(root, "collectors") if "staleness_mean" in line]
        print(f"seed {seed}: {greedy_return(root):.1f}, policies {max(staleness):.0f} train steps old on average")
        assert staleness and all(math.isfinite(value) for value in staleness)
        if greedy_return(root) > SOLVED:
            return
    pytest.fail("not learned")
