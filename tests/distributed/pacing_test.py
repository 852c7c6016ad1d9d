"""The ledger, alone and against random crashes of a server and a learner that are simulated."""

import math
import random

import pytest

from slac_tf.distributed import pacing
from slac_tf.training import settings

INITIAL, TOTAL, LEAD = 300, 1500, 40


def test_a_server_that_comes_back_with_fewer_steps_takes_none_away():
    ledger = pacing.Ledger().seen(30)
    assert (ledger.made, ledger.offset) == (30, 0)
    ledger = ledger.seen(20)
    assert (ledger.made, ledger.offset) == (30, 10)
    assert ledger.seen(25).made == 35


@pytest.mark.parametrize(
    ("agent_step", "inserted", "taken", "expected"),
    [
        (12, 30, 8, 4),  # gone through and not taken yet
        (12, 30, 12, 0),
        (12, 30, 20, 0),  # a learner that came back with fewer
        (12, 10, 8, 2),  # not more than there are
    ],
)
def test_what_is_taken_is_there(agent_step, inserted, taken, expected):
    assert pacing.Ledger(inserted=30).to_take(agent_step, inserted, taken) == expected
    assert pacing.Ledger(inserted=25, offset=5).to_take(agent_step + 5, inserted, taken) == expected


class Server:
    """Counts as Reverb's limiter does."""

    def __init__(self):
        self.inserted = self.taken = 0

    def insert(self):
        if self.inserted + 1 - self.taken > LEAD:
            return False
        self.inserted += 1
        return True


def simulate(seed, updates_per_agent_step, take=pacing.Ledger.to_take):
    """A run with crashes; returns agent steps, train steps and crashes, or raises where nothing moves any more."""
    generator = random.Random(seed)
    schedule = settings.Schedule(
        num_env_steps=TOTAL, initial_collect_agent_steps=INITIAL, updates_per_agent_step=updates_per_agent_step
    )
    server, ledger = Server(), pacing.Ledger()
    saved_server, saved = (0, 0), (0, 0, 0.0, ledger)
    agent_step = train_step = crashes = idle = 0
    owed = 0.0
    while agent_step < TOTAL or owed >= 1:
        idle += 1
        if generator.random() < 0.7 and server.insert():
            idle = 0
        ledger = ledger.seen(server.inserted)
        if owed >= 1 and generator.random() < 0.7:
            train_step, owed, idle = train_step + 1, owed - 1, 0
        elif owed < 1 and agent_step < min(TOTAL, ledger.made):
            agent_step, idle = agent_step + 1, 0
            owed += schedule.updates_due(False) if agent_step > INITIAL else 0
        count = take(ledger, agent_step, server.inserted, server.taken)
        assert count <= server.inserted - server.taken  # else it would wait
        server.taken += count
        if idle > 100:
            raise AssertionError(f"deadlock: {vars(server)}, {ledger}, agent step {agent_step}, owed {owed}")
        event = generator.random()
        if event < 0.002:
            saved = (agent_step, train_step, owed, ledger)
        elif event < 0.0025:
            saved_server = (server.inserted, server.taken)
        elif event < 0.0035:  # the learner dies
            crashes += 1
            agent_step, train_step, owed, ledger = saved
        elif event < 0.0045:  # the server dies
            crashes += 1
            server.inserted, server.taken = saved_server
    return agent_step, train_step, crashes


def test_no_crash_stops_a_run_or_changes_its_train_steps():
    crashes = 0
    for seed in range(60):
        updates = random.Random(seed).choice((0.05, 0.2, 0.5, 1, 3))
        agent_step, train_step, count = simulate(seed, updates)
        assert agent_step == TOTAL
        # A sum of fractions in floating point may be one short, as in a single process.
        assert updates * (TOTAL - INITIAL) - 1 <= train_step <= math.ceil(updates * (TOTAL - INITIAL)), (seed, updates)
        crashes += count
    assert crashes > 100
    print(f"{crashes} crashes in 60 runs")


def test_one_step_taken_for_each_gone_through_ends_in_a_deadlock():
    """The obvious rule: a learner that lost steps takes them again, but a server that lost steps waits for ever."""
    gone_through = [0]

    def take(ledger, agent_step, inserted, taken):
        del ledger
        count = max(0, min(agent_step - gone_through[0], inserted - taken))
        gone_through[0] = max(gone_through[0], agent_step)
        return count

    with pytest.raises(AssertionError, match="deadlock"):
        for seed in range(60):
            gone_through[0] = 0
            simulate(seed, 1, take)
