import csv
import io
import json
import types as types_lib

import fakes
import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from slac_tf.runs import metrics, run_dir
from slac_tf.training import evaluation, settings

POSITION = {"env_step": 40, "agent_step": 20, "train_step": 7, "wall_seconds": 1.5}


class Replay:
    """Gives one batch, again and again."""

    def __init__(self, step_types=(MID, MID, MID)):
        self._step_types = step_types

    def sample(self, batch_size):
        while True:
            yield types_lib.SimpleNamespace(
                experience=fakes.experience(batch_size=batch_size, step_types=self._step_types)
            )


class StopAt:
    """Becomes true at the n-th question."""

    def __init__(self, number):
        self._left = number

    def __call__(self):
        self._left -= 1
        return self._left < 0


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
        chosen = settings.EvaluationSettings(
            **{"num_episodes": 2, "max_episode_agent_steps": 100, "keep_exports": 2, **kwargs}
        )
        writer = metrics.MetricsWriter(directory)
        writer.begin()
        environment = fakes.CountingEnvironment(length=4)
        return directory, evaluation.Evaluator(
            environment, built, directory, writer, chosen, seed=3, config="a.b = 1\n"
        )

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
