"""What the replay server keeps."""

from typing import Optional

import reverb
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

SEQUENCES = "sequences"
STEPS = "steps"
_KEPT_STEPS = 10_000


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


def steps(max_lead: int) -> reverb.Table:
    """Makes the table that counts agent steps where collectors are processes of their own: an item for each step.

    What an item holds means nothing; the server's counts of items inserted and of items taken do, and both are part of
    its checkpoint. An item stays for a while after it is taken: one that is sent again after a broken connection must
    not count twice.

    Args:
        max_lead: Items that may be inserted before as many are taken as came before them; the next one waits.

    Returns:
        The table.
    """
    return reverb.Table(
        name=STEPS,
        sampler=reverb.selectors.Fifo(),
        remover=reverb.selectors.Fifo(),
        max_size=_KEPT_STEPS,
        max_times_sampled=0,
        rate_limiter=reverb.rate_limiters.RateLimiter(
            samples_per_insert=1.0, min_size_to_sample=1, min_diff=0.0, max_diff=float(max_lead)
        ),
        signature=[tf.TensorSpec([1], tf.int32)],
    )
