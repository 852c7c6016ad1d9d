"""What all agents share: a train step that is made whole or not at all."""

import abc
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set

import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types
from tf_agents.utils import common

from slac_tf.latent_models import base as latent_model
from slac_tf.losses import n_step
from slac_tf.networks import representations
from slac_tf.utils import optimizers


class Losses(NamedTuple):
    """What an agent computes of a batch before it changes anything.

    Attributes:
        objectives: One for each optimizer.
        extra: More to log, scalars by name; `'priorities'`, `[B]`, where replay is sampled by priority.
    """

    objectives: Sequence[optimizers.Objective]
    extra: Dict[str, tf.Tensor]


class Agent(tf_agent.TFAgent, abc.ABC):
    """A TF-Agents agent whose losses are looked at before its weights change.

    A subclass is given networks, optimizers and policies, and supplies `_losses` and `_update_targets`.
    `train` works eagerly, where it compiles itself, inside of a `tf.function`, and under a strategy's `run`
    (built under its scope). Its `LossInfo.extra` has, besides what the subclass logs, `<name>_loss` and
    `<name>_gradient_norm` of each objective, and `skipped_steps`: a step with a loss or gradient that is not
    finite changes nothing and is counted there; it counts as a train step.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        *,
        policy: tf_policy.TFPolicy,
        collect_policy: tf_policy.TFPolicy,
        sequence_length: int,
        train_step_counter: tf.Variable,
    ):
        """Constructor.

        Args:
            time_step_spec: Of the environment.
            action_spec: `[A] float32` in [-1, 1].
            policy: Acts greedily.
            collect_policy: Acts while training.
            sequence_length: T; windows of replay hold T+1 steps.
            train_step_counter: Incremented by each `train`.
        """
        tf.Module.__init__(self)  # TFAgent's constructor does not, and then there is no name
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            train_sequence_length=sequence_length + 1,
            train_step_counter=train_step_counter,
        )
        self.skipped_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="skipped_steps")
        self._compiled_train = common.function(self._train_step)

    @abc.abstractmethod
    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> Losses:
        """The losses, each recorded by its tape; changes nothing.

        Args:
            experience: `[B, T+1, …]`.
            weights: Of the sequences, scalar or `[B] float32`.
        """

    def _update_targets(self) -> None:
        """Moves target networks, after each step that was made; in cross-replica context."""

    def _train(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor] = None) -> tf_agent.LossInfo:
        length = experience.step_type.shape[1]
        if length != self.train_sequence_length:
            raise ValueError(
                f"experience: sequences of {length} steps, expected sequence_length + 1 = {self.train_sequence_length}"
            )
        return self._compiled_where_eager(self._compiled_train)(experience, weights)

    def _train_step(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor]) -> tf_agent.LossInfo:
        losses = self._losses(experience, tf.constant(1.0) if weights is None else weights)
        return self._descend(losses, self._update_targets, self._train_step_counter)

    def _loss(
        self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf_agent.LossInfo:
        del training  # nothing here depends on it
        losses = self._losses(experience, tf.constant(1.0) if weights is None else weights)
        return _loss_info(losses, {})

    def _compiled_where_eager(self, compiled: Any) -> Callable[..., tf_agent.LossInfo]:
        """A function's own Python where it runs in a `tf.function` already, or in a strategy's replica."""
        return compiled.python_function if tf.inside_function() or tf.distribute.has_strategy() else compiled

    def _descend(self, losses: Losses, then: Callable[[], None], counter: tf.Variable) -> tf_agent.LossInfo:
        """One gradient step.

        Args:
            losses: Of a batch.
            then: Called after the weights were changed, in cross-replica context.
            counter: Counts the step, a skipped one as well.

        Returns:
            The losses, and what became of the step.
        """

        def made() -> None:
            counter.assign_add(1)
            then()

        def skipped() -> None:
            counter.assign_add(1)
            self.skipped_steps.assign_add(1)

        norms = optimizers.step_if_finite(losses.objectives, made, skipped)
        named = {f"{objective.name}_gradient_norm": norm for objective, norm in zip(losses.objectives, norms)}
        return _loss_info(losses, {**named, "skipped_steps": self.skipped_steps.read_value()})


class ModelAgent(Agent):
    """An agent with a latent model, which is pretrained alone and can be another run's.

    A subclass supplies `_pretraining_losses` as well, and trains `_model_variables`.

    Attributes:
        pretrain_step_counter: Incremented by each `pretrain`.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        model: latent_model.LatentModel,
        **arguments: Any,
    ):
        """Constructor.

        Args:
            time_step_spec: Of the environment.
            action_spec: `[A] float32` in [-1, 1].
            model: The model, built.
            **arguments: Those of `Agent`.
        """
        super().__init__(time_step_spec, action_spec, **arguments)
        self._model = model
        self._frozen: Set[Any] = set()  # a list of variables would become part of checkpoints
        self.pretrain_step_counter = tf.Variable(0, dtype=tf.int64, trainable=False, name="pretrain_step")
        self._compiled_pretrain = common.function(self._pretrain_step)

    def freeze(self, variables: Sequence[tf.Variable]) -> None:
        """Leaves variables of the model as they are; to be called before any training.

        Args:
            variables: Of the model, the encoder's among them.
        """
        self._frozen = {variable.ref() for variable in variables}

    @property
    def _model_variables(self) -> List[tf.Variable]:
        return [v for v in self._model.trainable_variables if v.ref() not in self._frozen]

    def pretrain(self, experience: trajectory_lib.Trajectory) -> tf_agent.LossInfo:
        """One step of the model alone, on all sequences of the batch.

        Args:
            experience: `[B, T+1, …]`.

        Returns:
            The model loss, scalar, and its terms; as `train` otherwise.
        """
        return self._compiled_where_eager(self._compiled_pretrain)(experience)

    def _pretrain_step(self, experience: trajectory_lib.Trajectory) -> tf_agent.LossInfo:
        return self._descend(self._pretraining_losses(experience), lambda: None, self.pretrain_step_counter)

    @abc.abstractmethod
    def _pretraining_losses(self, experience: trajectory_lib.Trajectory) -> Losses:
        """The model's loss, recorded by its tape; changes nothing.

        Args:
            experience: `[B, T+1, …]`.
        """


