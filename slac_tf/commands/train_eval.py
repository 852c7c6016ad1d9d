"""Trains and evaluates: `bin/train_eval --gin_file=gin_configs/ant.gin`."""

import os
import pathlib
import signal
from typing import Sequence

from absl import flags, logging

from slac_tf.commands import command

_GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; several are read in their order.")
_GIN_BINDINGS = flags.DEFINE_multi_string(
    "gin_bindings", [], "One gin binding, for example --gin_bindings='Schedule.num_env_steps = 100000'."
)
_ROOT_DIR = flags.DEFINE_string(
    "root_dir",
    None,
    "The run's directory; logs/<names of the gin files>/seed<seed> where not given. The same resumes.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the run.", lower_bound=0)


def main(argv: Sequence[str]) -> int:
    """Parses the configuration and runs it.

    Args:
        argv: The command's name, and nothing else.

    Returns:
        0, 1 after a failure, 2 after a user's mistake, 130 or 143 where a signal stopped it.
    """
    if argv[1:]:
        return command.fail(f"{argv[1]!r} is no flag, expected only flags such as --gin_file=gin_configs/ant.gin")
    if not _GIN_FILES.value:
        return command.fail("no --gin_file given, expected for example --gin_file=gin_configs/cheetah_run.gin")
    # Until the run takes the signal over, which then writes a checkpoint.
    signal.signal(signal.SIGINT, lambda *_: os._exit(command.fail("interrupted before the run began", code=130)))
    command.configure_process()
    # Slow, and only once the process is configured.
    import tensorflow as tf

    from slac_tf.config import configuration
    from slac_tf.replay import errors, listening, memory
    from slac_tf.runs import failures, run_dir, storage
    from slac_tf.training import experiment, loop

    name = "-".join(pathlib.Path(file).stem for file in _GIN_FILES.value)
    root_dir = pathlib.Path(_ROOT_DIR.value or f"logs/{name}/seed{_SEED.value}").expanduser().absolute()
    try:
        config = configuration.load(_GIN_FILES.value, _GIN_BINDINGS.value)
        plan = experiment.train_eval(root_dir, _SEED.value, config)
        configuration.check_used(_GIN_BINDINGS.value)
        memory.check_memory(plan.built.agent.collect_data_spec, plan.capacity)
    except configuration.ConfigurationError as error:
        return command.fail(configuration.one_line(error))
    except (ValueError, TypeError, RuntimeError, OSError, tf.errors.OpError) as error:
        return command.fail(configuration.describe(error, _GIN_FILES.value, _GIN_BINDINGS.value))
    try:
        with experiment.started(plan) as run:
            result = loop.run(run)
    except (run_dir.RunDirectoryError, listening.ListeningError) as error:
        return command.fail(configuration.one_line(error))
    except (failures.RunFailedError, storage.StorageError, errors.ReplayError) as error:
        logging.error("%s", configuration.one_line(error))
        return 1
    if not result.exit_code:
        print(f"play:        bin/play --policy={root_dir}/policies/latest/greedy_policy --video=play.mp4")
        print(f"videos:      {root_dir}/videos")
        print(f"TensorBoard: tensorboard --logdir={root_dir}")
        print(f"{name}: random {result.random_return:.1f}, trained {result.stochastic_return:.1f}", flush=True)
    return result.exit_code


if __name__ == "__main__":
    command.run(main)
