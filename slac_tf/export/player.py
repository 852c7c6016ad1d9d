"""Plays an exported policy; needs TensorFlow and NumPy, nothing of this package or of TF-Agents."""

import collections
import json
import pathlib
from typing import Any, Dict, NamedTuple

import numpy as np
import tensorflow as tf

# The SavedModel's signature is matched by the name and fields of this tuple.
TimeStep = collections.namedtuple("TimeStep", ["step_type", "reward", "discount", "observation"])


class Step(NamedTuple):
    """What a policy answers.

    Attributes:
        action: `[A] float32` in [-1, 1].
        state: For the next call.
        info: Nothing; TF-Agents' policies have the field, too, and drivers read it.
    """

    action: np.ndarray
    state: Any
    info: tuple[()] = ()


class ExportedPolicy:
    """A SavedModel that `Exporter` wrote.

    Attributes:
        manifest: Task, specs, returns and versions.
    """

    def __init__(self, directory: pathlib.Path):
        """Loads it.

        Args:
            directory: The SavedModel, a `…_policy` folder.

        Raises:
            ValueError: If there is none.
        """
        if not (directory / "saved_model.pb").exists():
            raise ValueError(
                f"{directory}: no saved_model.pb, expected an exported policy such as policies/latest/greedy_policy"
            )
        self._model = tf.saved_model.load(str(directory))
        self.manifest: Dict[str, Any] = json.loads(self._model.get_metadata()["manifest"].numpy())

    def get_initial_state(self, batch_size: int = 1) -> Any:
        """The state before an episode's first step.

        Args:
            batch_size: Must be 1.

        Returns:
            A nest of tensors `[1, …]`.
        """
        return self._model.get_initial_state(batch_size=batch_size)

    def action(self, time_step: Any, state: Any) -> Step:
        """The policy's action.

        Args:
            time_step: Of one environment: a tuple with `step_type`, `reward`, `discount` and `observation`, arrays
                without batch dimension.
            state: From `get_initial_state` or the last answer.

        Returns:
            Action and next state.

        Raises:
            ValueError: If the observation is not what the policy was trained on.
        """
        observation = {}
        for name, spec in self.manifest["observation_spec"].items():
            value = np.asarray(time_step.observation.get(name))
            if list(value.shape) != spec["shape"] or value.dtype != spec["dtype"]:
                raise ValueError(
                    f"observation {name!r}: {value.dtype}{list(value.shape)}, expected {spec['dtype']}{spec['shape']}"
                )
            observation[name] = tf.constant(value[np.newaxis])
        batched = TimeStep(
            step_type=tf.constant([int(time_step.step_type)], tf.int32),
            reward=tf.constant([float(time_step.reward)], tf.float32),
            discount=tf.constant([float(time_step.discount)], tf.float32),
            observation=observation,
        )
        step = self._model.action(batched, state)
        return Step(step.action[0].numpy(), step.state)
