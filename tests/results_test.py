"""What the repository says it has reached: policies played, tables beside their numbers."""

import csv
import pathlib
import statistics

from slac_tf.export import player
from slac_tf.training import configuration, evaluation

ROOT = pathlib.Path(__file__).resolve().parents[1]
# As results/quickstart/README.md states it.
STATED_RETURN = 250.0


def test_the_quickstarts_policy_plays_above_its_stated_return():
    policy = player.ExportedPolicy(ROOT / "results" / "quickstart" / "policy")
    assert f"**{STATED_RETURN:.0f}**" in (ROOT / "results" / "quickstart" / "README.md").read_text()
    environment = configuration.load_environment(policy.manifest["config"])(seed=12345)
    try:
        episodes = evaluation.run_episodes(environment, policy, 2, record=False)
    finally:
        environment.close()
    assert list(episodes.lengths) == [500, 500]
    assert episodes.returns.mean() > STATED_RETURN


def test_the_latent_models_table_says_what_was_measured():
    directory = ROOT / "results" / "latent_models"
    with (directory / "elbo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    text = (directory / "README.md").read_text()
    for model in {row["model"] for row in rows}:
        values = [float(row["elbo"]) for row in rows if row["model"] == model]
        assert f"| {statistics.mean(values):,.0f} ± {statistics.stdev(values):.0f} |" in text


def test_the_table_of_sac_from_state_says_what_was_measured():
    directory = ROOT / "results" / "sac_state"
    table = [line.split(" | ") for line in (directory / "README.md").read_text().splitlines() if "±" in line[1:]]
    rows = [cells for cells in table if len(cells) == 7 and cells[1].replace(",", "").isdigit()]
    assert len(rows) == 5
    for task, env_steps, *cells in rows:
        returns = []
        for seed, stated in enumerate(cells[:3]):
            path = directory / task.strip("| ").replace(" ", "_") / f"seed{seed}" / "eval.csv"
            with path.open(newline="") as file:
                evaluations = {row["OriginalEnvironmentSteps"]: row for row in csv.DictReader(file)}
            returns.append(float(evaluations[env_steps.replace(",", "")]["AverageReturnEvalPolicy"]))
            assert stated == f"{returns[-1]:.0f}"
        assert cells[3] == f"{statistics.mean(returns):.0f} ± {statistics.stdev(returns):.0f}"


def test_the_table_of_bfloat16_says_what_was_measured():
    directory = ROOT / "results" / "quickstart"
    text = (directory / "README.md").read_text()
    for name, folder in (("float32", "float32_later"), ("bfloat16", "bfloat16")):
        with (directory / folder / "seed0" / "eval.csv").open(newline="") as file:
            returns = [float(row["AverageReturnEvalPolicy"]) for row in csv.DictReader(file)]
        assert f"| {name}, stochastic policy | " + " | ".join(f"{value:.1f}" for value in returns) + " |" in text
