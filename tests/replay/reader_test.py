import time

import numpy as np
import pytest
import tensorflow as tf
import windows
from tf_agents.specs import tensor_spec

from slac_tf.replay import errors, reader


@pytest.fixture
def uniform(make_server, make_writer, make_reader):
    """A reader of five windows, 0 to 4."""
    made = make_server()
    windows.collect(make_writer(made), 8, windows.one_stream())
    return make_reader(made)


def keys_of(batches):
    """Keys of all windows by the number of their first frame, from batches of 50."""
    keys = {}
    for _ in range(20):
        batch = next(batches)
        keys.update(zip(windows.frames(batch)[:, 0].tolist(), batch.keys.numpy()))
    return keys


@pytest.fixture
def prioritized(make_server, make_writer, make_reader):
    """A reader of five windows, 0 to 4, a writer, and the windows' keys."""

    def make(exponent, importance_exponent=1.0, **kwargs):
        made = make_server(priority_exponent=exponent, **kwargs)
        sink, source = make_writer(made), make_reader(made, importance_exponent=importance_exponent)
        windows.collect(sink, 8, windows.one_stream())
        keys = keys_of(source.batches(50))
        return source, sink, [keys[begin] for begin in sorted(keys)]

    return make


def set_priorities(source, keys, priorities):
    batch = reader.Batch(None, weights=tf.ones(len(keys)), keys=tf.constant(keys, tf.uint64))
    source.update_priorities(batch, np.asarray(priorities, np.float32))


def sampled(source, num_batches):
    """First frames and weights of that many batches of 100, `[N, 100]` each."""
    batches = source.batches(100)
    result = [next(batches) for _ in range(num_batches)]
    begins = np.stack([windows.frames(batch)[:, 0] for batch in result])
    return begins, np.stack([batch.weights.numpy() for batch in result])


def test_batches_are_tensors_as_the_agent_takes_them(uniform):
    batch = next(uniform.batches(3))
    expected = tensor_spec.add_outer_dims_nest(windows.data_spec(), (3, windows.SEQUENCE_LENGTH + 1))
    tf.nest.assert_same_structure(batch.experience, expected)
    for tensor, spec in zip(tf.nest.flatten(batch.experience), tf.nest.flatten(expected)):
        assert (tensor.shape, tensor.dtype) == (spec.shape, spec.dtype)
    assert (batch.keys.shape, batch.keys.dtype) == ((3,), tf.uint64)


def test_sampling_is_uniform(uniform):
    batches = uniform.batches(100)
    begins = np.concatenate([windows.frames(next(batches))[:, 0] for _ in range(30)])
    # 3000 samples of 5 windows: 600 ± 22 each; five deviations.
    assert np.all(np.abs(np.bincount(begins, minlength=5) - 600) < 110)


def test_uniform_batches_have_neither_weights_nor_priorities(uniform):
    batch = next(uniform.batches(3))
    assert batch.weights is None
    with pytest.raises(ValueError, match="batch: sampled uniformly, expected one that was sampled by priority"):
        uniform.update_priorities(batch, np.ones(3))


def test_an_empty_replay_says_so_in_time(make_server, make_reader):
    source = make_reader(make_server(), timeout_seconds=1.0)
    start = time.monotonic()
    with pytest.raises(errors.EmptyReplayError, match="no sequence could be sampled within 1 s"):
        next(source.batches(2))
    assert time.monotonic() - start < 10


def test_new_windows_are_all_alike(prioritized):
    source, _, keys = prioritized(0.6)
    assert len(set(keys)) == 5
    begins, weights = sampled(source, 30)
    # 600 each, with a deviation of 22.
    assert np.all(np.abs(np.bincount(begins.ravel(), minlength=5) - 600) < 110)
    np.testing.assert_allclose(weights, 1.0, rtol=1e-6)
    assert weights.dtype == np.float32


@pytest.mark.parametrize(("exponent", "beta"), [(1.0, 1.0), (0.5, 0.4), (0.0, 1.0)])
def test_windows_are_sampled_in_proportion_to_powers_of_priorities(prioritized, exponent, beta):
    source, _, keys = prioritized(exponent, importance_exponent=beta)
    priorities = np.array([1.0, 16.0, 4.0, 9.0, 25.0])
    set_priorities(source, keys, priorities)
    probabilities = priorities**exponent / np.sum(priorities**exponent)
    begins, weights = sampled(source, 30)
    counts = np.bincount(begins.ravel(), minlength=5)
    deviations = np.sqrt(3000 * probabilities * (1 - probabilities))
    assert np.all(np.abs(counts - 3000 * probabilities) < 5 * deviations)
    # Weights: (N p)^-beta, N = 5 windows, over the highest of the batch.
    expected = (5 * probabilities[begins]) ** -beta
    np.testing.assert_allclose(weights, expected / np.max(expected, axis=1, keepdims=True), rtol=1e-4)


def test_a_window_of_priority_zero_is_not_sampled(prioritized):
    source, _, keys = prioritized(0.6)
    set_priorities(source, keys[:2], [0.0, 1e-12])
    begins, weights = sampled(source, 10)
    assert set(begins.ravel()) == {2, 3, 4}
    np.testing.assert_allclose(weights, 1.0, rtol=1e-5)


def test_a_window_of_very_high_priority_is_sampled_nearly_always(prioritized):
    source, _, keys = prioritized(1.0)
    set_priorities(source, keys[3:4], [1e6])
    begins, weights = sampled(source, 10)
    assert np.mean(begins == 3) > 0.99
    assert np.all((weights > 0) & (weights <= 1))


def test_priorities_of_removed_windows_are_skipped(prioritized):
    source, sink, keys = prioritized(1.0, capacity=3)  # of windows 0 to 4 the last three are left
    assert len(keys) == 3
    windows.collect(sink, 5, windows.one_stream(first=50))  # windows 50 and 51 in place of 2 and 3
    set_priorities(source, [keys[0], keys[2], keys[1]], [9.0, 0.0, 9.0])
    begins, _ = sampled(source, 5)
    assert set(begins.ravel()) == {50, 51}  # what was known of 4 came through


def test_one_window_more_than_once_in_a_batch(prioritized):
    source, _, keys = prioritized(1.0)
    set_priorities(source, [keys[0], *keys, keys[0]], [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 3.0])
    begins, _ = sampled(source, 2)
    assert set(begins.ravel()) == {0}


def test_batches_go_to_the_device_ahead_of_their_use(monkeypatch):
    """With the CPU in a GPU's place: says only that batches come through whole and in order."""
    cpu = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cpu if kind == "GPU" else [])
    batches = list(reader._one_ahead(tf.data.Dataset.range(7).batch(2, drop_remainder=True)))
    assert [batch.numpy().tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5]]
    assert "CPU:0" in batches[0].device
