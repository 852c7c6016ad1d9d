import csv
import io
import json

import fakes
import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tf_agents.trajectories import policy_step

from slac_tf.config import configuration
from slac_tf.environments import faults
from slac_tf.replay import reader
from slac_tf.runs import metrics, run_dir
from slac_tf.training import evaluation

POSITION = {"env_step": 40, "agent_step": 20, "train_step": 7, "wall_seconds": 1.5}


class CountingPolicy:
    """Its state is the number of its calls in the episode."""

    def __init__(self):
        self.initial_states, self.states = 0, []

    def get_initial_state(self, batch_size):
        assert batch_size == 1
        self.initial_states += 1
        return 0

    def action(self, time_step, state):
        self.states.append(state)
        return policy_step.PolicyStep(np.zeros(fakes.ACTION_SIZE, np.float32), state + 1, ())


class StateEnvironment(fakes.CountingEnvironment):
    """Shows the agent no pixels."""

    def _observe(self):
        return {"state": super()._observe()["pixels"][0, 0].astype(np.float32)}


class Replay:
    """Gives one batch, again and again."""

    def __init__(self, step_types=(MID, MID, MID)):
        self._step_types = step_types

    def sample(self, batch_size):
        while True:
            experience = fakes.experience(batch_size=batch_size, step_types=self._step_types)
            yield reader.Batch(experience, weights=None, keys=tf.range(batch_size))


class StopAt:
    """Becomes true at the n-th question."""

    def __init__(self, number):
        self._left = number

    def __call__(self):
        self._left -= 1
        return self._left < 0


def test_returns_lengths_and_policy_states():
    policy = CountingPolicy()
    episodes = evaluation.run_episodes(fakes.CountingEnvironment(length=3), policy, 2, record=False)
    assert episodes.returns.tolist() == [6.0, 6.0]  # 1 + 2 + 3
    assert episodes.lengths.tolist() == [3, 3]
    assert episodes.frames.shape == (0,)
    assert policy.initial_states == 2
    assert policy.states == [0, 1, 2, 0, 1, 2]


def test_frames_of_the_first_episode():
    episodes = evaluation.run_episodes(fakes.CountingEnvironment(length=3), CountingPolicy(), 2, record=True)
    assert episodes.frames.shape == (3, 64, 64, 3)
    assert episodes.frames.dtype == np.uint8
    assert fakes.counts(episodes.frames).tolist() == [0, 1, 2]  # those that the policy acted on


def test_frames_are_rendered_where_the_observation_has_none():
    episodes = evaluation.run_episodes(StateEnvironment(length=3), CountingPolicy(), 1, record=True)
    assert episodes.frames[:, 0, 0, 0].tolist() == [0, 1, 2]  # the fake renders the index in the episode


def test_stopped_episodes_are_left_out():
    episodes = evaluation.run_episodes(
        fakes.CountingEnvironment(length=3), CountingPolicy(), 5, record=False, should_stop=StopAt(7)
    )
    assert episodes.returns.tolist() == [6.0, 6.0]
    assert episodes.lengths.tolist() == [3, 3]


def test_no_episodes():
    with pytest.raises(ValueError, match="num_episodes: 0"):
        evaluation.run_episodes(fakes.CountingEnvironment(), CountingPolicy(), 0, record=False)


def test_an_episode_that_never_ends():
    endless = fakes.CountingEnvironment(length=10**9)
    with pytest.raises(
        faults.FaultyEnvironmentError, match=r"counting: episode 1 has not ended after 7 agent steps: .*"
    ):
        evaluation.run_episodes(endless, CountingPolicy(), 1, record=False, max_agent_steps=7)
    just_ends = fakes.CountingEnvironment(length=7)
    episodes = evaluation.run_episodes(just_ends, CountingPolicy(), 2, record=False, max_agent_steps=7)
    assert episodes.lengths.tolist() == [7, 7]


def test_the_longest_episode_of_a_configuration():
    configuration.load(["finger_spin.gin"], [])
    assert evaluation.bound_max_episode_agent_steps() == 27_000
    configuration.load(["finger_spin.gin"], ["LONGEST = 50", "train_eval.max_episode_agent_steps = %LONGEST"])
    assert evaluation.bound_max_episode_agent_steps() == 50


@pytest.mark.parametrize("seconds, expected", [(0.1, 10.0), (0.02, 50.0), (0.008, 50.0)])
def test_pace_of_films(seconds, expected):
    environment = fakes.CountingEnvironment()
    environment.agent_time_step = seconds
    assert evaluation.frames_per_second(environment) == pytest.approx(expected)


