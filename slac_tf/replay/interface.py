"""What a run asks of its replay."""

import pathlib
from typing import Any, Callable, ContextManager, Iterator, Mapping, Optional, Protocol

from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import reader


class Replay(Protocol):
    """A `SequenceReplay`, or a `RolloutReplay` for an agent that trains on its own newest steps alone."""

    @property
    def size(self) -> int:
        """Windows held."""
        ...

    def add(self, step: trajectory_lib.Trajectory, stream: int = 0) -> None:
        """Takes one step of one of the environments."""
        ...

    def sample(self, batch_size: int) -> Iterator[reader.Batch]:
        """Gives batches."""
        ...

    def update(self, batch: reader.Batch, extra: Mapping[str, Any]) -> None:
        """Takes what training says of a batch."""
        ...

    def save(self, directory: pathlib.Path) -> None:
        """Writes what a resumed run needs to a directory that must not exist."""
        ...

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> ContextManager[Any]:
        """Looks after it while the run goes on."""
        ...
