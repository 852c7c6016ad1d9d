"""Evaluations that another process makes: what is kept of them where one or another process starts again."""

import time
import types
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from slac_tf.distributed import collector, evaluator, protocol, remote_replay


@pytest.fixture
def made():
    """Makes the learner's stand-in for an evaluator, and gives it with its replay and what it inserts."""

    def make(variable, generation, restore_from=None):
        policies = {"greedy": mock.Mock(**{"variables.return_value": [variable]})}
        built = types.SimpleNamespace(policies=policies, reusable=None)
        driver = types.SimpleNamespace(generation=generation, chores=[], evaluation_step=-1, total_agent_steps=1000)
        replay = mock.Mock(spec=remote_replay.RemoteReplay)
        here, keeper = mock.Mock(**{"write.return_value": {"greedy": 1.0}}), mock.Mock()
        found = evaluator.RemoteEvaluator(built, mock.Mock(), keeper, here, driver, replay, restore_from)
        return found, replay, here, driver

    return make


def exchange(of, returns=(), is_empty=True):
    """What the learner's connection does with an answer; gives what it asks for, or None."""
    client = mock.Mock()
    client.sample.return_value = [types.SimpleNamespace(data=[[part] for part in item]) for item in returns]
    table = types.SimpleNamespace
    info = {
        protocol.RETURNS: table(current_size=len(returns)),
        protocol.EVALUATION: table(current_size=int(not is_empty)),
    }
    of._exchange(client, info)
    return client.insert.call_args[0][0] if client.insert.called else None


def position(agent_step):
    return {"agent_step": agent_step, "env_step": 4 * agent_step, "train_step": agent_step, "wall_seconds": 1.5}


def test_a_learner_that_starts_again_still_has_evaluated_what_was_due(made, tmp_path):
    variable = tf.Variable([1.0, 2.0])
    first, replay, *_ = made(variable, 7)
    first.evaluate(position(10), None, None)
    variable.assign([3.0, 4.0])
    first.evaluate(position(20), None, None)
    replay.save_more(tmp_path)
    variable.assign([5.0, 6.0])

    second, _, here, driver = made(variable, 8, tmp_path)
    for agent_step, weights in ((10, [1.0, 2.0]), (20, [3.0, 4.0])):
        key, values = exchange(second)
        assert (key.tolist(), values.tolist()) == ([8, agent_step, 4 * agent_step], weights)
        assert driver.evaluation_step == agent_step
        exchange(second, [[np.array([7, agent_step, 4 * agent_step]), np.zeros([2, 1, 3])]])  # of the one before
        driver.chores[0]()
        assert not here.write.called
        exchange(second, [[key, np.zeros([2, 1, 3])]])
        driver.chores[0]()
        assert here.write.call_args[0][1] == position(agent_step)
        here.write.reset_mock()
    assert exchange(second) is None
    assert driver.evaluation_step == -1


def test_returns_that_a_server_lost_are_sent_again():
    subscriber = types.SimpleNamespace(progress=protocol.Progress(2, 8, 10, 10, 10, 10, 1.0))
    outbox = evaluator._Outbox(subscriber)
    item = [np.array([8, 10, 40]), np.zeros([2, 1, 3])]

    def send(held=0):
        client = mock.Mock()
        outbox.send(client, {protocol.RETURNS: types.SimpleNamespace(current_size=held)})
        return client.insert.call_count

    assert send() == 0
    outbox.put(item)
    assert [send(), send()] == [1, 0]
    with mock.patch.object(time, "monotonic", return_value=time.monotonic() + 6):
        assert send(held=1) == 0  # the learner is slow
        assert [send(), send()] == [1, 0]
    with mock.patch.object(time, "monotonic", return_value=time.monotonic() + 60):
        subscriber.progress = subscriber.progress._replace(evaluation_step=-1)
        assert send() == 0


def test_a_server_that_starts_again_is_no_longer_done():
    """Else collectors would end while a learner, for which it starts, makes more agent steps."""
    subscriber = collector.Subscriber(mock.Mock(), protocol.POLICY, [])
    done = protocol.Progress(int(protocol.Phase.DONE), 8, 10, 10, 10, -1, 1.0)
    sample = types.SimpleNamespace(data=[[value] for value in protocol.arrays(done)])
    client = mock.Mock(**{"sample.return_value": [sample]})

    def answer(size):
        table = types.SimpleNamespace(current_size=size)
        subscriber._pull(client, {protocol.PROGRESS: table, protocol.POLICY: types.SimpleNamespace(current_size=0)})

    answer(1)
    assert not subscriber.is_done
    with mock.patch.object(time, "monotonic", return_value=time.monotonic() + 10):
        assert subscriber.is_done
        answer(0)
        assert not subscriber.is_done
        assert subscriber.progress == done._replace(phase=protocol.Phase.HOLD)


def test_the_learner_waits_where_a_third_evaluation_is_due(made):
    of, _, here, _ = made(tf.Variable([1.0]), 7)
    waited = []

    def wait_for(condition, what):
        while not condition():
            waited.append(what)
            key, _ = exchange(of)
            exchange(of, [[key, np.zeros([2, 1, 3])]])

    def evaluate(agent_step):
        of.evaluate(position(agent_step), None, None)
        return [call.args[1]["agent_step"] for call in here.write.call_args_list]

    of._connection.wait_for = wait_for
    assert [evaluate(agent_step) for agent_step in (10, 20, 30)] == [[], [], [10]]
    assert waited == ["the evaluator, which has two to make"]
    assert evaluate(1000) == [10, 20, 30, 1000]  # the run's end
