"""Trains and evaluates: `bin/train_eval --gin_file=gin_configs/ant.gin`."""

import os
import signal

from absl import flags, logging

from slac_tf.commands import command, run_flags
from slac_tf.distributed import liveness

flags.adopt_module_key_flags(run_flags)


def main() -> int:
    """Parses the configuration and runs it.

    Returns:
        0, 1 after a failure, 2 after a user's mistake, 130 or 143 where a signal stopped it.
    """
    mistake = run_flags.mistake()
    if mistake:
        return command.fail(mistake)
    liveness.end_with_parent()  # a sweep
    # Until the run takes the signal over, which then writes a checkpoint.
    signal.signal(signal.SIGINT, lambda *_: os._exit(command.fail("interrupted before the run began", code=130)))
    command.configure_process()
    # Slow, and only once the process is configured.
    import tensorflow as tf

    from slac_tf.config import configuration
    from slac_tf.replay import errors, listening, memory
    from slac_tf.runs import failures, run_dir, storage
    from slac_tf.training import experiment, loop

    root_dir = run_flags.root_dir()
    try:
        config = configuration.load(run_flags.GIN_FILES.value, run_flags.GIN_BINDINGS.value)
        plan = experiment.train_eval(root_dir, run_flags.SEED.value, config)
        configuration.check_used(run_flags.GIN_BINDINGS.value)
        memory.check_memory(plan.built.agent.collect_data_spec, plan.capacity)
    except configuration.ConfigurationError as error:
        return command.fail(configuration.one_line(error))
    except (ValueError, TypeError, RuntimeError, OSError, tf.errors.OpError) as error:
        return command.fail(configuration.describe(error, run_flags.GIN_FILES.value, run_flags.GIN_BINDINGS.value))
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
        print(
            f"{run_flags.name()}: random {result.random_return:.1f}, trained {result.stochastic_return:.1f}", flush=True
        )
    return result.exit_code


if __name__ == "__main__":
    command.run(main)
