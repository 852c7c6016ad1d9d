"""Simulation and rendering of cheetah run, and collection beside a loop that renders every simulator step."""

import os
from typing import Any, Dict

import numpy as np

from parts import paper_scale
from slac_tf.environments import suite_dm_control

_ACTION_REPEAT = 4
_AGENT_STEPS = 100


def _load(render_quality: str, observations: tuple = ("pixels",), action_repeat: int = _ACTION_REPEAT) -> Any:
    return suite_dm_control.load_dm_control(
        "cheetah",
        "run",
        action_repeat=action_repeat,
        observations=observations,
        render_quality=render_quality,
        seed=0,
    )


def _seconds_a_step(environment: Any, steps: int = _AGENT_STEPS) -> float:
    """Median over rounds of the time of one step under random actions."""
    random = np.random.RandomState(0)
    size = environment.action_spec().shape

    def some() -> None:
        for _ in range(steps):
            environment.step(random.uniform(-1.0, 1.0, size).astype(np.float32))

    environment.reset()
    result = paper_scale.median(some, count=5, warm_up=1) / steps
    environment.close()
    return result


def _pixel_difference() -> Dict[str, float]:
    """Between the two qualities' frames of the same states, on the scale of 0 to 255."""
    random = np.random.RandomState(0)
    environments = [_load(quality) for quality in ("default", "fast")]
    for environment in environments:
        environment.reset()
    differences = []
    for _ in range(_AGENT_STEPS):
        action = random.uniform(-1.0, 1.0, environments[0].action_spec().shape).astype(np.float32)
        default, fast = (
            environment.step(action).observation["pixels"].astype(np.float32) for environment in environments
        )
        differences.append(np.abs(default - fast))
    for environment in environments:
        environment.close()
    return {
        "mean": float(np.mean(differences)),
        "share_above_16": float(np.mean(np.asarray(differences) > 16)),
        "largest": float(np.max(differences)),
    }


def measure() -> Dict[str, Any]:
    """Milliseconds a step, agent steps a second."""
    state = _seconds_a_step(_load("default", ("state",)))
    steps = {quality: _seconds_a_step(_load(quality)) for quality in ("default", "fast")}
    # What a wrapper around a rendering environment does: four control steps, four frames, three thrown away.
    every = _ACTION_REPEAT * _seconds_a_step(_load("default", action_repeat=1), steps=25)
    return {
        "backend": os.environ.get("MUJOCO_GL", "none"),
        "simulation_ms_an_agent_step": 1e3 * state,
        "frame_ms": {quality: 1e3 * (seconds - state) for quality, seconds in steps.items()},
        "agent_steps_a_second": {
            **{quality: 1.0 / seconds for quality, seconds in steps.items()},
            "state": 1.0 / state,
            "every_simulator_step_rendered_default": 1.0 / every,
        },
        "pixel_difference_of_fast_to_default": _pixel_difference(),
        "fast_to_every_simulator_step_rendered": every / steps["fast"],
        "default_to_every_simulator_step_rendered": every / steps["default"],
    }
