"""Model predictive control with the true simulator: `bin/mpc --gin_file=gin_configs/cheetah_run.gin`."""

from absl import flags, logging

from slac_tf.commands import command, run_flags

flags.adopt_module_key_flags(run_flags)

_EPISODES = flags.DEFINE_integer("episodes", 10, "Episodes that there will be.", lower_bound=1)

_MADE_BY = "MADE_BY = 'bin/mpc'"  # so that neither this nor a training run takes the other's directory


def main() -> int:
    """Plans and acts.

    Returns:
        0, 1 after a failure, 2 after a user's mistake, 130 or 143 where a signal stopped it.
    """
    mistake = run_flags.mistake()
    if mistake:
        return command.fail(mistake)
    command.configure_process()
    # Slow, and only once the process is configured.
    import gin

    from slac_tf.commands import planned_episodes
    from slac_tf.config import configuration
    from slac_tf.environments import faults
    from slac_tf.planning import cem
    from slac_tf.runs import run_dir, signals, storage
    from slac_tf.training import settings

    root_dir = run_flags.root_dir("mpc-")
    stop = signals.StopRequest()
    try:
        config = configuration.load(run_flags.GIN_FILES.value, [*run_flags.GIN_BINDINGS.value, _MADE_BY])
        planned = planned_episodes.PlannedEpisodes(
            directory=run_dir.RunDir(root_dir),
            load_environment=configuration.environment_loader(),
            planner=cem.CemSettings(),
            evaluation=settings.EvaluationSettings(),
            intervals=settings.Intervals(),
            seed=run_flags.SEED.value,
            stop=stop,
        )
        task = planned.task()
        configuration.check_used(run_flags.GIN_BINDINGS.value)
        planned.directory.open(config, gin.operative_config_str(), run_flags.SEED.value, settings.may_change())
    except (configuration.ConfigurationError, run_dir.RunDirectoryError) as error:
        return command.fail(configuration.one_line(error))
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return command.fail(configuration.describe(error, run_flags.GIN_FILES.value, run_flags.GIN_BINDINGS.value))
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
