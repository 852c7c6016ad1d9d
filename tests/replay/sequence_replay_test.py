import pathlib
import re
import shutil
import socket
import time

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST
from tf_agents.drivers import py_driver
from tf_agents.policies import random_py_policy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import trajectory

from slac_tf.replay import listening, sequence_replay

SEQUENCE_LENGTH = 3  # windows of 4 steps


def data_spec():
    time_step_spec, action_spec = fakes.specs()
    return trajectory.Trajectory(
        step_type=time_step_spec.step_type,
        observation=time_step_spec.observation,
        action=action_spec,
        policy_info=(),
        next_step_type=time_step_spec.step_type,
        reward=time_step_spec.reward,
        discount=time_step_spec.discount,
    )


@pytest.fixture
def make_replay(tmp_path):
    directories = iter(range(9))

    def make(capacity=1000, **kwargs):
        settings = dict(sequence_length=SEQUENCE_LENGTH, directory=tmp_path / f"server_{next(directories)}")
        return sequence_replay.SequenceReplay(data_spec(), capacity=capacity, **{**settings, **kwargs})

    return make


def collect(replay, num_steps, environment=None):
    """Runs an environment with random actions; a boundary between episodes counts as no step."""
    environment = environment or fakes.CountingEnvironment()
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec())
    driver = py_driver.PyDriver(environment, policy, observers=[replay.add], max_steps=num_steps)
    driver.run(environment.reset())
    replay.flush()


def all_windows(replay):
    """Each window once, by the number of its first frame; uniform sampling finds them all soon."""
    windows = {}
    # The probability that one of at most 40 windows is missed by 1000 samples: 40 * 0.975**1000 < 1e-9.
    batches = replay.sample_batches(50)
    for _ in range(20):
        batch = tf.nest.map_structure(lambda x: x.numpy(), next(batches))
        for b in range(50):
            window = tf.nest.map_structure(lambda x, b=b: x[b], batch)
            windows[int(fakes.counts(window.observation["pixels"])[0])] = window
    return windows


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """20 actions, that is 4 episodes of 6 time steps, 24 in all."""
    replay = sequence_replay.SequenceReplay(
        data_spec(),
        sequence_length=SEQUENCE_LENGTH,
        capacity=1000,
        directory=tmp_path_factory.mktemp("replay") / "server",
    )
    collect(replay, 20)
    return replay, all_windows(replay)


def test_windows_are_consecutive_with_stride_one(collected):
    replay, windows = collected
    # PyDriver ends with the transition to the last time step, number 23, which itself was not acted on:
    # stored are steps 0 to 22, windows begin at 0 to 19. A reset leads from 5 to 6, 11 to 12, 17 to 18:
    # windows that end in 6, 12, 18, begun at 3, 9, 15, are left out.
    assert sorted(windows) == sorted(set(range(20)) - {3, 9, 15})
    assert replay.size == 17
    for begin, window in windows.items():
        numbers = fakes.counts(window.observation["pixels"])
        np.testing.assert_array_equal(numbers, np.arange(begin, begin + SEQUENCE_LENGTH + 1))


def test_windows_hold_what_the_environment_gave(collected):
    _, windows = collected
    for begin, window in windows.items():
        place = np.arange(begin, begin + 4) % 6  # in the episode: 0 is FIRST, 5 is LAST
        np.testing.assert_array_equal(window.step_type == FIRST, place == 0)
        np.testing.assert_array_equal(window.step_type == LAST, place == 5)
        np.testing.assert_array_equal(window.next_step_type == LAST, place == 4)
        np.testing.assert_array_equal(window.next_step_type == FIRST, place == 5)
        # reward[t] belongs to the step from t to t+1; the reset has reward 0 and discount 1.
        np.testing.assert_array_equal(window.reward, np.where(place == 5, 0, place + 1))
        np.testing.assert_array_equal(window.discount, np.where(place == 4, 0, 1))
        assert window.action.shape == (4, fakes.ACTION_SIZE)
        assert window.step_type[-2] != LAST
        assert window.policy_info == ()


