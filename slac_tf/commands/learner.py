"""The learner of a distributed run: `bin/learner --gin_file=gin_configs/ant.gin --replay_address=localhost:8008`."""

from typing import Callable, Sequence

from absl import flags

from slac_tf.commands import command, role

_ADDRESS = flags.DEFINE_string("replay_address", "localhost:8008", "Of the replay server.")


def _build(given: role.Role) -> Callable[[], int]:
    from slac_tf.config import configuration
    from slac_tf.distributed import connection, learner
    from slac_tf.training import experiment

    plan = experiment.train_eval(given.root_dir, given.seed, given.config)
    configuration.check_used(flags.FLAGS.gin_bindings)
    seconds = plan.settings.distributed.peer_wait_seconds
    link = connection.Connection(_ADDRESS.value, given.stop, seconds)
    return lambda: learner.run(plan, link, given.stop).exit_code


def main(argv: Sequence[str]) -> int:
    """Trains to the end or until a signal comes; see `role.main`."""
    return role.main(argv, _build)


if __name__ == "__main__":
    command.run(main)
