import os
import signal
import subprocess
import sys
import textwrap

import pytest

from slac_tf.runs import signals


@pytest.fixture
def stop():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    request = signals.StopRequest()
    request.install()
    yield request
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_asked(stop):
    assert not stop
    assert stop.exit_code == 0


@pytest.mark.parametrize("number, exit_code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks(stop, number, exit_code):
    os.kill(os.getpid(), number)
    assert stop
    assert stop.signal == number
    assert stop.exit_code == exit_code


def test_a_second_sigterm_changes_nothing(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.exit_code == 143


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_sigint_ends_the_process_at_once(first):
    program = f"""
        import os, signal
        from slac_tf.runs import signals
        signals.StopRequest().install()
        os.kill(os.getpid(), signal.{first})
        print("still here", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        print("never", flush=True)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "still here\n"
    assert ended.returncode == 130