def test_windows_may_begin_in_the_previous_episode(collected):
    _, windows = collected
    crossing = [begin for begin, window in windows.items() if LAST in window.step_type[:-1]]
    assert sorted(crossing) == [4, 5, 10, 11, 16, 17]


def test_batches_are_tensors_as_the_agent_takes_them(collected):
    replay, _ = collected
    batch = next(replay.sample_batches(3))
    expected = tensor_spec.add_outer_dims_nest(data_spec(), (3, SEQUENCE_LENGTH + 1))
    for tensor, spec in zip(tf.nest.flatten(batch), tf.nest.flatten(expected)):
        assert (tensor.shape, tensor.dtype) == (spec.shape, spec.dtype)


def test_sampling_is_uniform(collected):
    replay, windows = collected
    batches = replay.sample_batches(100)
    begins = np.concatenate([fakes.counts(next(batches).observation["pixels"])[:, 0] for _ in range(30)])
    counts = np.bincount(begins, minlength=20)[sorted(windows)]
    # 3000 samples of 17 windows: 176 ± 13 each; five deviations.
    assert np.all(np.abs(counts - 3000 / 17) < 65)


def test_an_episode_that_is_broken_off_is_not_joined_to_the_next(make_replay):
    replay = make_replay()
    environment = fakes.CountingEnvironment(length=100)
    collect(replay, 6, environment)  # frames 0 to 5; the next, 6, is never acted on
    collect(replay, 5, environment)  # a reset in mid-episode: frames 7 to 11
    # There is no transition from 5 to 7, and no LAST to tell a reader so.
    assert sorted(all_windows(replay)) == [0, 1, 2, 7, 8]


def test_the_oldest_windows_leave_first(make_replay):
    replay = make_replay(capacity=5)
    collect(replay, 20, fakes.CountingEnvironment(length=100))
    assert replay.size == 5
    assert sorted(all_windows(replay)) == [12, 13, 14, 15, 16]  # of 0 to 16


def test_an_empty_replay_says_so_in_time(make_replay):
    replay = make_replay(timeout_seconds=1.0)
    start = time.monotonic()
    with pytest.raises(sequence_replay.ReplayError, match="within 1 s: replay holds 0 sequences and needs at least 1"):
        next(replay.sample_batches(2))
    assert time.monotonic() - start < 10


def test_short_episodes_fill_a_replay_where_one_follows_the_other(make_replay):
    """Episodes of one transition, FIRST and LAST, are shorter than a window, which then spans several."""
    replay = make_replay()
    collect(replay, 6, fakes.CountingEnvironment(length=1))
    # Stored are steps 0 to 10; LAST are 1, 3, 5, …; windows that begin at 0 to 7 train on their third step: 2 to 9.
    assert sorted(all_windows(replay)) == [0, 2, 4, 6]


def test_an_empty_replay_says_that_all_streams_were_too_short(make_replay):
    replay = make_replay(timeout_seconds=1.0)
    for _ in range(4):  # broken off each time, before a LAST step
        collect(replay, 3, fakes.CountingEnvironment(length=100))
    with pytest.raises(sequence_replay.ReplayError) as error:
        next(replay.sample_batches(2))
    message = str(error.value)
    assert (
        "holds 0 sequences and needs at least 1, of 4 steps; the most steps that came without a break are 3" in message
    )
    assert "0 sequences were left out" in message
    assert message.endswith("(Schedule.initial_collect_agent_steps), or bind a smaller sequence_length of the agent")


def test_an_empty_replay_says_that_all_windows_were_left_out(make_replay):
    replay = make_replay(timeout_seconds=1.0)
    for _ in range(4):  # one window each: FIRST, MID, LAST, FIRST, whose trained step is the LAST one
        collect(replay, 3, fakes.CountingEnvironment(length=2))
    with pytest.raises(sequence_replay.ReplayError, match="without a break are 4, and 4 sequences were left out"):
        next(replay.sample_batches(2))


