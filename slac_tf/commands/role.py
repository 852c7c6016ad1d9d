"""What the processes of a distributed run have in common: flags, configuration, exit codes."""

import os
import pathlib
import sys
from typing import Any, Callable, NamedTuple

from absl import flags

from slac_tf.commands import command, run_flags

flags.adopt_module_key_flags(run_flags)

PEER_GONE = 75

_READY_FILE = flags.DEFINE_string(
    "ready_file", None, "A file that is there once the process works, touched every ten seconds from then on."
)


class Role(NamedTuple):
    """What a process of a run is given.

    Attributes:
        config: All gin bindings as text.
        seed: The run's.
        root_dir: The run's directory.
        stop: Becomes true where a signal asks to stop.
    """

    config: str
    seed: int
    root_dir: pathlib.Path
    stop: Any


def main(build: Callable[[Role], Callable[[], int]]) -> int:
    """Builds what a process does and does it; the process ends in here.

    Args:
        build: Gives what is to be done, which returns the exit code. Whatever it raises is the user's mistake.

    Returns:
        The exit code of a mistake in the flags.
    """
    mistake = run_flags.mistake()
    if mistake:
        return command.fail(mistake)
    from slac_tf.distributed import liveness

    liveness.end_with_parent()
    stop = liveness.StopRequest(None if _READY_FILE.value is None else pathlib.Path(_READY_FILE.value))
    stop.install()
    command.configure_process()
    try:
        code = _main(build, stop)
    except SystemExit:
        raise
    except BaseException:
        from absl import logging

        logging.exception("a fault of slac_tf")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads may be in calls that do not return


def _main(build: Callable[[Role], Callable[[], int]], stop: Any) -> int:
    # Slow, and only once the process is configured.
    import tensorflow as tf
    from absl import logging

    from slac_tf.config import configuration
    from slac_tf.distributed import connection
    from slac_tf.environments import faults
    from slac_tf.replay import errors, listening
    from slac_tf.runs import failures, run_dir, signals, storage

    try:
        config = configuration.load(run_flags.GIN_FILES.value, run_flags.GIN_BINDINGS.value)
        work = build(Role(config, run_flags.SEED.value, run_flags.root_dir(), stop))
    except signals.Stopped:
        return stop.exit_code
    except connection.PeerGoneError as error:
        return command.fail(configuration.one_line(error), code=PEER_GONE)
    except (configuration.ConfigurationError, run_dir.RunDirectoryError, listening.ListeningError) as error:
        return command.fail(configuration.one_line(error))
    except (ValueError, TypeError, RuntimeError, OSError, tf.errors.OpError) as error:
        return command.fail(configuration.describe(error, run_flags.GIN_FILES.value, run_flags.GIN_BINDINGS.value))
    try:
        return work()
    except signals.Stopped:
        return stop.exit_code
    except connection.PeerGoneError as error:
        return command.fail(configuration.one_line(error), code=PEER_GONE)
    except (run_dir.RunDirectoryError, listening.ListeningError, connection.UnusableServerError) as error:
        return command.fail(configuration.one_line(error))
    except (failures.RunFailedError, faults.FaultyEnvironmentError, storage.StorageError, errors.ReplayError) as error:
        logging.error("%s", configuration.one_line(error))
        return 1
