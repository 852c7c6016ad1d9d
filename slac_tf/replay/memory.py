"""What a replay takes of this machine's memory."""

import numpy as np
import psutil
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

_COMPRESSION = 0.65  # Reverb's left 4.6 to 8.1 of 12.3 kB a step on rendered 64x64 frames


def memory_estimate(data_spec: trajectory_lib.Trajectory, capacity: int) -> int:
    """Bytes of memory that a full replay takes.

    Args:
        data_spec: One step of what is stored.
        capacity: Windows, about as many steps.

    Returns:
        Bytes.
    """
    step_bytes = sum(
        int(np.prod(spec.shape.as_list(), dtype=np.int64)) * spec.dtype.size for spec in tf.nest.flatten(data_spec)
    )
    return int(capacity * step_bytes * _COMPRESSION)


def check_memory(data_spec: trajectory_lib.Trajectory, capacity: int) -> None:
    """Refuses a replay that cannot fit.

    Args:
        data_spec: One step of what is stored.
        capacity: Windows.

    Raises:
        ValueError: If the estimate exceeds what the machine has free.
    """
    available = psutil.virtual_memory().available
    estimate = memory_estimate(data_spec, capacity)
    if estimate > available:
        raise ValueError(
            f"ReplaySettings.capacity: {capacity} sequences take about {estimate / 2**30:.1f} GiB, but "
            f"{available / 2**30:.1f} GiB are free: set it to at most {int(capacity * available / estimate)}"
        )
