"""The learner of a distributed run: `bin/learner --gin_file=gin_configs/ant.gin --replay_address=localhost:8008`."""

import contextlib
import functools
import os
from typing import Callable

from absl import flags

from slac_tf.commands import command, role

flags.adopt_module_key_flags(role)

_ADDRESS = flags.DEFINE_string("replay_address", "localhost:8008", "Of the replay server.")
_EVALUATOR = flags.DEFINE_boolean(
    "evaluator", False, "Whether bin/evaluate evaluates; else the learner does, between two train steps."
)


def _build(given: role.Role) -> Callable[[], int]:
    if _EVALUATOR.value:
        os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is rendered here
    from slac_tf.config import configuration
    from slac_tf.distributed import connection, evaluator, learner, replicas
    from slac_tf.training import experiment
    from slac_tf.training import settings as settings_lib

    count = settings_lib.Distributed().learner_devices
    strategy = replicas.mirrored(count) if count > 1 else None
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        plan = experiment.train_eval(given.root_dir, given.seed, given.config)
    replicas.check_batches(plan.built, count)
    configuration.check_used(flags.FLAGS.gin_bindings)
    seconds = plan.settings.distributed.peer_wait_seconds
    link = connection.Connection(_ADDRESS.value, given.stop, seconds)
    remote = functools.partial(evaluator.RemoteEvaluator, plan.built, link) if _EVALUATOR.value else None
    return lambda: learner.run(plan, link, given.stop, remote, strategy).exit_code


def main() -> int:
    """Trains to the end or until a signal comes; see `role.main`."""
    return role.main(_build)


if __name__ == "__main__":
    command.run(main)
