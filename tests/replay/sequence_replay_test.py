import fakes
import numpy as np
import pytest
import tensorflow as tf
import windows

from slac_tf import types
from slac_tf.replay import errors, sequence_replay

PRIORITIZED = types.Prioritization(exponent=1.0, importance_exponent=1.0)


@pytest.fixture
def make_replay(tmp_path):
    directories = iter(range(9))

    def make(**kwargs):
        settings = dict(sequence_length=windows.SEQUENCE_LENGTH, directory=tmp_path / f"server_{next(directories)}")
        return sequence_replay.SequenceReplay(windows.data_spec(), capacity=1000, **{**settings, **kwargs})

    return make


def update(replay, priorities):
    """Gives the windows that 200 samples find new priorities, by the number of their first frame."""
    batch = next(replay.sample(200))
    begins = windows.frames(batch)[:, 0].tolist()
    replay.update(batch, {"priorities": tf.constant([priorities[begin] for begin in begins], tf.float32), "loss": 1.0})


def share(replay, first, num_batches=10):
    """Of the samples, that begin with the frame `first`."""
    batches = replay.sample(100)
    return np.mean([windows.frames(next(batches))[:, 0] == first for _ in range(num_batches)])


def test_what_was_added_can_be_sampled(make_replay):
    replay = make_replay(trained_step=0)
    for step in windows.steps(20):  # without a flush
        replay.add(step)
    assert sorted(windows.sampled(replay.sample(50))) == sorted(set(range(20)) - {5, 11, 17})
    assert replay.size == 17


def test_what_was_added_is_saved(make_replay, tmp_path):
    replay = make_replay()
    for step in windows.steps(10, windows.one_stream()):  # without a flush
        replay.add(step)
    replay.save(tmp_path / "saved")
    restored = make_replay(restore_from=tmp_path / "saved")
    assert sorted(windows.sampled(restored.sample(50))) == list(range(7))


@pytest.mark.parametrize(
    ("length", "longest", "left_out"),
    [
        (100, 3, 0),  # broken off each time, before a LAST step
        (2, 4, 4),  # one window each: FIRST, MID, LAST, FIRST, whose trained step is the LAST one
    ],
)
def test_an_empty_replay_says_why(make_replay, length, longest, left_out):
    replay = make_replay(timeout_seconds=1.0)
    for _ in range(4):
        windows.collect(replay, 3, fakes.CountingEnvironment(length=length))
    with pytest.raises(errors.EmptyReplayError) as error:
        next(replay.sample(2))
    assert str(error.value) == (
        "no sequence could be sampled within 1 s: replay holds 0 sequences and needs at least 1, of 4 steps; the most "
        f"steps that came without a break are {longest}, and {left_out} sequences were left out because they would "
        "train on a reset: collect more steps first (Schedule.initial_collect_agent_steps or "
        "initial_collect_episodes), or bind a smaller sequence_length of the agent"
    )


@pytest.mark.parametrize("prioritization", [None, PRIORITIZED])
def test_a_train_step_updates_priorities_where_there_are_some(make_replay, prioritization):
    replay = make_replay(prioritization=prioritization)
    windows.collect(replay, 5, windows.one_stream())
    update(replay, {0: 99.0, 1: 1.0})
    if prioritization is None:  # 1000 samples, a deviation of 0.016
        assert abs(share(replay, 0) - 0.5) < 0.08
        replay.update(next(replay.sample(3)), {})
    else:
        assert share(replay, 0) > 0.96


@pytest.mark.parametrize("resumed", [False, True])
def test_new_windows_have_the_highest_priority_so_far(make_replay, tmp_path, resumed):
    replay = make_replay(prioritization=PRIORITIZED)
    windows.collect(replay, 5, windows.one_stream())
    update(replay, {0: 50.0, 1: 0.1})
    update(replay, {0: 0.1, 1: 0.1})
    if resumed:
        replay.save(tmp_path / "saved")
        replay = make_replay(prioritization=PRIORITIZED, restore_from=tmp_path / "saved")
    windows.collect(replay, 4, windows.one_stream(first=50))
    assert share(replay, 50) > 0.98  # 50 of 50.2; 1 of 1.2, were the highest forgotten
    assert replay.size == 3


def test_the_highest_priority_of_a_fresh_replay_is_one(make_replay):
    replay = make_replay(prioritization=PRIORITIZED)
    windows.collect(replay, 5, windows.one_stream())
    update(replay, {0: 0.1, 1: 0.1})
    windows.collect(replay, 4, windows.one_stream(first=50))
    assert 0.75 < share(replay, 50) < 0.9  # 1 of 1.2
