"""The agents' optimizers, and gradient steps that are made whole or not at all."""

from typing import Callable, List, NamedTuple, Optional, Sequence

import tensorflow as tf


def adam(
    learning_rate: float, clip_norm: Optional[float] = None, epsilon: float = 1e-8
) -> tf.keras.optimizers.Optimizer:
    """Adam, with TensorFlow 1's epsilon unless another is given.

    Args:
        learning_rate: Its learning rate.
        clip_norm: Gradients are scaled to this global norm at the most; not at all where None.
        epsilon: Added to the root of the second moment.

    Returns:
        The optimizer.
    """
    # The legacy class updates each variable with one fused operation.
    return tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=epsilon, global_clipnorm=clip_norm)


def rmsprop(learning_rate: float, clip_norm: float) -> tf.keras.optimizers.Optimizer:
    """RMSprop as A2C has it: decay 0.99, g / (√v + 1e-5).

    Args:
        learning_rate: Its learning rate.
        clip_norm: Gradients are scaled to this global norm at the most.

    Returns:
        The optimizer.
    """
    # The legacy class has epsilon outside of the root; Keras' new one has it inside, where 1e-5 would be 3e-3.
    return tf.keras.optimizers.legacy.RMSprop(learning_rate, rho=0.99, epsilon=1e-5, global_clipnorm=clip_norm)


def create_moments(optimizer: tf.keras.optimizers.Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Makes an optimizer's moments now, so that a checkpoint restored before training finds them.

    Args:
        optimizer: The optimizer.
        variables: What it trains.
    """
    optimizer._create_all_weights(list(variables))


class Objective(NamedTuple):
    """A loss, and what is trained by it.

    Attributes:
        name: Such as 'critic'.
        loss: Scalar, mean over the batch.
        tape: Has recorded it.
        optimizer: Descends it.
        variables: Trained by it, and by nothing else.
    """

    name: str
    loss: tf.Tensor
    tape: tf.GradientTape
    optimizer: tf.keras.optimizers.Optimizer
    variables: Sequence[tf.Variable]


def step_if_finite(
    objectives: Sequence[Objective], then: Callable[[], None], otherwise: Callable[[], None]
) -> List[tf.Tensor]:
    """Takes the gradients of all objectives at the weights of now, then applies them all, or none.

    Under a `tf.distribute` strategy losses and gradients are means over the replicas.

    Args:
        objectives: The losses.
        then: Called after the gradients were applied, where all is finite, in cross-replica context.
        otherwise: Called where something is not, in cross-replica context.

    Returns:
        Global norm of each objective's gradient before clipping, scalars.
    """
    pairs = []
    for objective in objectives:
        gradients = objective.tape.gradient(objective.loss, objective.variables)
        pairs.append([(g, v) for g, v in zip(gradients, objective.variables) if g is not None])
    losses = [objective.loss for objective in objectives]
    each_gradients = [[gradient for gradient, _ in each] for each in pairs]
    replica_context = tf.distribute.get_replica_context()
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        losses, each_gradients = replica_context.all_reduce(tf.distribute.ReduceOp.MEAN, (losses, each_gradients))
    norms = [tf.linalg.global_norm(each) if each else tf.constant(0.0) for each in each_gradients]
    is_finite = tf.reduce_all(tf.math.is_finite(tf.stack([*losses, *norms])))

    def apply_in_replica(gradients: Sequence[Sequence[tf.Tensor]]) -> None:
        for objective, each, of in zip(objectives, gradients, pairs):
            variables = [variable for _, variable in of]
            if variables:  # none where all are frozen
                objective.optimizer.apply_gradients(zip(each, variables), experimental_aggregate_gradients=False)

    def apply_all(
        strategy: tf.distribute.Strategy, gradients: Sequence[Sequence[tf.Tensor]], is_finite: tf.Tensor
    ) -> None:
        def apply() -> tf.Operation:
            strategy.extended.call_for_each_replica(apply_in_replica, args=(gradients,))
            then()
            return tf.no_op()

        def skip() -> tf.Operation:
            otherwise()
            return tf.no_op()

        # The same on each replica. A condition around an optimizer must stand outside of replica contexts.
        tf.cond(strategy.experimental_local_results(is_finite)[0], apply, skip)

    replica_context.merge_call(apply_all, args=(each_gradients, is_finite))
    return norms
