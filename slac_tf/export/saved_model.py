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


def export_policies(
    policies: Mapping[str, tf_policy.TFPolicy],
    returns: Mapping[str, np.ndarray],
    manifest: Mapping[str, Any],
    directory: pathlib.Path,
    *,
    keep: Optional[int],
) -> pathlib.Path:
    """Writes `<directory>/env_step_<N>/<name>_policy` for each policy, and points `latest` to it.

    The folder is there whole or not at all; one of the same step is replaced.

    Args:
        policies: By name.
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
    for name, policy in policies.items():
        own = {
            **manifest,
            "policy": name,
            "returns": [round(float(value), 4) for value in returns.get(name, ())],
            "observation_spec": _describe(policy.time_step_spec.observation),
            "action_spec": _describe(policy.action_spec),
            "policy_state_spec": _describe(policy.policy_state_spec),
        }
        _save(policy, own, temporary / f"{name}_policy")
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
        for old in others[: max(0, len(others) - max(0, keep - 1))]:
            shutil.rmtree(old)
    return place


def _save(policy: tf_policy.TFPolicy, manifest: Dict[str, Any], directory: pathlib.Path) -> None:
    text = json.dumps(manifest, indent=1)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # the saver warns that a distribution is not exported: meant so
    try:
        saver = policy_saver.PolicySaver(
            policy, batch_size=None, metadata={"manifest": tf.Variable(text, trainable=False)}
        )
        saver.save(str(directory))
    finally:
        logging.set_verbosity(verbosity)
    (directory / MANIFEST).write_text(text + "\n")


def _describe(specs: tf_types.NestedTensorSpec) -> Any:
    return tf.nest.map_structure(lambda spec: {"shape": spec.shape.as_list(), "dtype": spec.dtype.name}, specs)
