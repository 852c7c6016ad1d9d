"""Losses of maximum a posteriori policy optimisation (Abdolmaleki et al. 2018a, 2018b).

Actions of the E-step are samples of the target policy, `[N, B, A]`. The policy is a diagonal Gaussian; its
mean and standard deviation have trust regions of their own, one for each action dimension.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


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


class Decoupled(NamedTuple):
    """One value for the policy with the target's deviation, one for that with the target's mean (2018b, Section 4.2.1).

    Attributes:
        mean: What moves the mean.
        std: What moves the standard deviation.
    """

    mean: Any
    std: Any


def decouple(policy: tfp.distributions.Normal, target: tfp.distributions.Normal) -> Decoupled:
    """The policy with the target's standard deviation, and the policy with the target's mean.

    Args:
        policy: The policy that is trained, batch shape `[B, A]`.
        target: Its delayed copy.

    Returns:
        One policy that trains the mean, one that trains the standard deviation.
    """
    return Decoupled(
        mean=tfd.Normal(policy.loc, tf.stop_gradient(target.scale)),
        std=tfd.Normal(tf.stop_gradient(target.loc), policy.scale),
    )


def m_step_loss(
    policy: tfp.distributions.Normal, target: tfp.distributions.Normal, actions: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Weighted maximum likelihood, -Σ_j w_j log π(a_j | s), of both decoupled policies.

    Args:
        policy: The policy that is trained, batch shape `[B, A]`.
        target: Its delayed copy.
        actions: `[N, B, A] float32`.
        weights: `[N, B] float32`.

    Returns:
        `[B] float32`.
    """
    decoupled = decouple(policy, target)
    log_probs = tf.reduce_sum(decoupled.mean.log_prob(actions) + decoupled.std.log_prob(actions), axis=-1)  # [N, B]
    return -tf.reduce_sum(weights * log_probs, axis=0)


def kl_by_dimension(policy: tfp.distributions.Normal, target: tfp.distributions.Normal) -> Decoupled:
    """KL(target ‖ policy) of each action dimension, split into the mean's and the standard deviation's.

    Args:
        policy: The policy that is trained, batch shape `[B, A]`.
        target: Its delayed copy.

    Returns:
        `[B, A] float32` each.
    """
    fixed = tfd.Normal(tf.stop_gradient(target.loc), tf.stop_gradient(target.scale))
    return Decoupled(*(tfd.kl_divergence(fixed, each) for each in decouple(policy, target)))


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
