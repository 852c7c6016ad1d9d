"""What the repository says it has reached, played."""

import pathlib

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