def test_the_server_may_be_opened_on_purpose(make_replay, monkeypatch):
    opened = []
    monkeypatch.setattr(listening, "warn_of_open_port", opened.append)
    monkeypatch.setattr(listening, "listen_on_loopback_only", None)  # must not be called
    replay = make_replay(reachable_from_network=True)
    assert opened == [replay._server.port]


def test_a_server_that_cannot_be_kept_to_loopback_is_stopped(make_replay, monkeypatch):
    ports = []

    def refuse(port):
        ports.append(port)
        socket.create_connection(("localhost", port)).close()  # it does listen
        raise listening.ListeningError("no")

    monkeypatch.setattr(listening, "listen_on_loopback_only", refuse)
    with pytest.raises(listening.ListeningError):
        make_replay()
    with pytest.raises(OSError):
        socket.create_connection(("localhost", ports[0]), timeout=1)


def test_windows_survive_save_and_restore(make_replay, tmp_path):
    replay = make_replay()
    environment = fakes.CountingEnvironment()
    collect(replay, 10, environment)
    before = all_windows(replay)
    saved = tmp_path / "saved"
    replay.save(saved)
    collect(replay, 10)
    replay.save(tmp_path / "later")  # Reverb removes what it wrote before, which must not touch `saved`
    del replay

    restored = make_replay(restore_from=saved)
    assert restored.size == len(before)
    after = all_windows(restored)
    assert sorted(after) == sorted(before)
    for begin, window in before.items():
        for a, b in zip(tf.nest.flatten(window), tf.nest.flatten(after[begin])):
            np.testing.assert_array_equal(a, b)

    # It goes on, and no window spans the interruption.
    number = environment._emitted
    collect(restored, 4, environment)
    assert sorted(set(all_windows(restored)) - set(before)) == [number]


def test_files_that_cannot_be_saved_are_not_the_servers_fault(make_replay, tmp_path):
    replay = make_replay()
    collect(replay, 5)
    shutil.rmtree(tmp_path / "server_0")
    (tmp_path / "server_0").touch()
    with pytest.raises(RuntimeError, match="server_0 is not a directory") as error:
        replay.save(tmp_path / "saved")
    assert not isinstance(error.value, sequence_replay.ReplayError)


@pytest.mark.parametrize(
    ("kwargs", "stored", "expected"),
    [
        ({"capacity": 7}, "capacity 1000 and windows of 4", "7 and 4"),
        ({"sequence_length": 2}, "capacity 1000 and windows of 4", "1000 and 3"),
    ],
)
def test_a_saved_replay_of_other_settings_is_refused(make_replay, tmp_path, kwargs, stored, expected):
    replay = make_replay()
    collect(replay, 5)
    replay.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=f"{stored} steps, expected {expected}"):
        make_replay(restore_from=tmp_path / "saved", **kwargs)


def test_memory_check():
    # A step: 64 * 64 * 3 bytes, 2 actions, reward and discount of 4 bytes, two step types of 4: 12312.
    assert sequence_replay.memory_estimate(data_spec(), 1) == int(12312 * 0.65) == 8002
    estimate = sequence_replay.check_memory(data_spec(), 100_000, available=2**30)
    assert estimate == int(100_000 * 12312 * 0.65)

    with pytest.raises(ValueError, match=r"train_eval\.replay_capacity: 200000 sequences") as error:
        sequence_replay.check_memory(data_spec(), 200_000, available=2**30)
    fits = int(re.search(r"at most (\d+)$", str(error.value)).group(1))
    assert sequence_replay.check_memory(data_spec(), fits, available=2**30) <= 2**30
    assert sequence_replay.memory_estimate(data_spec(), fits + 2) > 2**30
    with pytest.raises(ValueError, match=r"take about 7\d+\.\d GiB"):
        sequence_replay.check_memory(data_spec(), 10**8)  # what this machine has free


