"""The learner's stand-in for a driver, with a server and collectors that are only counted."""

import types
from unittest import mock

import pytest
import reverb
from tf_agents.policies import random_py_policy

from slac_tf.distributed import protocol, remote_driver
from slac_tf.replay import tables
from slac_tf.runs import counters as counters_lib
from slac_tf.runs import signals
from slac_tf.training import settings as settings_lib

INITIAL, TOTAL, LEAD = 40, 1000, 10
RANDOM = mock.create_autospec(random_py_policy.RandomPyPolicy, instance=True)
TRAINED = object()


class Server:
    """Connection, server, replay and collectors in one: with each answer there is an agent step, if there may be."""

    def __init__(self):
        self.inserted = self.taken = self.size = 0
        self.phases = []  # of the collectors' steps
        self.stop_at = None  # agent steps inserted
        self.priority = 1.0
        self.before_batch = None
        self.tasks = []
        self.progress = None

    def does(self, task):
        self.tasks.append(task)

    def table(self, name):
        assert name == tables.STEPS
        stats = types.SimpleNamespace
        return stats(
            rate_limiter_info=stats(
                insert_stats=stats(completed=self.inserted), sample_stats=stats(completed=self.taken)
            )
        )

    def sample(self, name, count, emit_timesteps):
        assert (name, emit_timesteps) == (tables.STEPS, False)
        self.taken += count
        return []

    def insert(self, item, priorities):
        if protocol.PROGRESS in priorities:
            self.progress = protocol.Progress(*item)

    def answer(self):
        empty = types.SimpleNamespace(current_size=0)
        info = {tables.STEPS: self.table(tables.STEPS), protocol.REPORTS: empty}
        info.update({protocol.POLICY: empty, protocol.PROGRESS: empty})
        for task in self.tasks:
            task(mock.Mock(spec=reverb.Client, sample=self.sample, insert=self.insert), info)
        acts = self.progress is not None and self.progress.phase in (protocol.Phase.RANDOM, protocol.Phase.TRAIN)
        if acts and self.inserted - self.taken < LEAD:
            self.inserted += 1
            self.size += 1
            self.phases.append(int(self.progress.phase))

    def check(self):
        if self.stop_at is not None and self.inserted >= self.stop_at:
            raise signals.Stopped

    def wait_for(self, condition, what):
        del what
        for _ in range(LEAD):
            if condition():
                return condition()
            self.check()
            self.answer()
        raise AssertionError("waits for ever")


def make(server, *, agent_step=0, train_step=0, **schedule):
    """A driver of a run that was restored there."""
    keeper = types.SimpleNamespace(
        counters=counters_lib.Counters(agent_step=agent_step), train_step=train_step, env_step=agent_step
    )
    keeper.action_repeat = 1
    settings = mock.Mock(replay=mock.Mock(capacity=10_000))
    settings.schedule = settings_lib.Schedule(
        num_env_steps=TOTAL, **(schedule or {"initial_collect_agent_steps": INITIAL})
    )
    built = mock.Mock()
    built.agent.collect_policy.variables.return_value = []
    return remote_driver.RemoteDriver(keeper, built, server, server, settings), keeper.counters


def test_a_step_is_random_until_the_random_data_is_complete():
    server = Server()
    driver, counters = make(server)
    driver.begin(RANDOM)
    for _ in range(INITIAL):
        driver.run()
    for _ in range(50):
        server.answer()
    assert (counters.agent_step, server.progress.phase) == (INITIAL, protocol.Phase.HOLD)
    driver.begin(TRAINED)
    driver.run()
    assert set(server.phases[:INITIAL]) == {protocol.Phase.RANDOM}
    assert driver._ledger.made - counters.agent_step <= LEAD


def test_a_signal_never_comes_between_an_agent_step_and_its_train_steps():
    server = Server()
    driver, counters = make(server)
    driver.begin(RANDOM)
    server.stop_at = 25
    finished = 0
    with pytest.raises(signals.Stopped):
        while True:
            driver.run()
            finished += 1  # what the loop does next is to owe train steps
    assert counters.agent_step == finished > 0


@pytest.mark.parametrize("train_step", [0, 30])
def test_a_server_that_lost_all_is_filled_again_before_a_batch(train_step):
    """Also in pretraining, where collectors otherwise make no step, and the learner would wait for ever."""
    server = Server()
    driver, counters = make(server, agent_step=INITIAL, train_step=train_step)
    server.before_batch()
    assert server.size >= INITIAL // 2
    assert counters.agent_step >= INITIAL + INITIAL // 2 - 1  # the server is seen one ahead
    assert set(server.phases) == {protocol.Phase.TRAIN if train_step else protocol.Phase.RANDOM}
    assert driver._phase is protocol.Phase.HOLD


def test_a_rollback_is_noticed_while_the_main_thread_is_elsewhere():
    server = Server()
    driver, _ = make(server)
    driver.begin(RANDOM)
    for _ in range(20):
        driver.run()
    made = driver._ledger.made
    server.inserted, server.taken, server.size = 5, 5, 5
    for _ in range(20):  # as it evaluates: the server has more steps again than when it was last seen
        server.answer()
    driver.begin(TRAINED)
    assert driver._ledger.offset == made - 5
    assert driver._may_lack_windows


def test_a_run_resumed_soon_after_few_random_episodes_is_not_filled_again():
    """Of 1,000,000 initial agent steps that are bound and not asked for."""
    server = Server()
    server.inserted = server.size = server.taken = 60
    _, counters = make(
        server, agent_step=60, train_step=10, initial_collect_episodes=2, initial_collect_agent_steps=1_000_000
    )
    server.before_batch()
    assert counters.agent_step == 60
