"""A collector of a distributed run: `bin/collect --gin_file=gin_configs/ant.gin --replay_address=localhost:8008`."""

import os
import time
from typing import Callable

from absl import flags

from slac_tf.commands import command, role

flags.adopt_module_key_flags(role)

_ADDRESS = flags.DEFINE_string("replay_address", "localhost:8008", "Of the replay server.")
_COLLECTOR = flags.DEFINE_integer(
    "collector", None, "Its number; JOB_COMPLETION_INDEX, SLURM_PROCID or 0 where not given.", lower_bound=0
)

_ENVIRONMENTS = flags.DEFINE_integer("environments", 1, "How many to step at once, with one policy.", lower_bound=1)


def _build(given: role.Role) -> Callable[[], int]:
    from slac_tf.distributed import collector, connection, protocol
    from slac_tf.environments import faults
    from slac_tf.runs import failures, run_dir
    from slac_tf.training import experiment
    from slac_tf.training import settings as settings_lib
    from slac_tf.utils import seeds

    number = _COLLECTOR.value
    if number is None:
        number = int(os.environ.get("JOB_COMPLETION_INDEX", os.environ.get("SLURM_PROCID", "0")))
    # The clock is part of it, for one that is started again must not see the same episodes once more.
    offset, count = experiment.EVAL_SEED_OFFSET, _ENVIRONMENTS.value
    seed = given.seed + offset * (number * count + 2) + int(time.time()) % offset
    seeds.seed_everything(seed)
    settings = settings_lib.bound()
    first, built = experiment.task_and_agent(seed)
    environments = [first, *(experiment.environment_of(seed + offset * each) for each in range(1, count))]
    link = connection.Connection(_ADDRESS.value, given.stop, settings.distributed.peer_wait_seconds)

    def work() -> int:
        expected = protocol.run_record(run_dir.with_seed(given.config, given.seed), built)
        link.start(expected, settings_lib.may_change())
        collects = collector.Collector(environments, built, link, number=number, seed=seed)
        try:
            collects.run(given.stop.works)
        except faults.FaultyEnvironmentError as fault:
            place = run_dir.RunDir(given.root_dir / "collectors" / str(number))
            place.root.mkdir(parents=True, exist_ok=True)
            where = failures.Record(place).error(f"collector {number}: {fault}", fault)
            raise failures.EnvironmentFailedError(f"{fault}; traceback {where}") from fault
        finally:
            failures.closed(collects.close)
        return given.stop.exit_code

    return work


def main() -> int:
    """Collects until the run is done or a signal comes; see `role.main`."""
    return role.main(_build)


if __name__ == "__main__":
    command.run(main)
