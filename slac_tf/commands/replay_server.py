"""The replay server of a distributed run: `bin/replay_server --gin_file=gin_configs/ant.gin --port=8008`."""

import os
from typing import Callable

from absl import flags

from slac_tf.commands import command, role

flags.adopt_module_key_flags(role)

_PORT = flags.DEFINE_integer("port", 8008, "To listen on; on loopback alone, see SECURITY.md.", 1, 65535)


def _build(given: role.Role) -> Callable[[], int]:
    os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is rendered here
    from slac_tf.distributed import replay_server
    from slac_tf.training import experiment
    from slac_tf.training import settings as settings_lib

    settings = settings_lib.bound()
    environment, built = experiment.task_and_agent(given.seed)
    settings_lib.check_fit(settings, built, environment)
    environment.close()
    server = replay_server.ReplayServer(
        built, settings, given.root_dir, config=given.config, seed=given.seed, port=_PORT.value
    )

    def work() -> int:
        server.serve(given.stop)
        return given.stop.exit_code

    return work


def main() -> int:
    """Serves until a signal comes; see `role.main`."""
    return role.main(_build)


if __name__ == "__main__":
    command.run(main)
