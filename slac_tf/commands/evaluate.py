"""The evaluator of a distributed run: `bin/evaluate --gin_file=gin_configs/ant.gin --replay_address=localhost:8008`."""

from typing import Callable

from absl import flags

from slac_tf.commands import command, role

flags.adopt_module_key_flags(role)

_ADDRESS = flags.DEFINE_string("replay_address", "localhost:8008", "Of the replay server.")


def _build(given: role.Role) -> Callable[[], int]:
    from slac_tf.distributed import connection, evaluator, protocol
    from slac_tf.runs import failures, run_dir
    from slac_tf.training import experiment
    from slac_tf.training import settings as settings_lib

    settings = settings_lib.bound()
    environment, built = experiment.task_and_agent(given.seed + experiment.EVAL_SEED_OFFSET)
    link = connection.Connection(_ADDRESS.value, given.stop, settings.distributed.peer_wait_seconds)

    def work() -> int:
        expected = protocol.run_record(run_dir.with_seed(given.config, given.seed), built)
        link.start(expected, settings_lib.may_change())
        try:
            evaluator.run(
                environment,
                built,
                link,
                settings.evaluation,
                given.root_dir,
                seed=given.seed,
                config=given.config,
                stop=given.stop,
            )
        finally:
            failures.closed(environment.close)
        return given.stop.exit_code

    return work


def main() -> int:
    """Evaluates until the run is done or a signal comes; see `role.main`."""
    return role.main(_build)


if __name__ == "__main__":
    command.run(main)
