import fakes
import numpy as np
import pytest
import tensorflow as tf
import windows
from fakes import FIRST, LAST

from slac_tf.replay import errors, rollout_replay

INFO = tf.TensorSpec([], tf.float32)


def replay():
    return rollout_replay.RolloutReplay(
        windows.data_spec()._replace(policy_info=INFO), sequence_length=windows.SEQUENCE_LENGTH
    )


def steps(num_steps):
    """As a policy with info gives them; an episode is 5 actions and a reset long."""
    return [step._replace(policy_info=np.float32(number)) for number, step in enumerate(windows.steps(num_steps))]


def collected(sink, given):
    """Adds steps, takes each window when it is full; its steps' numbers."""
    batches, found = sink.sample(1), []
    for step in given:
        sink.add(step)
        if sink.is_full:
            found.append(next(batches).experience.policy_info.numpy())
    return found


def test_each_step_is_given_once_and_in_order():
    sink = replay()
    found = collected(sink, steps(14))
    np.testing.assert_array_equal(np.concatenate(found, axis=1)[0], np.arange(16))  # 14 and two resets
    assert [window.shape for window in found] == [(1, 4)] * 4
    assert not sink.is_full


def test_a_window_is_as_the_steps_were():
    sink, given = replay(), steps(8)
    for step in given[:4]:
        assert sink.size == 0
        sink.add(step)
    assert sink.size == 1
    experience = next(sink.sample(1)).experience
    tf.nest.assert_same_structure(experience, windows.data_spec()._replace(policy_info=INFO))
    np.testing.assert_array_equal(fakes.counts(experience.observation["pixels"]), [[0, 1, 2, 3]])
    for index, step in enumerate(given[:4]):
        np.testing.assert_array_equal(experience.action[0, index], step.action)
        assert float(experience.reward[0, index]) == step.reward


def test_random_steps_and_what_comes_before_training_are_left_out():
    sink, given = replay(), steps(10)
    for step in windows.steps(5):  # a random policy has no info
        sink.add(step)
    for step in given[:6]:
        sink.add(step)
    np.testing.assert_array_equal(next(sink.sample(1)).experience.policy_info, [[0, 1, 2, 3]])
    found = collected(sink, given[6:10])
    np.testing.assert_array_equal(found, [[[6, 7, 8, 9]]])


def test_a_broken_off_episode_is_not_joined_to_the_next():
    sink, given = replay(), steps(10)
    assert [int(given[i].step_type) for i in (0, 5, 6)] == [FIRST, LAST, FIRST]
    for step in [*given[:2], *given[6:8]]:
        sink.add(step)
    assert not sink.is_full
    for step in given[8:10]:
        sink.add(step)
    np.testing.assert_array_equal(next(sink.sample(1)).experience.policy_info, [[6, 7, 8, 9]])


def test_an_unfinished_window_is_no_batch_and_nothing_is_saved(tmp_path):
    sink = replay()
    sink.add(steps(1)[0])
    with pytest.raises(errors.EmptyReplayError, match="1 steps, expected a window of 4"):
        next(sink.sample(1))
    sink.save(tmp_path / "replay")
    assert list((tmp_path / "replay").iterdir()) == []
