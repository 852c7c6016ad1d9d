"""Starts a distributed run on this machine: `bin/launch --gin_file=gin_configs/ant.gin --collectors=4`."""

import socket
import sys
from typing import List

from absl import flags

from slac_tf.commands import command, run_flags

flags.adopt_module_key_flags(run_flags)

_COLLECTORS = flags.DEFINE_integer("collectors", 1, "How many; may be another number at each start.", lower_bound=0)
_FIRST = flags.DEFINE_integer("first_collector", 0, "Number of the first collector.", lower_bound=0)
_ENVIRONMENTS = flags.DEFINE_integer("environments", 1, "How many each collector steps at once.", lower_bound=1)
_EVALUATOR = flags.DEFINE_boolean("evaluator", True, "Whether a process of its own evaluates.")
_ROLES = flags.DEFINE_enum("roles", "all", ["all", "collectors"], "What to start here.")
_ADDRESS = flags.DEFINE_string("replay_address", None, "Of the replay server, with --roles=collectors.")
_PORT = flags.DEFINE_integer("port", 0, "Of the replay server; 0 takes one that is free.", 0, 65535)
_RESTARTS = flags.DEFINE_integer("restarts", 20, "How often a process may be started again in ten minutes.", 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _commands(address: str) -> "dict[str, List[str]]":
    """Each process with its command."""

    def module(name: str, *more: str) -> List[str]:
        return [sys.executable, "-m", f"slac_tf.commands.{name}", *run_flags.arguments(), *more]

    found = {}
    if _ROLES.value == "all":
        found["replay_server"] = module("replay_server", f"--port={address.split(':')[1]}")
        found["learner"] = module("learner", f"--replay_address={address}", f"--evaluator={_EVALUATOR.value}")
        if _EVALUATOR.value:
            found["evaluator"] = module("evaluate", f"--replay_address={address}")
    for number in range(_FIRST.value, _FIRST.value + _COLLECTORS.value):
        own = (f"--collector={number}", f"--environments={_ENVIRONMENTS.value}")
        found[f"collect {number}"] = module("collect", f"--replay_address={address}", *own)
    return found


def main() -> int:
    """Runs until the run is done or a signal comes.

    Returns:
        0, 1 where a process failed too often, 2 after a user's mistake, 130 or 143 where a signal stopped it.
    """
    mistake = run_flags.mistake()
    if not mistake and (_ROLES.value == "all") != (_ADDRESS.value is None):
        mistake = "expected --replay_address=HOST:PORT with --roles=collectors, and only there"
    if mistake:
        return command.fail(mistake)
    from absl import logging

    from slac_tf.distributed import launcher

    root = run_flags.root_dir()
    address = _ADDRESS.value or f"localhost:{_PORT.value or _free_port()}"
    children = [launcher.Child(name, of, _RESTARTS.value) for name, of in _commands(address).items()]
    state_file = None
    if _ROLES.value == "all":
        state_file = root / "launch.json"
        launcher.wait_until_free([root / "lock", root / "replay" / "lock"], logging.warning)
    logging.info("%s: %s", root, ", ".join(child.name for child in children))
    return launcher.Launcher(children, address, state_file, logging.warning).run()


if __name__ == "__main__":
    command.run(main)