@pytest.mark.skipif(not pathlib.Path("/proc/self/fd").exists(), reason="needs Linux")
def test_the_server_listens_on_loopback_only(make_replay):
    replay = make_replay()
    devices = []
    for entry in pathlib.Path("/proc/self/fd").iterdir():
        if not str(entry.readlink() if entry.is_symlink() else "").startswith("socket:"):
            continue
        with socket.socket(fileno=socket.dup(int(entry.name))) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listening and sock.getsockname()[1] == replay._server.port:
                devices.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16))
    assert devices
    assert set(devices) == {b"lo\0"}


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
def test_windows_whose_trained_step_is_a_last_one_are_left_out(make_replay, trained_step, left_out):
    replay = make_replay(trained_step=trained_step)
    collect(replay, 20)
    windows = all_windows(replay)
    assert sorted(windows) == sorted(set(range(20)) - left_out)
    assert replay.size == 17
    index = SEQUENCE_LENGTH - 1 if trained_step is None else trained_step
    for begin, window in windows.items():
        assert window.step_type[index] != LAST
        np.testing.assert_array_equal(fakes.counts(window.observation["pixels"]), np.arange(begin, begin + 4))


def test_the_trained_step_of_a_new_stream(make_replay):
    replay = make_replay(trained_step=0)
    environment = fakes.CountingEnvironment(length=4)
    collect(replay, 3, environment)  # frames 0 to 2, no window yet
    collect(replay, 6, environment)  # a reset in mid-episode: frames 4 to 10, 8 of type LAST
    assert sorted(all_windows(replay)) == [4, 5, 6, 7]  # 7 to 10: its second step is the LAST one
    collect(replay, 6, environment)  # frames 12 to 18, 16 of type LAST
    assert sorted(set(all_windows(replay)) - {4, 5, 6, 7}) == [12, 13, 14, 15]


@pytest.mark.parametrize("trained_step", [-1, SEQUENCE_LENGTH, SEQUENCE_LENGTH + 1])
def test_a_trained_step_without_a_transition_is_refused(make_replay, trained_step):
    with pytest.raises(ValueError, match=f"trained_step: {trained_step}, expected 0 to {SEQUENCE_LENGTH - 1}"):
        make_replay(trained_step=trained_step)


def prioritized_keys(replay):
    """Keys of all windows by the number of their first frame."""
    keys = {}
    batches = replay.sample_by_priority(50, 1.0)
    for _ in range(20):
        batch = next(batches)
        keys.update(zip(fakes.counts(batch.experience.observation["pixels"])[:, 0].tolist(), batch.keys.numpy()))
    return keys


def set_priorities(replay, keys, priorities):
    replay.update_priorities(tf.constant(keys, tf.uint64), np.asarray(priorities, np.float32))


def sampled(replay, num_batches=30, importance_exponent=1.0):
    """First frames and weights of that many batches of 100, `[N, 100]` each."""
    batches = replay.sample_by_priority(100, importance_exponent)
    result = [next(batches) for _ in range(num_batches)]
    begins = np.stack([fakes.counts(batch.experience.observation["pixels"])[:, 0] for batch in result])
    return begins, np.stack([batch.weights.numpy() for batch in result])


@pytest.fixture
def prioritized(make_replay):
    """Five windows and their keys, one after the other."""

    def make(priority_exponent):
        replay = make_replay(priority_exponent=priority_exponent)
        collect(replay, 8, fakes.CountingEnvironment(length=100))
        keys = prioritized_keys(replay)
        assert sorted(keys) == [0, 1, 2, 3, 4]
        return replay, [keys[begin] for begin in range(5)]

    return make


def test_new_windows_are_all_alike(prioritized):
    replay, keys = prioritized(0.6)
    assert len(set(keys)) == 5
    begins, weights = sampled(replay)
    # 600 each, with a deviation of 22.
    assert np.all(np.abs(np.bincount(begins.ravel(), minlength=5) - 600) < 110)
    np.testing.assert_allclose(weights, 1.0, rtol=1e-6)
    assert weights.dtype == np.float32


