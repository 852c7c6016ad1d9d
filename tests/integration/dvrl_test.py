"""DVRL on Mountain Hike, through all that a run does."""

import in_process
import plain_tensorflow
import processes
import pytest

from slac_tf.config import configuration
from slac_tf.runs import checkpoints

pytestmark = pytest.mark.expensive

AGENT_STEPS = 6000
SMALL = (
    "NUM_PARTICLES = 3",
    "MEMORY_SIZE = 32",
    "Z2_SIZE = 4",
    "ParticleBelief.state_hidden_sizes = (32,)",
    "EvaluationSettings.interval_env_steps = 1000000",  # once before training and once after it
    "EvaluationSettings.num_episodes = 4",
    "Intervals.summary_train_steps = 20",
)
PROGRAM = """
    model = tf.saved_model.load(sys.argv[1])
    state = model.get_initial_state(batch_size=1)
    for t in range(3):
        observation = {"state": tf.constant([[-8.5, -8.5]])}
        time_step = TimeStep(tf.constant([min(t, 1)]), tf.zeros([1]), tf.ones([1]), observation)
        action, state, _ = model.action(time_step, state)
        print(action.shape)
"""


def run(root, agent_steps, seed=0):
    bindings = [*SMALL, f"Schedule.num_env_steps = {agent_steps}"]
    return in_process.run(root, configuration.load(["gin_configs/mountain_hike_dvrl.gin"], bindings), seed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("dvrl") / "run"
    return root, run(root, AGENT_STEPS)


def test_each_window_was_trained_on_once(trained):
    state = checkpoints.newest(trained[0] / "train" / "checkpoints").state
    steps = AGENT_STEPS + AGENT_STEPS // 75  # with the resets
    assert state["train_step"] == pytest.approx(steps / 41, rel=0.02)
    losses = processes.lines(trained[0], "train")
    assert losses[-1]["elbo"] > losses[0]["elbo"]
    assert {line["skipped_steps"] for line in losses} == {0.0}


def test_plays_with_tensorflow_alone_and_by_bin_play(trained, tmp_path):
    policy = trained[0] / "policies" / "latest" / "greedy_policy"
    assert plain_tensorflow.run(PROGRAM, policy).splitlines() == ["(1, 2)"] * 3
    played = processes.run("play", f"--policy={policy}", "--episodes=4", "--video=play.mp4", cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert (tmp_path / "play.mp4").stat().st_size > 0
    mean = played.stdout.partition("mean return ")[2].split()[0]
    assert abs(float(mean) - trained[1].greedy_return) < 100.0


def test_resumes(trained):
    root, _ = trained
    before = checkpoints.newest(root / "train" / "checkpoints").state
    run(root, AGENT_STEPS + 123)
    after = checkpoints.newest(root / "train" / "checkpoints").state
    assert after["agent_step"] == AGENT_STEPS + 123
    assert after["train_step"] == before["train_step"] + 3
    steps = [int(row["OriginalEnvironmentSteps"]) for row in processes.rows(root)]
    assert steps == [0, AGENT_STEPS, AGENT_STEPS + 123]
