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
