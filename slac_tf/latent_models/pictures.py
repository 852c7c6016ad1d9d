"""What a latent model makes of sequences, to look at (Figures 7, 9 and 10)."""

from typing import Dict

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.latent_models import base
from slac_tf.utils import images


def videos(
    model: base.LatentModel, features: tf.Tensor, experience: trajectory_lib.Trajectory, context_frames: int
) -> Dict[str, np.ndarray]:
    """Frames beside what the model makes of them.

    Args:
        model: The latent model.
        features: Of the observations, `[B, length, F] float32`.
        experience: `[B, length, …]`, each sequence within one episode, of any length.
        context_frames: Frames that the conditional prior is given.

    Returns:
        Videos `[B, length, 64, 64, 3] uint8` by name: `truth`, `posterior`, `conditional_prior`, `prior`.
    """
    states = {
        "posterior": model.posterior(features, experience.action, experience.step_type),
        "conditional_prior": model.open_loop(features, experience.action, context_frames),
        "prior": model.open_loop(features, experience.action, 0),
    }
    decoded = {name: images.to_uint8(model.decode(model.vector(state))).numpy() for name, state in states.items()}
    return {"truth": experience.observation["pixels"].numpy(), **decoded}