@pytest.mark.parametrize(("exponent", "beta"), [(1.0, 1.0), (0.5, 0.4), (0.0, 1.0)])
def test_windows_are_sampled_in_proportion_to_powers_of_priorities(prioritized, exponent, beta):
    replay, keys = prioritized(exponent)
    priorities = np.array([1.0, 16.0, 4.0, 9.0, 25.0])
    set_priorities(replay, keys, priorities)
    probabilities = priorities**exponent / np.sum(priorities**exponent)
    begins, weights = sampled(replay, importance_exponent=beta)
    counts = np.bincount(begins.ravel(), minlength=5)
    deviations = np.sqrt(3000 * probabilities * (1 - probabilities))
    assert np.all(np.abs(counts - 3000 * probabilities) < 5 * deviations)
    # Weights: (N p)^-beta, N = 5 windows, over the highest of the batch.
    expected = (5 * probabilities[begins]) ** -beta
    np.testing.assert_allclose(weights, expected / np.max(expected, axis=1, keepdims=True), rtol=1e-4)


def test_a_window_of_priority_zero_is_not_sampled(prioritized):
    replay, keys = prioritized(0.6)
    set_priorities(replay, keys[:2], [0.0, 1e-12])
    begins, weights = sampled(replay, num_batches=10)
    assert set(begins.ravel()) == {2, 3, 4}
    np.testing.assert_allclose(weights, 1.0, rtol=1e-5)


def test_a_window_of_very_high_priority_is_sampled_nearly_always(prioritized):
    replay, keys = prioritized(1.0)
    set_priorities(replay, keys[3:4], [1e6])
    begins, weights = sampled(replay, num_batches=10)
    assert np.mean(begins == 3) > 0.99
    assert np.all((weights > 0) & (weights <= 1))


def test_new_windows_have_the_highest_priority_so_far(prioritized):
    replay, keys = prioritized(1.0)
    set_priorities(replay, keys, [50.0, 0.1, 0.1, 0.1, 0.1])
    set_priorities(replay, keys[:1], [0.1])
    environment = fakes.CountingEnvironment(length=100)
    environment._emitted = 50
    collect(replay, 4, environment)  # one window, begun at 50
    begins, _ = sampled(replay, num_batches=10)
    assert np.mean(begins == 50) > 0.97  # 50 of 50.5
    assert replay.size == 6


def test_priorities_of_removed_windows_are_skipped(make_replay):
    replay = make_replay(capacity=3, priority_exponent=1.0)
    environment = fakes.CountingEnvironment(length=100)
    collect(replay, 6, environment)  # windows 0, 1, 2
    old = prioritized_keys(replay)
    assert sorted(old) == [0, 1, 2]
    environment = fakes.CountingEnvironment(length=100)
    environment._emitted = 50
    collect(replay, 5, environment)  # windows 50 and 51 in place of 0 and 1
    set_priorities(replay, [old[0], old[2], old[1]], [9.0, 0.0, 9.0])
    assert replay.size == 3
    begins, _ = sampled(replay, num_batches=5)
    assert set(begins.ravel()) == {50, 51}  # what was known of 2 came through


def test_one_window_more_than_once_in_a_batch(prioritized):
    replay, keys = prioritized(1.0)
    set_priorities(replay, [keys[0], *keys, keys[0]], [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 3.0])
    begins, _ = sampled(replay, num_batches=2)
    assert set(begins.ravel()) == {0}


def test_batches_go_to_the_device_ahead_of_their_use(monkeypatch):
    """With the CPU in a GPU's place: says only that batches come through whole and in order."""
    cpu = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cpu if kind == "GPU" else [])
    batches = list(sequence_replay._one_ahead(tf.data.Dataset.range(7).batch(2, drop_remainder=True)))
    assert [batch.numpy().tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5]]
    assert "CPU:0" in batches[0].device
