"""What a run does where a loss, a gradient or a weight is not finite."""

import collections
import math
from typing import Any, Callable, Deque, List, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.agents import tf_agent

from slac_tf.runs import checkpoints, failures

_MOST_IN_A_ROW = 10  # skipped steps, of which the last one ends the run
_MOST_RECORDS = 10  # of skipped steps, a process
_RECENT_STEPS = 200


class NonFiniteError(failures.RunFailedError):
    """A loss, gradient or weight is NaN or infinite; the message names it."""


class FiniteGuard:
    """Looks at what each train step reports.

    An agent with `skipped_steps` in its losses' `extra` has changed nothing where that number rises: the step is
    said and written down, and ten in a row end the run. Of another agent, the first loss that is not finite does.
    """

    def __init__(
        self,
        record: failures.Record,
        saver: checkpoints.Checkpoints,
        variables: Callable[[], Sequence[tf.Variable]],
        position: Callable[[], str],
    ):
        """Constructor.

        Args:
            record: Of the run's failures.
            saver: The run's, for what is kept.
            variables: Gives the agent's weights.
            position: Says where the run is, such as 'train step 7, env step 30'.
        """
        self._record = record
        self._saver = saver
        self._variables = variables
        self._position = position
        self._recent: Deque[Mapping[str, float]] = collections.deque(maxlen=_RECENT_STEPS)
        self._in_a_row = 0
        self._records = 0
        self._batch: Any = None

    def check(self, batch: Any, loss_info: tf_agent.LossInfo) -> Mapping[str, float]:
        """Looks at a train step.

        Args:
            batch: What it was made of, a nest of tensors.
            loss_info: What it gave.

        Returns:
            All scalars by name.

        Raises:
            NonFiniteError: If one is not finite, and the agent does not skip such steps or has skipped ten in a row.
        """
        values = {"loss": float(loss_info.loss)}
        values.update({name: float(value) for name, value in loss_info.extra.items() if value.shape.rank == 0})
        self._batch = batch
        self._recent.append(values)
        # The sum comes last: what it is a sum of says more.
        names = sorted((name for name in values if not math.isfinite(values[name])), key=lambda name: name == "loss")
        skips = "skipped_steps" in values
        if not any(_is_decisive(name) for name in names) if skips else not names:
            self._in_a_row = 0
            return values
        what = f"{names[0]} is {values[names[0]]} at {self._position()}, expected a finite number"
        if not skips:
            raise self._end(what, batch)
        self._in_a_row += 1
        if self._in_a_row == _MOST_IN_A_ROW:
            raise self._end(f"{what}, as in the {_MOST_IN_A_ROW - 1} steps before", batch)
        said = f"{what}: nothing was changed by this step, skipped step {values['skipped_steps']:.0f} of the run"
        if self._in_a_row == 1 and self._records < _MOST_RECORDS:
            self._records += 1
            said += f"; {self._record.batch(what, batch, self._details())}"
        logging.warning("%s", said)
        return values

    def check_weights(self) -> None:
        """Looks at the weights, which an update of finite numbers can make infinite.

        Raises:
            NonFiniteError: If one is not finite.
        """
        bad = self._bad_weights()
        if bad:
            raise self._end(f"{bad[0]} is not finite at {self._position()}, expected finite weights", self._batch)

    def _end(self, what: str, batch: Any) -> NonFiniteError:
        kept = f"{self._saver.kept()}; the same command begins again from what is kept"
        where = "" if batch is None else f"{self._record.batch(what, batch, self._details())}; "
        return NonFiniteError(
            f"{what}; {where}{kept}; should it happen there too, lower the learning rates, in another --root_dir"
        )

    def _bad_weights(self) -> List[str]:
        return [variable.name for variable in self._variables() if not np.all(np.isfinite(variable.numpy()))]

    def _details(self) -> str:
        """Which weights are not finite, and a table: which value was the first to leave its range, and when."""
        weights = f"weights that are not finite: {', '.join(self._bad_weights()) or 'none'}\n"
        names = list(self._recent[-1]) if self._recent else []
        rows = [names, *([f"{step[name]:.6g}" if name in step else "" for name in names] for step in self._recent)]
        table = "".join(f"  {', '.join(row)}\n" for row in rows) if names else ""
        return f"{weights}the last {len(self._recent)} steps:\n{table}"


def _is_decisive(name: str) -> bool:
    """Whether an agent skips a step where this is not finite; the rest of what it reports decides nothing."""
    return name == "loss" or name.endswith(("_loss", "_gradient_norm"))
