"""Deep variational reinforcement learning (Igl et al. 2018): A2C and the belief's own bound in one loss."""

from typing import Any, Dict, NamedTuple

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types

from slac_tf.agents import base
from slac_tf.agents.dvrl import networks as dvrl_networks
from slac_tf.losses import a2c
from slac_tf.utils import masks, optimizers


class DvrlNetworks(NamedTuple):
    """The networks.

    Attributes:
        belief: Of the past.
        actor: π, of belief vectors.
        critic: V, of belief vectors.
    """

    belief: Any
    actor: dvrl_networks.GaussianActor
    critic: dvrl_networks.Critic


class Weights(NamedTuple):
    """Of the terms of the loss; the policy's has weight 1.

    Attributes:
        value: Of (R - V)².
        entropy: Of -H(π).
        evidence: Of -ELBO, a step; the paper's λ^E.
    """

    value: float
    entropy: float
    evidence: float


class Unrolled(NamedTuple):
    """The beliefs along a window.

    Attributes:
        vectors: What actor and critic see, `[B, T+1, size] float32`.
        evidence: Estimates of log p(x_t | x_{1:t-1}, a_{1:t-1}), `[B, T+1] float32`.
    """

    vectors: tf.Tensor
    evidence: tf.Tensor


class DvrlAgent(base.Agent):
    """Trains on a window as it was collected, once: belief, actor and critic by one loss and one optimizer.

    A window's first belief is the one that the policy had, without a gradient; the others are computed again with the
    noise that the policy had, which makes them the same.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: DvrlNetworks,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        policy: tf_policy.TFPolicy,
        collect_policy: tf_policy.TFPolicy,
        sequence_length: int,
        num_steps: int,
        gamma: float,
        reward_scale: float,
        loss_weights: Weights,
        train_step_counter: tf.Variable,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the belief reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            optimizer: Of all of them.
            policy: The mean of π.
            collect_policy: A `BeliefPolicy`; a sample of π.
            sequence_length: T; windows hold T transitions that are trained on, and one more step.
            num_steps: n, the most rewards in a return.
            gamma: Discount factor of an agent step.
            reward_scale: Of rewards in the loss.
            loss_weights: Of the terms.
            train_step_counter: Incremented by each `train`.
        """
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            sequence_length=sequence_length,
            train_step_counter=train_step_counter,
        )
        self._networks = networks
        self._optimizer = optimizer
        self._num_steps = num_steps
        self._gamma = gamma
        self._reward_scale = reward_scale
        self._loss_weights = loss_weights
        self._trained = [v for network in networks for v in network.trainable_variables]
        optimizers.create_moments(optimizer, self._trained)

    def unroll(self, experience: trajectory_lib.Trajectory) -> Unrolled:
        """The beliefs that the policy had, as a function of the weights.

        Args:
            experience: `[B, T+1, …]`, with the policy's info.

        Returns:
            The beliefs.
        """
        belief, info = self._networks.belief, experience.policy_info
        flat = tf.nest.map_structure(_flat, (experience.observation, info["seed"]))
        features, noise = tf.nest.map_structure(
            lambda x: tf.reshape(x, tf.concat([tf.shape(experience.reward), x.shape[1:]], axis=0)),
            (belief.encode(flat[0]), belief.noise(flat[1])),
        )
        inputs = {
            "begins": masks.is_first(experience.step_type),
            "feature": features,
            "observation": experience.observation,
            "noise": noise,
            "action": experience.action,
        }
        first = tf.nest.map_structure(lambda x: tf.stop_gradient(x[:, 0]), info["state"])

        def step(carried: Any, now: Dict[str, Any]) -> Any:
            state = masks.where(now["begins"], tf.nest.map_structure(tf.zeros_like, carried[0]), carried[0])
            after, evidence = belief.update(
                state["belief"], state["action"], now["feature"], now["observation"], now["noise"]
            )
            return {"belief": after, "action": now["action"]}, evidence

        begin = (first, tf.zeros_like(experience.reward[:, 0]))
        states, evidence = tf.scan(step, tf.nest.map_structure(_swap, inputs), begin)
        vectors = belief.vector(tf.nest.map_structure(_flat, states["belief"]))  # [(T+1) B, size]
        vectors = tf.reshape(vectors, [experience.reward.shape[1], -1, belief.size])
        return Unrolled(_swap(vectors), _swap(evidence))

    def evaluate(self, experience: trajectory_lib.Trajectory, vectors: tf.Tensor) -> "tuple[tf.Tensor, tf.Tensor]":
        """Log π of the actions that were taken, before they were clipped, and V.

        Args:
            experience: `[B, T+1, …]`, with the policy's info.
            vectors: `[B, T+1, size] float32`.

        Returns:
            Both `[B, T+1] float32`.
        """
        rows, shape = _flat(vectors), tf.shape(experience.reward)
        log_prob = self._networks.actor.log_prob(rows, _flat(experience.policy_info["action"]))
        values = self._networks.critic(rows)
        return tf.reshape(log_prob, shape), tf.reshape(values, shape)

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        with tf.GradientTape() as tape:
            unrolled = self.unroll(experience)
            terms = self.terms(experience, unrolled)
            each = self._loss_weights
            loss = (
                terms["policy_loss"]
                + each.value * terms["value_loss"]
                - each.entropy * terms["entropy"]
                - each.evidence * terms["elbo"]
            )
            loss = tf.reduce_mean(weights * loss)
        extra = {name: tf.reduce_mean(value) for name, value in terms.items()}
        extra["action_std"] = tf.reduce_mean(self._networks.actor.std())
        return base.Losses([optimizers.Objective("dvrl", loss, tape, self._optimizer, self._trained)], extra)

    def terms(self, experience: trajectory_lib.Trajectory, unrolled: Unrolled) -> Dict[str, tf.Tensor]:
        """The terms of the loss, means over a window's steps; a reset between episodes is no transition.

        Args:
            experience: `[B, T+1, …]`, with the policy's info.
            unrolled: The beliefs along it.

        Returns:
            `'policy_loss'`, `'value_loss'`, `'entropy'` and `'elbo'` (both in nats, a step), `[B] float32` each.
        """
        log_prob, values = self.evaluate(experience, unrolled.vectors)
        returns = a2c.n_step_returns(
            self._reward_scale * experience.reward[:, :-1],
            experience.discount[:, :-1],
            experience.step_type[:, 1:],
            values[:, 1:],
            self._gamma,
            self._num_steps,
        )
        is_transition = tf.cast(tf.not_equal(experience.step_type[:, :-1], ts.StepType.LAST), tf.float32)

        def mean(of_transitions: tf.Tensor) -> tf.Tensor:
            sums = tf.reduce_sum(is_transition * of_transitions, axis=1)
            return tf.math.divide_no_nan(sums, tf.reduce_sum(is_transition, axis=1))  # a window may be a reset alone

        return {
            "policy_loss": mean(a2c.policy_loss(log_prob[:, :-1], returns, values[:, :-1])),
            "value_loss": mean(a2c.value_loss(returns, values[:, :-1])),
            "entropy": tf.repeat(self._networks.actor.entropy(), tf.shape(values)[0]),
            "elbo": tf.reduce_mean(unrolled.evidence, axis=1),
        }


def _flat(x: tf.Tensor) -> tf.Tensor:
    """`[A, B, …]` to `[A B, …]`."""
    return tf.reshape(x, [-1, *x.shape[2:]])


def _swap(x: tf.Tensor) -> tf.Tensor:
    """`[A, B, …]` to `[B, A, …]`."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])
