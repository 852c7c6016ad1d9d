"""What the training loop asks of an agent."""

import dataclasses
from typing import Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.policies import tf_policy
from tf_agents.trajectories import trajectory as trajectory_lib


class Pretraining(NamedTuple):
    """Training of an agent's representation on the initial data, before any task learning.

    Attributes:
        train: Takes a trajectory `[B, T+1, …]`, makes one gradient step, returns the loss info.
        batch_size: B.
        step: Counts the steps made; a tf.Variable int64 that the agent's checkpoint holds.
    """

    train: Callable[[trajectory_lib.Trajectory], tf_agent.LossInfo]
    batch_size: int
    step: tf.Variable


class ReusableModel(NamedTuple):
    """The part of an agent that is worth keeping for another task.

    Attributes:
        module: The latent model or encoder; its parts are its attributes.
        freeze: Takes variables of it that are not to be trained; called before any training.
    """

    module: tf.Module
    freeze: Callable[[Sequence[tf.Variable]], None]


class Prioritization(NamedTuple):
    """Sampling of replay by priority; the agent's loss info then has `extra['priorities']`, `[B] float32`.

    Attributes:
        exponent: Windows are sampled in proportion to their priority to the power of this.
        importance_exponent: Of the weights that the agent is given to make up for it.
    """

    exponent: float
    importance_exponent: float


@dataclasses.dataclass(frozen=True)
class BuiltAgent:
    """All that the training loop knows of an agent, whichever agent it is.

    Attributes:
        agent: Its `collect_data_spec` is what replay stores, its `collect_policy` what collects.
        policies: Policies to evaluate and export by name, such as `greedy` and `stochastic`; the first one is filmed.
        sequence_length: T, the paper's tau: replay windows hold T+1 steps.
        batch_size: Sequences a train step.
        pretraining: None where the agent has nothing to train before task learning.
        report: Takes a trajectory `[B, length, …]` and optionally `context_frames`, returns videos
            `[B, length, H, W, 3] uint8` by name; None where the agent has no pictures to show.
        reusable: What another run can start from; None where the agent has nothing of the kind.
        trained_step: Index in the window of the step whose transition is trained on, which replay keeps
            from being a reset; the last transition's where None.
        prioritization: None where replay is sampled uniformly.
        on_policy: Whether the agent trains once on each window of its own steps, when it is full, in the place of a
            replay and of the schedule's train steps. Its collect policy's info is part of the steps.
    """

    agent: tf_agent.TFAgent
    policies: Mapping[str, tf_policy.TFPolicy]
    sequence_length: int
    batch_size: int
    pretraining: Optional[Pretraining] = None
    report: Optional[Callable[..., Mapping[str, np.ndarray]]] = None
    reusable: Optional[ReusableModel] = None
    trained_step: Optional[int] = None
    prioritization: Optional[Prioritization] = None
    on_policy: bool = False
