"""A learner on several devices: each makes the gradients of an equal share of every batch."""

from typing import Any, Callable, Optional

import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf import types


def mirrored(num_devices: int) -> tf.distribute.Strategy:
    """A strategy over GPUs where there are so many, else over parts of the CPU; before TensorFlow uses its devices.

    Args:
        num_devices: How many.

    Returns:
        The strategy. Agent and optimizers are to be built in its scope.

    Raises:
        ValueError: If there are some GPUs, but fewer.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if len(gpus) < num_devices:
            raise ValueError(f"Distributed.learner_devices: {num_devices}, expected at most {len(gpus)}, the GPUs here")
        return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(num_devices)])
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * num_devices
    )
    return tf.distribute.MirroredStrategy(
        [f"CPU:{number}" for number in range(num_devices)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def check_batches(built: types.BuiltAgent, num_devices: int) -> None:
    """Refuses batches that cannot be shared equally.

    Args:
        built: The agent.
        num_devices: How many share a batch.

    Raises:
        ValueError: If one cannot.
    """
    sizes = {"batch_size": built.batch_size}
    if built.pretraining is not None:
        sizes["model_batch_size"] = built.pretraining.batch_size
    for name, size in sizes.items():
        if size % num_devices:
            raise ValueError(f"{name}: {size}, expected a multiple of Distributed.learner_devices {num_devices}")


class Mirrored:
    """A train step on all devices at once, called as an agent's own."""

    def __init__(self, strategy: tf.distribute.Strategy, train: Callable[..., tf_agent.LossInfo]):
        """Constructor.

        Args:
            strategy: In whose scope the agent was built.
            train: The agent's, of training or of pretraining.
        """
        self._strategy = strategy
        self._run = tf.function(lambda *args: strategy.run(train, args=args))

    def __call__(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor] = None) -> tf_agent.LossInfo:
        """Makes the step.

        Args:
            experience: `[B, T+1, …]`. Of R devices, number r gets sequences r, r + R, …, so the first ones of the
                batch are the first ones of all.
            weights: `[B] float32`, or None.

        Returns:
            Losses of the whole batch.
        """
        count = self._strategy.num_replicas_in_sync

        def shared(nest: Any) -> Any:
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: tf.nest.map_structure(lambda x: x[context.replica_id_in_sync_group :: count], nest)
            )

        arguments = (experience,) if weights is None else (experience, weights)
        info = self._run(*(shared(argument) for argument in arguments))
        extra = {name: self._joined(value) for name, value in info.extra.items()}
        return tf_agent.LossInfo(self._joined(info.loss), extra)

    def _joined(self, value: Any) -> tf.Tensor:
        """The mean of scalars, and `[B]` of what is `[B / R]` on each device."""
        local = self._strategy.experimental_local_results(value)
        if local[0].shape.rank:
            return tf.reshape(tf.stack(local, axis=1), [-1, *local[0].shape[1:]])
        if local[0].dtype.is_integer:  # a count, the same on all
            return local[0]
        return tf.add_n([tf.identity(each) for each in local]) / len(local)
