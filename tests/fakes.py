"""What several tests share: specs, experience, a small agent and an environment that counts its steps."""

import functools

import numpy as np
import tensorflow as tf
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from slac_tf.agents.slac import builder
from slac_tf.latent_models import two_layer

FIRST, MID, LAST = 0, 1, 2
ACTION_SIZE = 2
SEQUENCE_LENGTH = 2
BATCH_SIZE = 4
MODEL_BATCH_SIZE = 2
LATENT_SIZE = 7  # z1 3, z2 4

TwoLayerModel = functools.partial(two_layer.TwoLayerModel, base_depth=1, z1_size=3, z2_size=4, hidden_sizes=(8,))


class CountingEnvironment(py_environment.PyEnvironment):
    """The first four bytes of each frame are the number of time steps emitted before, resets included.

    An episode takes `length` actions; the reward of its i-th action is i, from 1.
    """

    task_name = "counting"
    action_repeat = 1
    agent_time_step = 0.1

    def __init__(self, length=5, discount_at_end=0.0):
        super().__init__(handle_auto_reset=True)
        self._length = length
        self._discount_at_end = discount_at_end
        self._emitted = 0
        self._index = 0

    def observation_spec(self):
        return {"pixels": array_spec.ArraySpec((64, 64, 3), np.uint8, "pixels")}

    def action_spec(self):
        return array_spec.BoundedArraySpec((ACTION_SIZE,), np.float32, -1.0, 1.0, "action")

    def render(self, mode="rgb_array"):
        return np.full((64, 64, 3), self._index, np.uint8)

    def _observe(self):
        pixels = np.zeros(64 * 64 * 3, np.uint8)
        pixels[:4] = np.frombuffer(np.uint32(self._emitted).tobytes(), np.uint8)
        self._emitted += 1
        return {"pixels": pixels.reshape(64, 64, 3)}

    def _reset(self):
        self._index = 0
        return ts.restart(self._observe())

    def _step(self, action):
        self._index += 1
        observation = self._observe()
        if self._index == self._length:
            step = ts.termination(observation, reward=float(self._index))
            return step._replace(discount=np.asarray(self._discount_at_end, np.float32))
        return ts.transition(observation, reward=float(self._index))


def counts(pixels):
    """The numbers in a CountingEnvironment's frames, `[…, 64, 64, 3] uint8` to `[…] uint32`."""
    pixels = np.ascontiguousarray(np.asarray(pixels)[..., 0, :2, :]).reshape(*pixels.shape[:-3], 6)
    return np.ascontiguousarray(pixels[..., :4]).view(np.uint32)[..., 0]


def specs():
    """Time step spec and action spec, tensors without batch dimension."""
    environment = CountingEnvironment()
    return (
        tensor_spec.from_spec(environment.time_step_spec()),
        tensor_spec.from_spec(environment.action_spec()),
    )


def build_agent(seed=0, **kwargs):
    """A small SLAC agent, built."""
    tf.keras.utils.set_random_seed(seed)
    settings = dict(
        latent_model=TwoLayerModel,
        sequence_length=SEQUENCE_LENGTH,
        batch_size=BATCH_SIZE,
        model_batch_size=MODEL_BATCH_SIZE,
        hidden_sizes=(8,),
    )
    settings.update(kwargs)
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    return builder.build_slac(*specs(), counter, **settings)


def experience(seed=0, batch_size=BATCH_SIZE, length=SEQUENCE_LENGTH + 1, step_types=None):
    """A random trajectory `[B, T+1, …]`; `step_types` `[T+1]` or `[B, T+1]`, all MID where None."""
    random = np.random.RandomState(seed)
    shape = (batch_size, length)
    step_types = np.broadcast_to(MID if step_types is None else step_types, shape).astype(np.int32)
    arrays = trajectory.Trajectory(
        step_type=step_types,
        observation={"pixels": random.randint(0, 256, (*shape, 64, 64, 3)).astype(np.uint8)},
        action=random.uniform(-1, 1, (*shape, ACTION_SIZE)).astype(np.float32),
        policy_info=(),
        next_step_type=np.concatenate([step_types[:, 1:], np.full((batch_size, 1), MID, np.int32)], axis=1),
        reward=random.normal(size=shape).astype(np.float32),
        discount=np.ones(shape, np.float32),
    )
    return tf.nest.map_structure(tf.constant, arrays)


def fill(module, value=0.0):
    """Sets all variables of a module to one value."""
    for variable in module.variables:
        variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))


def make_constant(module, outputs):
    """Makes a module that ends in an MLP give `outputs`, whatever it is fed."""
    fill(module)
    module._mlp._layers[-1].bias.assign(outputs)
