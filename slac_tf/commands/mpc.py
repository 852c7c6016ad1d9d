"""Model predictive control with the true simulator: `bin/mpc --gin_file=gin_configs/cheetah_run.gin`."""

import pathlib
from typing import Sequence

from absl import flags, logging

from slac_tf.commands import command

_GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file of a task; several are read in their order.")
_GIN_BINDINGS = flags.DEFINE_multi_string(
    "gin_bindings", [], "One gin binding, for example --gin_bindings='CemSettings.candidates = 100'."
)
_ROOT_DIR = flags.DEFINE_string(
    "root_dir", None, "Directory; logs/mpc-<names of the gin files>/seed<seed> where not given. The same goes on."
)
_EPISODES = flags.DEFINE_integer("episodes", 10, "Episodes that there will be.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of first states and candidates.", lower_bound=0)

_MADE_BY = "MADE_BY = 'bin/mpc'"  # so that neither this nor a training run takes the other's directory


def main(argv: Sequence[str]) -> int:
    """Plans and acts.

    Args:
        argv: The command's name, and nothing else.

    Returns:
        0, 1 after a failure, 2 after a user's mistake, 130 or 143 where a signal stopped it.
    """
    if argv[1:]:
        return command.fail(f"{argv[1]!r} is no flag, expected only flags such as --gin_file=gin_configs/ant.gin")
    if not _GIN_FILES.value:
        return command.fail("no --gin_file given, expected for example --gin_file=gin_configs/cheetah_run.gin")
    command.configure_process()
    # Slow, and only once the process is configured.
    import gin

    from slac_tf.commands import planned_episodes
    from slac_tf.config import configuration
    from slac_tf.environments import faults
    from slac_tf.planning import cem
    from slac_tf.runs import run_dir, signals, storage
    from slac_tf.training import settings

    name = "-".join(["mpc", *(pathlib.Path(file).stem for file in _GIN_FILES.value)])
    root_dir = pathlib.Path(_ROOT_DIR.value or f"logs/{name}/seed{_SEED.value}").expanduser().absolute()
    stop = signals.StopRequest()
    try:
        config = configuration.load(_GIN_FILES.value, [*_GIN_BINDINGS.value, _MADE_BY])
        planned = planned_episodes.PlannedEpisodes(
            directory=run_dir.RunDir(root_dir),
            load_environment=configuration.environment_loader(),
            planner=cem.CemSettings(),
            evaluation=settings.EvaluationSettings(),
            intervals=settings.Intervals(),
            seed=_SEED.value,
            stop=stop,
        )
        task = planned.task()
        configuration.check_used(_GIN_BINDINGS.value)
        planned.directory.open(config, gin.operative_config_str(), _SEED.value, settings.may_change())
    except (configuration.ConfigurationError, run_dir.RunDirectoryError) as error:
        return command.fail(configuration.one_line(error))
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return command.fail(configuration.describe(error, _GIN_FILES.value, _GIN_BINDINGS.value))
    stop.install()
    try:
        returns = planned.run(_EPISODES.value, task)
    except (faults.FaultyEnvironmentError, storage.StorageError) as error:
        logging.error("%s", configuration.one_line(error))
        return 1
    finally:
        planned.directory.close()
    if stop:
        logging.info("stopped, %d of %d episodes are kept: the same command goes on", len(returns), _EPISODES.value)
        return stop.exit_code
    print(f"{task.name}: mean return {returns.mean():.1f} ± {returns.std():.1f} in {len(returns)} episodes")
    return 0


if __name__ == "__main__":
    command.run(main)
