"""Losses of maximum a posteriori policy optimisation (Abdolmaleki et al. 2018a, 2018b).

Actions of the E-step are samples of the target policy, `[N, B, A]`. The policy is a diagonal Gaussian; its
mean and standard deviation have trust regions of their own, one for each action dimension.
"""

import math
from typing import NamedTuple

import tensorflow as tf


def e_step_weights(qs: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """The non-parametric policy at the samples: softmax of Q̄ / η over them (2018b, Eq. 7 f.).

    Args:
        qs: Target critic's values, `[N, B] float32`.
        temperature: η, scalar.

    Returns:
        `[N, B] float32`, each column sums to 1; no gradient flows through it.
    """
    return tf.stop_gradient(tf.nn.softmax(qs / temperature, axis=0))


def temperature_loss(qs: tf.Tensor, temperature: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The E-step's dual, η (ε + mean_s log mean_j exp(Q̄_j / η)): its minimum holds the KL at ε (2018b, Eq. 8).

    Args:
        qs: Target critic's values, `[N, B] float32`; no gradient flows into them.
        temperature: η, scalar.
        epsilon: Bound of the KL from the target policy to the non-parametric one, in nats.

    Returns:
        Terms whose mean is the dual, `[B] float32`.
    """
    log_mean = tf.reduce_logsumexp(tf.stop_gradient(qs) / temperature, axis=0) - math.log(qs.shape[0])
    return temperature * (epsilon + log_mean)


def e_step_kl(weights: tf.Tensor) -> tf.Tensor:
    """KL from the target policy to the non-parametric one, as the samples show it.

    Args:
        weights: `[N, B] float32`.

    Returns:
        `[B] float32`, at least 0 and at most log N.
    """
    return tf.reduce_sum(weights * tf.math.log(weights * weights.shape[0] + 1e-8), axis=0)


class Gaussian(NamedTuple):
    """A diagonal Gaussian over actions.

    Attributes:
        loc: `[B, A] float32`.
        scale: `[B, A] float32`.
    """

    loc: tf.Tensor
    scale: tf.Tensor


def log_prob(policy: Gaussian, actions: tf.Tensor) -> tf.Tensor:
    """Log density.

    Args:
        policy: The Gaussian.
        actions: `[N, B, A] float32`.

    Returns:
        `[N, B] float32`.
    """
    z = (actions - policy.loc) / policy.scale
    return tf.reduce_sum(-0.5 * tf.square(z) - tf.math.log(policy.scale) - 0.5 * math.log(2 * math.pi), axis=-1)


class Decoupled(NamedTuple):
    """One value for the policy with the target's deviation, one for that with the target's mean (2018b, Section 4.2.1).

    Attributes:
        mean: What moves the mean.
        std: What moves the standard deviation.
    """

    mean: tf.Tensor
    std: tf.Tensor


def decouple(policy: Gaussian, target: Gaussian) -> "tuple[Gaussian, Gaussian]":
    """The policy with the target's standard deviation, and the policy with the target's mean.

    Args:
        policy: The policy that is trained.
        target: Its delayed copy.

    Returns:
        One Gaussian that trains the mean, one that trains the standard deviation.
    """
    return (
        Gaussian(policy.loc, tf.stop_gradient(target.scale)),
        Gaussian(tf.stop_gradient(target.loc), policy.scale),
    )


def m_step_loss(policy: Gaussian, target: Gaussian, actions: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted maximum likelihood, -Σ_j w_j log π(a_j | s), of both decoupled policies.

    Args:
        policy: The policy that is trained.
        target: Its delayed copy.
        actions: `[N, B, A] float32`.
        weights: `[N, B] float32`.

    Returns:
        `[B] float32`.
    """
    of_mean, of_std = decouple(policy, target)
    log_probs = log_prob(of_mean, actions) + log_prob(of_std, actions)
    return -tf.reduce_sum(weights * log_probs, axis=0)


def kl_by_dimension(policy: Gaussian, target: Gaussian) -> Decoupled:
    """KL(target ‖ policy) of each action dimension, split into the mean's and the standard deviation's.

    Args:
        policy: The policy that is trained.
        target: Its delayed copy.

    Returns:
        `[B, A] float32` each.
    """
    # Same deviation: (Δμ / σ)² / 2. Same mean: log(σ / σ̄) + σ̄² / 2σ² - 1/2.
    target = Gaussian(*(tf.stop_gradient(x) for x in target))
    ratio = target.scale / policy.scale
    return Decoupled(
        mean=0.5 * tf.square((policy.loc - target.loc) / target.scale),
        std=-tf.math.log(ratio) + 0.5 * tf.square(ratio) - 0.5,
    )


def trust_region_loss(mean_kl: tf.Tensor, multiplier: tf.Tensor, epsilon: float) -> "tuple[tf.Tensor, tf.Tensor]":
    """The Lagrangian's term for one bound, Σ α (ε - KL), split into what policy and multiplier descend.

    Args:
        mean_kl: Of each dimension, mean over states, `[A] float32`.
        multiplier: α, positive, `[A] float32`.
        epsilon: Bound of each dimension, in nats.

    Returns:
        Penalty for the policy and loss for the multiplier, scalars.
    """
    penalty = tf.reduce_sum(tf.stop_gradient(multiplier) * mean_kl)
    dual = tf.reduce_sum(multiplier * (epsilon - tf.stop_gradient(mean_kl)))
    return penalty, dual


def critic_loss(q: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """½ (Q - y)².

    Args:
        q: `[B] float32`.
        target: y, `[B] float32`.

    Returns:
        `[B] float32`.
    """
    return 0.5 * tf.math.squared_difference(q, tf.stop_gradient(target))
