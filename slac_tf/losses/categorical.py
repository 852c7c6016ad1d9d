"""Losses on categorical distributions of returns (Bellemare et al. 2017; Barth-Maron et al. 2018)."""

import tensorflow as tf


def project(atoms: tf.Tensor, probabilities: tf.Tensor, support: tf.Tensor) -> tf.Tensor:
    """Moves a distribution from its own atoms onto evenly spaced ones.

    Each atom's probability is shared between its two neighbours in the support in proportion to how near
    they are; what lies outside goes to the nearest end (Bellemare et al. 2017, Eq. 7).

    Args:
        atoms: Where the probability is, `[B, K] float32`.
        probabilities: `[B, K] float32`, each row sums to 1.
        support: Evenly spaced, ascending, `[L] float32`.

    Returns:
        Probabilities on the support, `[B, L] float32`.
    """
    spacing = (support[-1] - support[0]) / tf.cast(tf.shape(support)[0] - 1, tf.float32)
    atoms = tf.clip_by_value(atoms, support[0], support[-1])
    distance = tf.abs(atoms[:, tf.newaxis, :] - support[tf.newaxis, :, tf.newaxis]) / spacing  # [B, L, K]
    return tf.reduce_sum(tf.maximum(1.0 - distance, 0.0) * probabilities[:, tf.newaxis, :], axis=-1)


def td_target(returns: tf.Tensor, discount: tf.Tensor, next_logits: tf.Tensor, support: tf.Tensor) -> tf.Tensor:
    """The projected distribution of R⁽ⁿ⁾ + γⁿ d Z̄(s', μ̄(s')) (Barth-Maron et al. 2018, Eq. 3).

    Args:
        returns: n-step returns, `[B] float32`.
        discount: Of what follows, `[B] float32`.
        next_logits: Of the target critic, `[B, K] float32`.
        support: `[K] float32`.

    Returns:
        `[B, K] float32`; no gradient flows through it.
    """
    atoms = returns[:, tf.newaxis] + discount[:, tf.newaxis] * support
    return tf.stop_gradient(project(atoms, tf.nn.softmax(next_logits), support))


def critic_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the critic's distribution to its target.

    Args:
        logits: `[B, K] float32`.
        target: `[B, K] float32`.

    Returns:
        `[B] float32`.
    """
    return tf.nn.softmax_cross_entropy_with_logits(labels=tf.stop_gradient(target), logits=logits)


def kl(cross_entropy: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """KL from the target to the critic's distribution, the priority of a window in replay.

    Args:
        cross_entropy: What `critic_loss` gave, `[B] float32`.
        target: `[B, K] float32`.

    Returns:
        `[B] float32`, at least 0.
    """
    entropy = -tf.reduce_sum(tf.math.xlogy(target, target), axis=-1)
    return tf.maximum(cross_entropy - entropy, 0.0)


def mean(logits: tf.Tensor, support: tf.Tensor) -> tf.Tensor:
    """Expectation.

    Args:
        logits: `[B, K] float32`.
        support: `[K] float32`.

    Returns:
        `[B] float32`.
    """
    return tf.reduce_sum(tf.nn.softmax(logits) * support, axis=-1)
