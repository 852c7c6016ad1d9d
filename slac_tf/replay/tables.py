"""What the replay server keeps."""

from typing import Optional

import reverb
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

SEQUENCES = "sequences"


def sequences(
    data_spec: trajectory_lib.Trajectory, sequence_length: int, capacity: int, priority_exponent: Optional[float]
) -> reverb.Table:
    """Makes the table of windows `[T+1, …]`, first in first out.

    Args:
        data_spec: One step of what is stored, tensor specs without batch dimension.
        sequence_length: T.
        capacity: Windows to keep.
        priority_exponent: Windows are sampled in proportion to their priority to the power of this; uniformly
            where None.

    Returns:
        The table.
    """
    uniform = priority_exponent is None
    return reverb.Table(
        name=SEQUENCES,
        sampler=reverb.selectors.Uniform() if uniform else reverb.selectors.Prioritized(priority_exponent),
        remover=reverb.selectors.Fifo(),
        max_size=capacity,
        max_times_sampled=0,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=[
            tf.TensorSpec([sequence_length + 1, *spec.shape], spec.dtype) for spec in tf.nest.flatten(data_spec)
        ],
    )
