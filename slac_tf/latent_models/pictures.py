"""Frames beside what a latent model makes of them (Figures 7, 9 and 10)."""

from typing import Callable, Dict

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.latent_models import base
from slac_tf.utils import images


def pictures(
    model: base.LatentModel,
    encode: Callable[[tf.Tensor], tf.Tensor],
    experience: trajectory_lib.Trajectory,
    context_frames: int,
) -> Dict[str, np.ndarray]:
    """Decodes the posterior, the conditional prior and the prior along sequences.

    Args:
        model: The model.
        encode: Frames `[B, length, 64, 64, 3] uint8` to the model's features.
        experience: `[B, length, …]`, each sequence within one episode, of any length.
        context_frames: Frames that the conditional prior is given.

    Returns:
        Videos `[B, length, 64, 64, 3] uint8` by name: `truth`, `posterior`, `conditional_prior`, `prior`.
    """
    frames, actions = experience.observation["pixels"], experience.action
    features = encode(frames)
    states = {
        "posterior": model.posterior(features, actions, experience.step_type),
        "conditional_prior": model.open_loop(features, actions, context_frames),
        "prior": model.open_loop(features, actions, 0),
    }
    videos = {name: images.to_uint8(model.decode(model.vector(state))).numpy() for name, state in states.items()}
    return {"truth": frames.numpy(), **videos}
