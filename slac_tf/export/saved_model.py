"""Writes policies as SavedModels with all that is needed to play them."""

import json
import os
import pathlib
import shutil
from typing import Any, Dict, Mapping, Optional

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.policies import policy_saver, tf_policy
from tf_agents.typing import types as tf_types

MANIFEST = "manifest.json"
_PREFIX = "env_step_"


class Exporter:
    """Writes a run's policies as SavedModels.

    One object for all exports of a run: what is traced for a saver is never freed, 25 MB for two small policies.
    """

    def __init__(self, policies: Mapping[str, tf_policy.TFPolicy]):
        """Constructor.

        Args:
            policies: By name.
        """
        self._policies = dict(policies)
        self._manifests = {name: tf.Variable("", trainable=False) for name in policies}
        self._savers: Dict[str, policy_saver.PolicySaver] = {}

    def export(
        self,
        returns: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        directory: pathlib.Path,
        *,
        keep: Optional[int],
    ) -> pathlib.Path:
        """Writes `<directory>/env_step_<N>/<name>_policy` for each policy, and points `latest` to it.

        The folder is there whole or not at all; one of the same step is replaced.

        Args:
            returns: `[episodes] float` of each policy, by name; lacks a policy that was not evaluated.
            manifest: What all of them have in common: `env_step`, `task`, `action_repeat`, `config`, …
            directory: Of the run's exports.
            keep: How many of the newest folders to keep, the one written among them; all where None.

        Returns:
            The folder.
        """
        place = directory / f"{_PREFIX}{manifest['env_step']:09d}"
        temporary = directory / f"incomplete-{place.name}"
        replaced = directory / f"incomplete-old-{place.name}"
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            for name, policy in self._policies.items():
                own = {
                    **manifest,
                    "policy": name,
                    "returns": [round(float(value), 4) for value in returns.get(name, ())],
                    "observation_spec": _describe(policy.time_step_spec.observation),
                    "action_spec": _describe(policy.action_spec),
                    "policy_state_spec": _describe(policy.policy_state_spec),
                }
                self._save(name, own, temporary / f"{name}_policy")
        except Exception:
            shutil.rmtree(temporary, ignore_errors=True)  # the disk may be full
            raise
        if place.exists():
            os.rename(place, replaced)
        os.rename(temporary, place)
        shutil.rmtree(replaced, ignore_errors=True)
        link = directory / "latest.tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(place.name)
        link.replace(directory / "latest")
        if keep is not None:
            others = sorted(path for path in directory.glob(_PREFIX + "*") if path != place)
            for old in others[: max(0, len(others) - (keep - 1))]:
                shutil.rmtree(old)
        return place

    def _save(self, name: str, manifest: Dict[str, Any], directory: pathlib.Path) -> None:
        text = json.dumps(manifest, indent=1)
        self._manifests[name].assign(text)
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)  # the saver warns that a distribution is not exported: meant so
        try:
            if name not in self._savers:
                self._savers[name] = policy_saver.PolicySaver(
                    self._policies[name], batch_size=None, metadata={"manifest": self._manifests[name]}
                )
            self._savers[name].save(str(directory))
        finally:
            logging.set_verbosity(verbosity)
        (directory / MANIFEST).write_text(text + "\n")


def _describe(specs: tf_types.NestedTensorSpec) -> Any:
    return tf.nest.map_structure(lambda spec: {"shape": spec.shape.as_list(), "dtype": spec.dtype.name}, specs)
