"""What the tests of replay share: windows of a counting environment's steps."""

import fakes
import tensorflow as tf
from tf_agents.drivers import py_driver
from tf_agents.policies import random_py_policy
from tf_agents.trajectories import trajectory

SEQUENCE_LENGTH = 3  # windows of 4 steps


def data_spec():
    time_step_spec, action_spec = fakes.specs()
    return trajectory.Trajectory(
        step_type=time_step_spec.step_type,
        observation=time_step_spec.observation,
        action=action_spec,
        policy_info=(),
        next_step_type=time_step_spec.step_type,
        reward=time_step_spec.reward,
        discount=time_step_spec.discount,
    )


def steps(num_steps, environment=None):
    """Steps of random actions, as a replay is given them; a boundary between episodes counts as no step."""
    environment = environment or fakes.CountingEnvironment()
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec())
    taken = []
    driver = py_driver.PyDriver(environment, policy, observers=[taken.append], max_steps=num_steps)
    driver.run(environment.reset())
    return taken


def collect(sink, num_steps, environment=None):
    """Adds that many steps to a writer or a replay."""
    for step in steps(num_steps, environment):
        sink.add(step)
    sink.flush()


def one_stream(first=0):
    """An environment whose episode does not end, and whose first frame has that number."""
    environment = fakes.CountingEnvironment(length=100)
    environment._emitted = first
    return environment


def frames(batch):
    """The frames' numbers, `[B, T+1]`."""
    return fakes.counts(batch.experience.observation["pixels"])


def sampled(batches):
    """Each window once, its parts by the number of its first frame, from batches of 50."""
    windows = {}
    # The probability that one of at most 40 windows is missed by 1000 uniform samples: 40 * 0.975**1000 < 1e-9.
    for _ in range(20):
        batch = next(batches)
        experience = tf.nest.map_structure(lambda x: x.numpy(), batch.experience)
        for b, begin in enumerate(frames(batch)[:, 0].tolist()):
            windows[begin] = tf.nest.map_structure(lambda x, b=b: x[b], experience)
    return windows
