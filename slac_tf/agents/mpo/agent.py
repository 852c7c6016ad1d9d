"""Maximum a posteriori policy optimisation (Abdolmaleki et al. 2018a, 2018b)."""

from typing import Any, Dict, NamedTuple

import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types

from slac_tf.agents import base
from slac_tf.agents.mpo import networks as mpo_networks
from slac_tf.losses import mpo, n_step, sac
from slac_tf.utils import optimizers

_DUAL_FLOOR = -18.0  # of what softplus makes a multiplier
_DUAL_MIN = 1e-8


class Bounds(NamedTuple):
    """Bounds of the KL divergences, in nats.

    Attributes:
        e_step: Of the non-parametric policy.
        mean: Of the policy's mean, a dimension.
        std: Of the policy's standard deviation, a dimension.
    """

    e_step: float
    mean: float
    std: float


class MpoOptimizers(NamedTuple):
    """One optimizer for each group of variables.

    Attributes:
        critic: For critic and encoder.
        actor: For the actor.
        dual: For temperature and multipliers.
    """

    critic: tf.keras.optimizers.Optimizer
    actor: tf.keras.optimizers.Optimizer
    dual: tf.keras.optimizers.Optimizer


class _Dual(tf.Module):
    """η and the two α, each softplus of a variable."""

    def __init__(self, action_size: int):
        super().__init__(name="dual")
        self.log_temperature = tf.Variable(1.0, name="log_temperature")
        self.log_alpha_mean = tf.Variable(tf.fill([action_size], 1.0), name="log_alpha_mean")
        self.log_alpha_std = tf.Variable(tf.fill([action_size], 10.0), name="log_alpha_std")

    def clip(self) -> None:
        """Keeps the variables where softplus still has a gradient."""
        for variable in self.trainable_variables:
            variable.assign(tf.maximum(variable, _DUAL_FLOOR))


def _positive(variable: tf.Variable) -> tf.Tensor:
    return tf.nn.softplus(variable) + _DUAL_MIN


class MpoAgent(base.NStepAgent):
    """MPO with an n-step critic.

    Variables trained by each loss: the critic loss trains critic and encoder, the policy loss the actor, the dual loss
    η, α_μ and α_Σ.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: mpo_networks.MpoNetworks,
        target_networks: mpo_networks.MpoNetworks,
        mpo_optimizers: MpoOptimizers,
        *,
        bounds: Bounds,
        num_samples: int,
        **arguments: Any,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            target_networks: The same, for the delayed copies.
            mpo_optimizers: One for each group of variables.
            bounds: Of the KL divergences.
            num_samples: N, actions a state in the E-step.
            **arguments: Those of `NStepAgent`.
        """
        super().__init__(time_step_spec, action_spec, networks, target_networks, **arguments)
        self._bounds = bounds
        self._num_samples = num_samples
        self._dual = _Dual(action_spec.shape.num_elements())
        self._optimizers = mpo_optimizers
        optimizers.create_moments(mpo_optimizers.critic, self._critic_variables)
        optimizers.create_moments(mpo_optimizers.actor, networks.actor.trainable_variables)
        optimizers.create_moments(mpo_optimizers.dual, self._dual.trainable_variables)

    def _update_targets(self) -> None:
        self._dual.clip()
        super()._update_targets()

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        # The E-step's samples at the state after the return give the critic its target, too.
        returns, later = self._returns(experience)
        actions = self._target.actor.samples(later, self._num_samples)  # [N, B, A]
        qs = self._target_qs(later, actions)  # [N, B]

        with tf.GradientTape() as critic_tape:
            critic_losses, extra = self.critic_loss(experience, returns, tf.reduce_mean(qs, axis=0))
            critic_loss = tf.reduce_mean(weights * critic_losses)
        with tf.GradientTape(persistent=True) as policy_tape:
            policy_loss, dual_loss, policy_extra = self.policy_loss(later, actions, qs)

        each, objective = self._optimizers, optimizers.Objective
        objectives = [
            objective("critic", critic_loss, critic_tape, each.critic, self._critic_variables),
            objective("policy", policy_loss, policy_tape, each.actor, self._networks.actor.trainable_variables),
            objective("dual", dual_loss, policy_tape, each.dual, self._dual.trainable_variables),
        ]
        return base.Losses(objectives, {**extra, **policy_extra})

    def _target_qs(self, seen: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Target critic's values of N actions a state: `[B, S]`, `[N, B, A]` to `[N, B]`."""
        flat = tf.reshape(actions, [-1, actions.shape[-1]])  # [N * B, A]
        qs = self._target.critic(tf.tile(seen, [self._num_samples, 1]), flat)
        return tf.reshape(qs, [self._num_samples, -1])

    def critic_loss(
        self, experience: trajectory_lib.Trajectory, returns: n_step.NStep, next_value: tf.Tensor
    ) -> "tuple[tf.Tensor, Dict[str, tf.Tensor]]":
        """½ (Q(s, a) - R⁽ⁿ⁾ - γⁿ d mean_j Q̄(s', a_j))². Trains critic and encoder.

        Args:
            experience: `[B, H+n, …]`.
            returns: The n-step returns.
            next_value: Target value of the state after them, `[B] float32`.

        Returns:
            The loss `[B]` and means to log.
        """
        seen = self._seen(experience)
        q = self._networks.critic(seen, experience.action[:, self._step])
        target = returns.returns + returns.discount * next_value
        extra = {"q_mean": tf.reduce_mean(q), "q_target_mean": tf.reduce_mean(target)}
        return sac.critic_loss([q], target), extra

    def policy_loss(
        self, seen: tf.Tensor, actions: tf.Tensor, qs: tf.Tensor
    ) -> "tuple[tf.Tensor, tf.Tensor, Dict[str, tf.Tensor]]":
        """E-step and M-step. The first loss trains the actor, the second one temperature and multipliers.

        Args:
            seen: States as the target encoder sees them, `[B, S] float32`.
            actions: Samples of the target policy, `[N, B, A] float32`.
            qs: Target critic's values of them, `[N, B] float32`.

        Returns:
            Two scalar losses and means to log.
        """
        temperature = _positive(self._dual.log_temperature)
        weights = mpo.e_step_weights(qs, temperature)
        temperature_loss = tf.reduce_mean(mpo.temperature_loss(qs, temperature, self._bounds.e_step))
        policy, target = self._networks.actor(seen), self._target.actor(seen)
        m_step_loss = tf.reduce_mean(mpo.m_step_loss(policy, target, actions, weights))
        kl = mpo.kl_by_dimension(policy, target)
        kl_mean, kl_std = tf.reduce_mean(kl.mean, axis=0), tf.reduce_mean(kl.std, axis=0)  # [A]
        penalty_mean, dual_mean = mpo.trust_region_loss(
            kl_mean, _positive(self._dual.log_alpha_mean), self._bounds.mean
        )
        penalty_std, dual_std = mpo.trust_region_loss(kl_std, _positive(self._dual.log_alpha_std), self._bounds.std)
        extra = {
            "temperature": temperature,
            "e_step_kl": tf.reduce_mean(mpo.e_step_kl(weights)),
            "kl_mean": tf.reduce_sum(kl_mean),
            "kl_std": tf.reduce_sum(kl_std),
            "policy_std": tf.reduce_mean(policy.stddev()),
            "alpha_mean": tf.reduce_mean(_positive(self._dual.log_alpha_mean)),
            "alpha_std": tf.reduce_mean(_positive(self._dual.log_alpha_std)),
        }
        return m_step_loss + penalty_mean + penalty_std, temperature_loss + dual_mean + dual_std, extra
