import itertools
import os
import pathlib
import subprocess
import sys

import fakes
import numpy as np
import pytest
import windows
from fakes import FIRST, LAST

from slac_tf.replay import errors, reader, server, writer

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEQUENCE_LENGTH = windows.SEQUENCE_LENGTH


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Windows of 20 actions, that is 4 episodes of 6 time steps, 24 in all."""
    made = server.ReplayServer(
        windows.data_spec(),
        sequence_length=SEQUENCE_LENGTH,
        capacity=1000,
        directory=tmp_path_factory.mktemp("replay") / "server",
    )
    windows.collect(writer.WindowWriter(made.address, windows.data_spec(), sequence_length=SEQUENCE_LENGTH), 20)
    found = windows.sampled(reader.BatchReader(made.address, windows.data_spec()).batches(50))
    assert made.size == len(found)
    return found


@pytest.fixture
def written(make_server, make_writer, make_reader):
    """A writer, and a function that samples all windows that it wrote."""

    def make(**kwargs):
        made = make_server()
        return make_writer(made, **kwargs), lambda: windows.sampled(make_reader(made).batches(50))

    return make


def broken(found):
    """The windows whose frames do not follow each other."""
    numbers = {begin: fakes.counts(window.observation["pixels"]) for begin, window in found.items()}
    return [begin for begin, row in numbers.items() if row.tolist() != list(range(begin, begin + SEQUENCE_LENGTH + 1))]


def test_windows_are_consecutive_with_stride_one(collected):
    # PyDriver ends with the transition to the last time step, number 23, which itself was not acted on:
    # stored are steps 0 to 22, windows begin at 0 to 19. A reset leads from 5 to 6, 11 to 12, 17 to 18:
    # windows that end in 6, 12, 18, begun at 3, 9, 15, are left out.
    assert sorted(collected) == sorted(set(range(20)) - {3, 9, 15})
    assert not broken(collected)


def test_windows_hold_what_the_environment_gave(collected):
    for begin, window in collected.items():
        place = np.arange(begin, begin + 4) % 6  # in the episode: 0 is FIRST, 5 is LAST
        np.testing.assert_array_equal(window.step_type == FIRST, place == 0)
        np.testing.assert_array_equal(window.step_type == LAST, place == 5)
        np.testing.assert_array_equal(window.next_step_type == LAST, place == 4)
        np.testing.assert_array_equal(window.next_step_type == FIRST, place == 5)
        # reward[t] belongs to the step from t to t+1; the reset has reward 0 and discount 1.
        np.testing.assert_array_equal(window.reward, np.where(place == 5, 0, place + 1))
        np.testing.assert_array_equal(window.discount, np.where(place == 4, 0, 1))
        assert window.action.shape == (4, fakes.ACTION_SIZE)
        assert window.policy_info == ()


def test_windows_may_begin_in_the_previous_episode(collected):
    crossing = [begin for begin, window in collected.items() if LAST in window.step_type[:-1]]
    assert sorted(crossing) == [4, 5, 10, 11, 16, 17]


@pytest.mark.parametrize("shared", [False, True])
def test_two_streams_need_two_writers(make_server, make_writer, make_reader, shared):
    made = make_server()
    first = make_writer(made)
    second = first if shared else make_writer(made)
    streams = windows.steps(10, windows.one_stream()), windows.steps(10, windows.one_stream(first=50))
    for one, other in zip(*streams):
        first.add(one)
        second.add(other)
    first.flush()
    second.flush()
    found = windows.sampled(make_reader(made).batches(50))
    # The shared writer takes 0, then a FIRST step again, and from there on 50, 1, 51, 2, …
    assert sorted(found) == ([*range(1, 9), *range(50, 58)] if shared else [*range(7), *range(50, 57)])
    assert broken(found) == (list(found) if shared else [])


def test_an_episode_that_is_broken_off_is_not_joined_to_the_next(written):
    made, found = written()
    environment = fakes.CountingEnvironment(length=100)
    windows.collect(made, 6, environment)  # frames 0 to 5; the next, 6, is never acted on
    windows.collect(made, 5, environment)  # a reset in mid-episode: frames 7 to 11
    # There is no transition from 5 to 7, and no LAST to tell a reader so.
    assert sorted(found()) == [0, 1, 2, 7, 8]
    assert made.longest_stream == 6


def test_short_episodes_fill_a_replay_where_one_follows_the_other(written):
    """Episodes of one transition, FIRST and LAST, are shorter than a window, which then spans several."""
    made, found = written()
    windows.collect(made, 6, fakes.CountingEnvironment(length=1))
    # Stored are steps 0 to 10; LAST are 1, 3, 5, …; windows that begin at 0 to 7 train on their third step: 2 to 9.
    assert sorted(found()) == [0, 2, 4, 6]
    assert made.num_left_out == 4


@pytest.mark.parametrize(
    ("trained_step", "left_out"),
    [
        # Of the windows that begin at 0 to 19, steps 5, 11 and 17 being of type LAST.
        (0, {5, 11, 17}),
        (1, {4, 10, 16}),
        (2, {3, 9, 15}),  # the last transition: the default
        (None, {3, 9, 15}),
    ],
)
def test_windows_whose_trained_step_is_a_last_one_are_left_out(written, trained_step, left_out):
    made, found = written(trained_step=trained_step)
    windows.collect(made, 20)
    found = found()
    assert sorted(found) == sorted(set(range(20)) - left_out)
    assert not broken(found)
    assert made.num_left_out == 3


def test_the_trained_step_of_a_new_stream(written):
    made, found = written(trained_step=0)
    environment = fakes.CountingEnvironment(length=4)
    windows.collect(made, 3, environment)  # frames 0 to 2, no window yet
    windows.collect(made, 6, environment)  # a reset in mid-episode: frames 4 to 10, 8 of type LAST
    assert sorted(found()) == [4, 5, 6, 7]  # 7 to 10: its second step is the LAST one
    windows.collect(made, 6, environment)  # frames 12 to 18, 16 of type LAST
    assert sorted(set(found()) - {4, 5, 6, 7}) == [12, 13, 14, 15]


@pytest.mark.parametrize("trained_step", [-1, SEQUENCE_LENGTH, SEQUENCE_LENGTH + 1])
def test_a_trained_step_without_a_transition_is_refused(written, trained_step):
    with pytest.raises(ValueError, match=f"trained_step: {trained_step}, expected 0 to {SEQUENCE_LENGTH - 1}"):
        written(trained_step=trained_step)


# In a process of its own: Reverb spoils the heap where a server stops in the process of a writer that is still there.
SERVER = """
import pathlib, sys, time
import windows
from slac_tf.replay import server
made = server.ReplayServer(
    windows.data_spec(), sequence_length=windows.SEQUENCE_LENGTH, capacity=9, directory=pathlib.Path(sys.argv[1])
)
print(made.address, flush=True)
time.sleep(300)
"""


def test_a_server_that_is_gone_is_said_in_time(tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    served = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "server")],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = served.stdout.readline().strip()
        sink = writer.WindowWriter(
            address, windows.data_spec(), sequence_length=windows.SEQUENCE_LENGTH, timeout_ms=1000
        )
        windows.collect(sink, 5)
    finally:
        served.kill()
        served.communicate()
    with pytest.raises(errors.ReplayError, match="replay server took no data for 1 s"):
        for _ in itertools.repeat(None, 10):
            windows.collect(sink, 5)
