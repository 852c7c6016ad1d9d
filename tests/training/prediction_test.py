import fakes
import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.policies import random_py_policy
from tf_agents.specs import tensor_spec

from slac_tf.config import configuration
from slac_tf.runs import checkpoints, run_dir
from slac_tf.training import prediction, restored


class Replay:
    def save(self, directory):
        directory.mkdir()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The directory of a run with a checkpoint of a tiny, untrained agent."""
    root = tmp_path_factory.mktemp("run")
    directory = run_dir.RunDir(root)
    config = configuration.load(
        ["gin_configs/finger_spin.gin", "gin_configs/debug.gin"], ["EvaluationSettings.max_episode_agent_steps = 40"]
    )
    environment = configuration.load_text(config)(seed=0)
    specs = [tensor_spec.from_spec(spec) for spec in (environment.time_step_spec(), environment.action_spec())]
    environment.close()
    built = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn(*specs, tf.Variable(0, dtype=tf.int64))
    directory.config.write_text(config)
    saver = checkpoints.Checkpoints(directory.checkpoints, built.agent, built.reusable)
    saver.save(7, {"pretrain_step": 0, "env_step": 14, "seed": 0}, Replay())
    return root


def predict(root, **arguments):
    settings = dict(num_sequences=2, num_frames=5, context_frames=1, seed=0)
    configuration.load_run(root)
    return prediction.predict(root, **{**settings, **arguments})


def test_the_figure_has_four_rows_for_each_sequence_and_the_frames_of_the_task(root, tmp_path):
    picture = predict(root)
    assert picture.shape == (2 * 4 * 64 + 4, 5 * 64, 3) and picture.dtype == np.uint8
    truth = [picture[:64, 64 * t : 64 * (t + 1)] for t in range(5)]
    assert all(np.ptp(frame) > 50 for frame in truth)
    assert any(np.any(a != b) for a, b in zip(truth, truth[1:]))
    assert np.all(picture[4 * 64 : 4 * 64 + 4] == 255)  # the gap


def test_context_frames_are_those_of_the_posterior_and_later_ones_are_not(root):
    all_given = predict(root, context_frames=5, num_sequences=1)
    one_given = predict(root, context_frames=1, num_sequences=1)
    np.testing.assert_array_equal(all_given[:64], one_given[:64])  # the same episode
    assert np.any(all_given[2 * 64 : 3 * 64, 64:] != one_given[2 * 64 : 3 * 64, 64:])


def test_what_does_not_fit_is_said(root, tmp_path):
    with pytest.raises(ValueError, match="num_frames: 41, expected at most the episode's 40 agent steps"):
        predict(root, num_frames=41, num_sequences=1)
    with pytest.raises(ValueError, match="context_frames: 6, expected 0 to num_frames 5"):
        predict(root, context_frames=6)
    with pytest.raises(ValueError, match=r"no config\.gin"):
        predict(tmp_path)


def test_an_episode_that_never_ends_is_cut():
    configuration.load(["finger_spin.gin"], ["EvaluationSettings.max_episode_agent_steps = 9"])
    environment = fakes.CountingEnvironment(length=10**9)
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec())
    sequence = prediction._sequence(environment, policy, 5)
    assert fakes.counts(sequence.observation["pixels"]).tolist() == [2, 3, 4, 5, 6]  # the middle of 0 to 8


def test_an_export_from_the_checkpoint(root):
    place = restored.export_run(root, configuration.load_run(root), None)
    assert place == root / "exported" / "env_step_000000014"
    assert (place / "greedy_policy" / "saved_model.pb").exists()
