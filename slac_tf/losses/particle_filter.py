"""A particle filter that resamples at every step (Igl et al. 2018, Sections 2.3 and 3.1)."""

import math

import tensorflow as tf


def systematic_indices(weights: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Systematic resampling: which particles go on.

    Of a particle with weight w, ⌊K w⌋ or ⌈K w⌉ copies are made, K w in the mean over offsets.

    Args:
        weights: Normalized, `[…, K] float32`.
        offset: Uniform in [0, 1), `[…] float32`.

    Returns:
        Indices of particles, ascending, `[…, K] int32`. There is no gradient.
    """
    num_particles = weights.shape[-1]
    ends = tf.cumsum(weights, axis=-1)
    ends /= ends[..., -1:]  # a rounded sum is not 1
    positions = (offset[..., tf.newaxis] + tf.range(num_particles, dtype=weights.dtype)) / num_particles
    return tf.minimum(tf.searchsorted(ends, positions, side="right"), num_particles - 1)


def step_log_weights(log_prior: tf.Tensor, log_proposal: tf.Tensor, log_likelihood: tf.Tensor) -> tf.Tensor:
    """Log w = log p(z | ·) + log p(x | z, ·) - log q(z | ·), of particles that were resampled before this step.

    Args:
        log_prior: Of each particle's latent, `[…, K] float32`.
        log_proposal: Same, of the distribution that it was drawn from.
        log_likelihood: Of the observation, given each particle.

    Returns:
        `[…, K] float32`.
    """
    return log_prior + log_likelihood - log_proposal


def log_mean_exp(log_weights: tf.Tensor) -> tf.Tensor:
    """A step's estimate of log p(x_t | x_{1:t-1}); the sum over time is the bound that DVRL ascends.

    Args:
        log_weights: `[…, K] float32`.

    Returns:
        log of the mean weight, `[…] float32`.
    """
    return tf.reduce_logsumexp(log_weights, axis=-1) - math.log(log_weights.shape[-1])