@pytest.fixture(scope="module")
def built():
    return fakes.build_agent()


@pytest.fixture
def make(tmp_path, built):
    def call(**kwargs):
        directory = run_dir.RunDir(tmp_path)
        settings = dict(seed=3, config="a.b = 1\n", num_episodes=2, max_episode_agent_steps=100, keep_exports=2)
        writer = metrics.MetricsWriter(directory)
        environment = fakes.CountingEnvironment(length=4)
        return directory, evaluation.Evaluator(environment, built, directory, writer, **{**settings, **kwargs})

    return call


def test_what_an_evaluation_leaves(make, built):
    directory, evaluator = make()
    before = [variable.numpy() for variable in built.agent.variables]
    returns = evaluator.evaluate(POSITION, Replay(), lambda: False)
    assert returns == {"greedy": 10.0, "stochastic": 10.0}  # 1 + 2 + 3 + 4, whatever the actions
    for old, variable in zip(before, built.agent.variables):
        np.testing.assert_array_equal(old, variable.numpy())

    with directory.eval_csv.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "task": "counting",
        "seed": "3",
        "OriginalEnvironmentSteps": "40",
        "agent_step": "20",
        "train_step": "7",
        "NumberOfEpisodes": "2",
        "AverageReturnEvalPolicy": "10.0",
        "StdReturnEvalPolicy": "0.0",
        "AverageEpisodeLength": "4.0",
        "AverageReturnEvalGreedyPolicy": "10.0",
        "StdReturnEvalGreedyPolicy": "0.0",
        "wall_seconds": "1.5",
    }
    line = json.loads(directory.metrics.read_text())
    assert (line["kind"], line["env_step"], line["AverageReturnEvalPolicy"]) == ("eval", 40, 10.0)

    for name in ("greedy", "stochastic"):
        folder = directory.policies / "env_step_000000040" / f"{name}_policy"
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["returns"] == [10.0, 10.0]
        assert (manifest["task"], manifest["seed"], manifest["env_step"]) == ("counting", 3, 40)
        assert manifest["config"] == "a.b = 1\n"

    film = imageio.mimread(directory.videos / "env_step_000000040.mp4")
    assert (len(film), film[0].shape) == (4, (64, 64, 3))

    events = event_accumulator.EventAccumulator(str(directory.eval), size_guidance={"tensors": 0})
    events.Reload()
    scalars = {tag: float(tf.make_ndarray(events.Tensors(tag)[0].tensor_proto)) for tag in events.Tags()["tensors"][2:]}
    assert scalars == {
        "Metrics/AverageReturn": 10.0,
        "Metrics/AverageEpisodeLength": 4.0,
        "Metrics/AverageReturnGreedy": 10.0,
        "Metrics/AverageEpisodeLengthGreedy": 4.0,
    }
    gifs = {}
    for tag in events.Tags()["tensors"][:2]:
        (event,) = events.Tensors(tag)
        assert event.step == 40
        gifs[tag] = Image.open(io.BytesIO(tf.make_ndarray(event.tensor_proto)[2]))
    assert gifs["rollout/greedy"].n_frames == 4
    assert gifs["rollout/greedy"].size == (64, 64)
    assert gifs["model/truth_posterior_conditional_prior_prior"].n_frames == fakes.SEQUENCE_LENGTH + 1


def test_no_picture_of_the_model_without_a_sequence_inside_one_episode(make):
    directory, evaluator = make(num_episodes=1)
    assert evaluator.evaluate(POSITION, Replay((LAST, FIRST, MID)), lambda: False) is not None
    events = event_accumulator.EventAccumulator(str(directory.eval), size_guidance={"tensors": 0})
    events.Reload()
    assert not [tag for tag in events.Tags()["tensors"] if tag.startswith("model/")]
    assert "rollout/greedy" in events.Tags()["tensors"]


# 2 episodes of 4 steps: in the first and in the last of the greedy policy, in the stochastic policy's.
@pytest.mark.parametrize("number", [0, 7, 12])
def test_stopped_midway_it_is_not_there(make, number):
    directory, evaluator = make()
    stop = StopAt(number)
    assert evaluator.evaluate(POSITION, Replay(), stop) is None
    assert not directory.eval_csv.exists()
    assert not directory.metrics.exists()
    assert not directory.policies.exists()
    assert not directory.videos.exists()
