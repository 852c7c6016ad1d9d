"""A connection to a real server: whose it is, calls that never come back, and a server that is away."""

import threading
import time

import pytest
import reverb

from slac_tf.distributed import connection as connection_lib
from slac_tf.distributed import protocol
from slac_tf.runs import signals

RECORD = {"version": protocol.VERSION, "config": "# seed = 0\na.b = 1\n", "variables": "x"}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(connection_lib, "_TIMEOUT_SECONDS", 1)
    table = reverb.Table(
        protocol.RUN, reverb.selectors.Uniform(), reverb.selectors.Fifo(), 1, reverb.rate_limiters.MinSize(1)
    )
    made = reverb.Server([table], port=None)
    made.localhost_client().insert([protocol.encoded(RECORD)], {protocol.RUN: 1.0})
    yield made
    made.stop()


@pytest.fixture
def connect(server):
    def make(peer_wait_seconds=60):
        return connection_lib.Connection(f"localhost:{server.port}", signals.StopRequest(), peer_wait_seconds)

    return make


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"version": 3}, "speaks version 2 of the protocol, expected 3"),
        ({"config": "# seed = 0\na.b = 2\n"}, "another configuration: there 'a.b = 1', now 'a.b = 2'"),
        ({"config": "# seed = 7\na.b = 1\n"}, "another configuration: there '# seed = 0', now '# seed = 7'"),
        ({"variables": "y"}, "has other weights"),
    ],
)
def test_a_server_of_another_run_is_refused(connect, changed, named):
    with pytest.raises(connection_lib.UnusableServerError, match=named):
        connect().start({**RECORD, **changed})


def test_what_may_change_is_no_other_run(connect):
    connect().start({**RECORD, "config": "# seed = 0\na.b = 2\n"}, may_change={"a.b"})


@pytest.mark.parametrize("takes_over", [True, False])
def test_a_call_that_never_comes_back(connect, monkeypatch, takes_over):
    monkeypatch.setattr(connection_lib, "_STUCK_SECONDS", 0.5 if takes_over else 100)
    made, calls = connect(), []

    def task(client, info):
        calls.append(threading.current_thread())
        if len(calls) == 3:
            threading.Event().wait(30)

    made.does(task)
    made.start(RECORD)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        made.check()
        time.sleep(0.01)
    assert (len(calls) > 10) == takes_over
    assert len(set(calls)) == (2 if takes_over else 1)


def test_a_server_that_is_gone(connect, server):
    made = connect(peer_wait_seconds=2)
    made.start(RECORD)
    server.stop()
    begin = time.monotonic()
    with pytest.raises(connection_lib.PeerGoneError, match="has not answered for 2 s"):
        made.wait_for(lambda: None, "nothing")
    assert 2 < time.monotonic() - begin < 10
