"""Image sequences of a run's latent model, as in Figures 7, 9 and 10."""

import pathlib
from typing import List

import numpy as np
import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.environments import task_environment
from slac_tf.rollouts import episodes, rollout_driver
from slac_tf.training import restored, settings

ROWS = ("truth", "posterior", "conditional_prior", "prior")
_GAP = 4  # pixels between sequences


def predict(
    root_dir: pathlib.Path, *, num_sequences: int, num_frames: int, context_frames: int, seed: int
) -> np.ndarray:
    """Plays episodes with the run's collect policy and draws what the model makes of their frames.

    Args:
        root_dir: The run's directory; gin holds all its bindings.
        num_sequences: Sequences, each from an episode of its own.
        num_frames: Length of each, which ends in the middle of its episode or with it.
        context_frames: Frames that the conditional prior is given; 1 in the paper.
        seed: Of the environment and of the model's samples.

    Returns:
        `[num_sequences * (4 * 64 + 4) - 4, num_frames * 64, 3] uint8`: below each other, for each sequence, the
        rows `ROWS`.

    Raises:
        ValueError: If there is no checkpoint, the agent has no model, or an argument does not fit.
    """
    run = restored.restore(root_dir, seed)
    try:
        if run.built.report is None:
            raise ValueError(f"{root_dir}: its {type(run.built.agent).__name__} has no latent model to draw")
        if not 0 <= context_frames <= num_frames:
            raise ValueError(f"context_frames: {context_frames}, expected 0 to num_frames {num_frames}")
        tf.random.set_seed(seed)
        policy = py_tf_eager_policy.PyTFEagerPolicy(run.built.agent.collect_policy, use_tf_function=True)
        sequences = [_sequence(run.environment, policy, num_frames) for _ in range(num_sequences)]
    finally:
        run.environment.close()
    experience = tf.nest.map_structure(lambda *steps: tf.constant(np.stack(steps)), *sequences)
    videos = run.built.report(experience, context_frames)  # [B, T, 64, 64, 3] each
    pictures = [np.concatenate([np.concatenate(videos[row][b], axis=1) for row in ROWS]) for b in range(num_sequences)]
    gap = np.full([_GAP, pictures[0].shape[1], 3], 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1])


def _sequence(environment: task_environment.TaskEnvironment, policy: object, length: int) -> trajectory_lib.Trajectory:
    """The middle of an episode, `[length, …]`, which ends at `EvaluationSettings.max_episode_agent_steps`.

    Raises:
        ValueError: If the episode is too short.
    """
    steps: List[trajectory_lib.Trajectory] = []
    totals = episodes.Totals()
    driver = rollout_driver.RolloutDriver(environment, policy, [steps.append, totals], overlap=False)
    while not totals.returns and len(steps) < settings.EvaluationSettings().max_episode_agent_steps:
        driver.run()
    if len(steps) < length:
        raise ValueError(f"num_frames: {length}, expected at most the episode's {len(steps)} agent steps")
    begin = (len(steps) - length) // 2
    return tf.nest.map_structure(lambda *values: np.stack(values), *steps[begin : begin + length])
