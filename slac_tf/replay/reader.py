"""Reads batches of windows from a replay server."""

from typing import Iterator, NamedTuple, Optional

import numpy as np
import reverb
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import errors, tables


class Batch(NamedTuple):
    """Windows from replay.

    Attributes:
        experience: Tensors `[B, T+1, …]`.
        weights: Importance weights, 1 at the most, `[B] float32`; None where windows are sampled uniformly.
        keys: Of the windows, `[B] uint64`.
    """

    experience: trajectory_lib.Trajectory
    weights: Optional[tf.Tensor]
    keys: tf.Tensor


class BatchReader:
    """Samples windows as the server's table has it, uniformly or by priority."""

    def __init__(
        self,
        address: str,
        data_spec: trajectory_lib.Trajectory,
        *,
        importance_exponent: Optional[float] = None,
        timeout_seconds: float = 60.0,
    ):
        """Constructor.

        Args:
            address: The server's.
            data_spec: One step of what is stored, tensor specs without batch dimension.
            importance_exponent: Weights are 1 / (windows held x probability) to the power of this, divided
                by the batch's highest (Schaul et al. 2016, Section 3.4); None where the table is sampled uniformly.
            timeout_seconds: Longest wait for a sample.
        """
        self._address = address
        self._data_spec = data_spec
        self._importance_exponent = importance_exponent
        self._timeout_seconds = timeout_seconds
        self._client = reverb.Client(address)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Batches for ever, a little ahead of their use.

        Args:
            batch_size: B.

        Yields:
            The batches.

        Raises:
            errors.EmptyReplayError: If no batch comes within the timeout.
        """
        dataset = reverb.TrajectoryDataset.from_table_signature(
            server_address=self._address,
            table=tables.SEQUENCES,
            max_in_flight_samples_per_worker=batch_size,
            num_workers_per_iterator=1,
            rate_limiter_timeout_ms=int(1000 * self._timeout_seconds),
        )
        # Batches are mapped, not samples: a third less time a batch.
        dataset = dataset.batch(batch_size, drop_remainder=True).map(
            lambda sample: (sample.data, sample.info.key, sample.info.probability, sample.info.table_size)
        )
        for flat, keys, probabilities, sizes in _one_ahead(dataset):
            experience = tf.nest.pack_sequence_as(self._data_spec, tf.nest.flatten(flat))
            yield Batch(experience, self._weights(probabilities, sizes), keys)
        raise errors.EmptyReplayError(f"no sequence could be sampled within {self._timeout_seconds:.0f} s")

    def _weights(self, probabilities: tf.Tensor, sizes: tf.Tensor) -> Optional[tf.Tensor]:
        if self._importance_exponent is None:
            return None
        weights = (tf.cast(sizes, tf.float64) * probabilities) ** -self._importance_exponent
        return tf.cast(weights / tf.reduce_max(weights), tf.float32)

    def update_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        """Gives a batch's windows new priorities; those that were removed meanwhile are skipped.

        Args:
            batch: One that was sampled by priority.
            priorities: At least 0, `[B] float`.

        Raises:
            ValueError: If the batch was sampled uniformly.
        """
        if batch.weights is None:
            raise ValueError("batch: sampled uniformly, expected one that was sampled by priority")
        updates = dict(zip(batch.keys.numpy().tolist(), np.asarray(priorities).tolist()))
        self._client.mutate_priorities(tables.SEQUENCES, updates=updates)


def _one_ahead(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares an element ahead of its use, on the first GPU where there is one."""
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        return dataset.apply(tf.data.experimental.prefetch_to_device(devices[0].name, buffer_size=1))
    return dataset.prefetch(1)