class NStepAgent(Agent):
    """An agent with an n-step critic, whose target networks are copied now and then, the encoder among them.

    Replayed windows hold H+n steps, H the observations that are seen.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: Any,
        target_networks: Any,
        *,
        num_steps: int,
        gamma: float,
        target_update_period: int,
        **arguments: Any,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: A named tuple of `representation`, `critic` and `actor`, built.
            target_networks: The same, for the delayed copies.
            num_steps: n, rewards in the critic's target.
            gamma: Discount factor of an agent step.
            target_update_period: Train steps between copies to the target networks.
            **arguments: Those of `Agent` but `sequence_length`.
        """
        length = networks.representation.length
        super().__init__(time_step_spec, action_spec, sequence_length=length + num_steps - 1, **arguments)
        self._networks = networks
        self._target = target_networks
        self._step = length - 1  # of the window: the one that is trained on
        self._num_steps = num_steps
        self._gamma = gamma
        self._copy_now_and_then = common.Periodically(self._copy_to_target, target_update_period, "target_update")

    @property
    def _critic_variables(self) -> List[tf.Variable]:
        return [*self._networks.critic.trainable_variables, *self._networks.representation.trainable_variables]

    def _initialize(self) -> None:
        self._copy_to_target()

    def _copy_to_target(self) -> tf.Operation:
        return common.soft_variables_update(_all_variables(self._networks), _all_variables(self._target))

    def _update_targets(self) -> None:
        self._copy_now_and_then()

    def _seen(self, experience: trajectory_lib.Trajectory) -> tf.Tensor:
        """What critic and actor see of the step that is trained on, `[B, S]`."""
        steps = tf.fill(tf.shape(experience.step_type)[:1], self._step)
        return representations.at(self._networks.representation, experience.observation, experience.step_type, steps)

    def _returns(self, experience: trajectory_lib.Trajectory) -> "tuple[n_step.NStep, tf.Tensor]":
        """The n-step returns, and what the target networks see of the step that they lead to, `[B, S]`."""
        rewarded = slice(self._step, self._step + self._num_steps)
        arrived = slice(self._step + 1, self._step + 1 + self._num_steps)
        returns = n_step.n_step(
            experience.reward[:, rewarded],
            experience.discount[:, rewarded],
            experience.step_type[:, arrived],
            self._gamma,
        )
        steps = self._step + returns.steps
        later = representations.at(self._target.representation, experience.observation, experience.step_type, steps)
        return returns, later


def _all_variables(networks: Sequence[tf.Module]) -> List[tf.Variable]:
    return [v for module in networks for v in module.variables]


def _loss_info(losses: Losses, more: Dict[str, tf.Tensor]) -> tf_agent.LossInfo:
    by_name = {f"{objective.name}_loss": objective.loss for objective in losses.objectives}
    return tf_agent.LossInfo(tf.add_n(list(by_name.values())), {**losses.extra, **by_name, **more})
