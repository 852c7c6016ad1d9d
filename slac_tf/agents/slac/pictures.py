"""What the latent model makes of a window, to look at."""

from typing import Dict

import numpy as np

from slac_tf.agents.slac import window as window_lib
from slac_tf.latent_models import base
from slac_tf.utils import images


def videos(model: base.LatentModel, window: window_lib.Window, context_frames: int) -> Dict[str, np.ndarray]:
    """Frames beside what the model makes of them (Figures 7, 9 and 10).

    Args:
        model: The latent model.
        window: `[B, length, …]`, each sequence within one episode.
        context_frames: Frames that the conditional prior is given.

    Returns:
        Videos `[B, length, 64, 64, 3] uint8` by name: `truth`, `posterior`, `conditional_prior`, `prior`.
    """
    features = model.encode(window.observation)
    states: Dict[str, base.LatentState] = {
        "posterior": model.posterior(features, window.actions, window.step_types),
        "conditional_prior": model.open_loop(features, window.actions, context_frames),
        "prior": model.open_loop(features, window.actions, 0),
    }
    decoded = {name: images.to_uint8(model.decode(model.vector(state))).numpy() for name, state in states.items()}
    return {"truth": window.frames.numpy(), **decoded}
