"""A latent model whose every number is known: a point on a line, which a frame shows by its brightness."""

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from slac_tf.latent_models import base, heads

STEP = 0.1
GOAL = 1.0
_WIDTH = 4.0  # positions from -2 to 2
_SCALE = 1e-3


def frames_of(positions):
    """Frames `[…, 64, 64, 3] uint8` of positions `[…]`."""
    brightness = np.round((np.asarray(positions) / _WIDTH + 0.5) * 255.0).astype(np.uint8)
    return np.broadcast_to(brightness[..., None, None, None], (*brightness.shape, 64, 64, 3)).copy()


def specs():
    """Time step spec and action spec."""
    pixels = {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)}
    return ts.time_step_spec(pixels), tf.TensorSpec([1], tf.float32)


class _Encoder(tf.Module):
    feature_size = 1

    def __call__(self, frames):
        return _WIDTH * (tf.reduce_mean(frames, axis=[-3, -2, -1]) - 0.5)[..., tf.newaxis]


class _Decoder(tf.Module):
    def __call__(self, latents):
        brightness = (latents / _WIDTH + 0.5)[..., tf.newaxis, tf.newaxis, :]
        return tf.broadcast_to(brightness, tf.concat([tf.shape(latents)[:-1], [64, 64, 3]], axis=0))


class KnownModel(base.LatentModel):
    """s' = s + 0.1 a; the reward of an arrival at s is `sign` times -(s - 1)²."""

    def __init__(self, sign=1.0):
        self.gain = tf.Variable(STEP, name="gain")

        def reward(*_, name):
            del name

            def head(latent, action, next_latent):
                del latent, action
                value = -sign * tf.square(next_latent - GOAL)
                return heads.layer_state(value, tf.ones_like(value), given=value)

            return head

        parts = dict(encoder=_Encoder(), decoder=_Decoder(), reward=reward)
        super().__init__({"s": 1}, ("s",), 1, base_depth=1, hidden_sizes=(), **parts)

    def first_prior(self, batch_shape, given=None):
        loc = tf.zeros(tf.concat([batch_shape, [1]], axis=0))
        return {"s": heads.layer_state(loc, tf.ones_like(loc), given=(given or {}).get("s"))}

    def prior_step(self, previous, action, given=None):
        loc = previous["s"]["sample"] + self.gain * action
        return {"s": heads.layer_state(loc, tf.fill(tf.shape(loc), _SCALE), given=(given or {}).get("s"))}

    def first_posterior(self, feature):
        return {"s": heads.layer_state(feature, tf.fill(tf.shape(feature), _SCALE))}

    def posterior_step(self, previous, action, feature):
        del previous, action
        return self.first_posterior(feature)
