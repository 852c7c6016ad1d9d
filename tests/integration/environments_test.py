"""A run of one process in several environments: the ratio counts all, and no window mixes them."""

import pathlib
import sys

import in_process
import numbered_point
import pytest

from slac_tf.config import configuration
from slac_tf.replay import server
from slac_tf.runs import checkpoints
from slac_tf.training import experiment

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "distributed"))
import launched

TOTAL, UPDATES, ENVIRONMENTS = 160, 0.5, 3


@pytest.mark.expensive
def test_three_environments(tmp_path):
    bindings = [
        f"train_eval.num_environments = {ENVIRONMENTS}",
        f"Schedule.num_env_steps = {TOTAL}",
        f"Schedule.updates_per_agent_step = {UPDATES}",
        "Intervals.checkpoint_seconds = 1000",
    ]
    config = configuration.load([str(launched.ROOT / launched.GIN_FILE)], bindings)
    result = in_process.run(tmp_path / "run", config)
    assert result.exit_code == 0
    found = checkpoints.newest(tmp_path / "run" / "train" / "checkpoints")
    assert found.state["agent_step"] == TOTAL
    assert found.state["train_step"] == UPDATES * (TOTAL - launched.INITIAL)
    _, built = experiment.task_and_agent(0)
    restored = server.ReplayServer(
        built.agent.collect_data_spec,
        sequence_length=built.sequence_length,
        capacity=10_000,
        directory=tmp_path / "server",
        restore_from=found.replay,
    )
    windows = {}
    for sample in restored.client.sample("sequences", 20 * TOTAL, emit_timesteps=False):
        windows[sample.info.key] = (numbered_point.numbers(sample.data[1]), sample.data[0])
    launched.check_windows(windows.values())
    assert len({numbers[0, 0] for numbers, _ in windows.values()}) == ENVIRONMENTS
