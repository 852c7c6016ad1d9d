"""Plays an exported policy in its task: `bin/play --policy=…/policies/latest/greedy_policy` or `--task=cheetah_run`."""

import pathlib

from absl import flags

from slac_tf.commands import command

_POLICY = flags.DEFINE_string("policy", None, "An exported policy's directory.")
_TASK = flags.DEFINE_string("task", None, "In its place: a task of which results/policies/ has a policy.")
_EPISODES = flags.DEFINE_integer("episodes", 10, "Episodes to play.", lower_bound=1)
_VIDEO = flags.DEFINE_string("video", None, "MP4 file to write the first episode to.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the environment.", lower_bound=0)


def main() -> int:
    """Plays and prints the returns.

    Returns:
        0, 1 where the environment failed, or 2 after a user's mistake.
    """
    if (_POLICY.value is None) == (_TASK.value is None):
        return command.fail("expected one of --policy=…/policies/latest/greedy_policy and --task=cheetah_run")
    command.configure_process()
    from slac_tf.config import configuration
    from slac_tf.environments import faults
    from slac_tf.export import player
    from slac_tf.rollouts import episodes as episodes_lib
    from slac_tf.runs import films
    from slac_tf.training import evaluation, settings

    try:
        policy = player.ExportedPolicy(pathlib.Path(_POLICY.value) if _POLICY.value else _recorded(str(_TASK.value)))
        environment = configuration.load_text(policy.manifest["config"])(seed=_SEED.value)
        if _VIDEO.value is not None:  # not only after the episodes
            pathlib.Path(_VIDEO.value).parent.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        return command.fail(configuration.one_line(error))
    print(f"{policy.manifest['task']}, {policy.manifest['policy']} policy of env step {policy.manifest['env_step']}")
    try:
        episodes = episodes_lib.run_episodes(
            environment,
            policy,
            _EPISODES.value,
            record=_VIDEO.value is not None,
            max_agent_steps=settings.EvaluationSettings().max_episode_agent_steps,
        )
        for number, (total, length) in enumerate(zip(episodes.returns, episodes.lengths), start=1):
            print(f"episode {number}: return {total:.1f}, {length} agent steps")
        returns = episodes.returns
        print(f"mean return {returns.mean():.1f} ± {returns.std():.1f} in {len(returns)} episodes")
        if _VIDEO.value is not None:
            films.write_mp4(pathlib.Path(_VIDEO.value), episodes.frames, evaluation.frames_per_second(environment))
            print(f"wrote {_VIDEO.value}")
    except faults.FaultyEnvironmentError as fault:
        return command.fail(configuration.one_line(fault), code=1)
    except OSError as error:
        return command.fail(configuration.one_line(error))
    finally:
        environment.close()
    return 0


def _recorded(task: str) -> pathlib.Path:
    """The policy of a task among the project's own results."""
    from slac_tf.config import shipped

    policies = shipped.ROOT / "results" / "policies"
    known = sorted(path.parent.name for path in policies.glob("*/saved_model.pb"))
    if not known:
        raise ValueError(f"--task={task}: there is no {policies}, expected to be in a checkout of the project")
    if task not in known:
        raise ValueError(f"--task={task}: no such folder in {policies}, expected one of {', '.join(known)}")
    return policies / task


if __name__ == "__main__":
    command.run(main)
