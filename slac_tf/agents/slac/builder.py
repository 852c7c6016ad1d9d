"""SLAC from its settings."""

import inspect
from typing import Callable, Optional

import gin
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.slac import agent as slac_agent
from slac_tf.agents.slac import inputs, networks, synthetic, window
from slac_tf.latent_models import base
from slac_tf.networks import conv
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_slac(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    latent_model: checks.Reference[base.LatentModel] = gin.REQUIRED,
    sequence_length: checks.Count = 8,
    history_length: Optional[checks.Count] = None,
    transitions_per_window: checks.Count = 1,
    batch_size: checks.Count = 256,
    model_batch_size: checks.Count = 32,
    hidden_sizes: checks.Sizes = (256, 256),
    model_learning_rate: checks.NotNegative = 1e-4,
    model_clip_norm: Optional[checks.Positive] = None,
    critic_learning_rate: checks.NotNegative = 3e-4,
    actor_learning_rate: checks.NotNegative = 3e-4,
    alpha_learning_rate: checks.NotNegative = 3e-4,
    decoder_variance: checks.Positive = 0.1,
    gamma: checks.Fraction = 0.99,
    target_update_tau: checks.Fraction = 0.005,
    initial_alpha: checks.Positive = 1.0,
    target_entropy: Optional[checks.Number] = None,
    actor_loss_on_next_step: checks.Boolean = False,
    actor_input: checks.Reference[inputs.Input] = inputs.HistoryInput,
    critic_input: checks.Reference[inputs.Input] = inputs.LatentInput,
    critic_layer_norm: checks.Boolean = False,
    model_shift: checks.WholeNumber = 0,
    critic_shift: checks.WholeNumber = 0,
    shift_each_frame: checks.Boolean = False,
    reset_interval: Optional[checks.Count] = None,
    imagination_steps: checks.WholeNumber = 0,
    imagined_critic_share: checks.Fraction = 0.5,
    imagined_actor_share: checks.Fraction = 0.5,
) -> types.BuiltAgent:
    """Builds the agent (Appendices B and C).

    Args:
        time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`; if also `'state'`, `[S] float32`, the
            model encodes and predicts both.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        latent_model: Called with `action_size=A`, and with `state_size=S` where a state is observed.
        sequence_length: T, the paper's tau.
        history_length: Frames of the history that the actor or the critics see; T where None, as in the published
            code. T+1 for the actor, as Eq. (10) and (11) have it, goes with `actor_loss_on_next_step`.
        transitions_per_window: N; critics and actor train on the last N transitions of each window, the paper's on
            one. The history must fit before the first of them.
        batch_size: Sequences a train step.
        model_batch_size: The first of them that the model loss takes, and the batch of pretraining.
        hidden_sizes: Hidden layers of critics and actor.
        model_learning_rate: Adam's.
        model_clip_norm: Global norm that the model's gradient is clipped to; not at all where None.
        critic_learning_rate: Adam's.
        actor_learning_rate: Adam's.
        alpha_learning_rate: Adam's.
        decoder_variance: Of each pixel, on the scale of [0, 1].
        gamma: Discount factor of an agent step.
        target_update_tau: Share of the critics in each update of their targets.
        initial_alpha: Temperature at the start.
        target_entropy: In nats; minus the number of action dimensions where None.
        actor_loss_on_next_step: Eq. (11) as written; the published code takes the step before.
        actor_input: What the actor sees, HistoryInput or LatentInput.
        critic_input: What the critics see, of the same two.
        critic_layer_norm: Whether each hidden layer of the critics is normalized before its ReLU.
        model_shift: Pixels by which the model's frames are shifted at random at the most; 0 shifts nothing.
        critic_shift: Same for the frames that are filtered for critics and actor.
        shift_each_frame: Whether each frame is shifted on its own instead of a sequence as one.
        reset_interval: Train steps between two resets of critics, actor and temperature; none where None.
        imagination_steps: Steps that the model makes under the actor from each window's last latent, for critics and
            actor to train on; 0 imagines nothing. Actor and critics must see latents.
        imagined_critic_share: Weight of these steps in the critic loss.
        imagined_actor_share: Their weight in the actor loss.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation has no `'pixels'`, a setting is of another type or out of range, or sizes do not
            fit each other.
    """
    conv.check_frames("build_slac", time_step_spec.observation)
    for name, pixels in (("model_shift", model_shift), ("critic_shift", critic_shift)):
        if pixels >= conv.IMAGE_SIZE:
            raise ValueError(f"build_slac.{name}: {pixels}, expected 0 to {conv.IMAGE_SIZE - 1} pixels")
    if model_batch_size > batch_size:
        raise ValueError(f"build_slac.model_batch_size: {model_batch_size}, expected 1 to batch_size {batch_size}")
    action_size = action_spec.shape.num_elements()
    nets = networks.make_networks(
        _make_model(latent_model, time_step_spec, action_size),
        action_size,
        sequence_length if history_length is None else history_length,
        hidden_sizes,
        critic_layer_norm=critic_layer_norm,
        actor_input=actor_input,
        critic_input=critic_input,
    )

    _check_lengths(nets, sequence_length, transitions_per_window, actor_loss_on_next_step)

    def policy(name: str, *, keep_features: bool) -> tf_policy.TFPolicy:
        return nets.actor_input.policy(
            time_step_spec, action_spec, nets.actor, greedy=name == "greedy", keep_features=keep_features
        )

    agent = slac_agent.SlacAgent(
        time_step_spec,
        action_spec,
        nets,
        networks.SlacOptimizers(
            model=optimizers.adam(model_learning_rate, model_clip_norm),
            critic=optimizers.adam(critic_learning_rate),
            actor=optimizers.adam(actor_learning_rate),
            alpha=optimizers.adam(alpha_learning_rate),
        ),
        policy=policy("greedy", keep_features=False),
        collect_policy=policy("stochastic", keep_features=False),
        sequence_length=sequence_length,
        transitions_per_window=transitions_per_window,
        model_batch_size=model_batch_size,
        decoder_variance=decoder_variance,
        gamma=gamma,
        target_update_tau=target_update_tau,
        initial_alpha=initial_alpha,
        target_entropy=float(-action_size) if target_entropy is None else target_entropy,
        actor_loss_on_next_step=actor_loss_on_next_step,
        shifts=window.Shifts(model_shift, critic_shift, shift_each_frame),
        reset_interval=reset_interval,
        imagination=_imagination(nets, imagination_steps, imagined_critic_share, imagined_actor_share),
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(
        agent=agent,
        # Evaluation and export run with frozen weights, so features can be kept.
        policies={name: policy(name, keep_features=True) for name in ("greedy", "stochastic")},
        sequence_length=sequence_length,
        batch_size=batch_size,
        pretraining=types.Pretraining(agent.pretrain, model_batch_size, agent.pretrain_step_counter),
        report=agent.report,
        reusable=types.ReusableModel(nets.model, agent.freeze),
    )


def _make_model(
    latent_model: Callable[..., base.LatentModel], time_step_spec: ts.TimeStep, action_size: int
) -> base.LatentModel:
    state = time_step_spec.observation.get("state")
    if state is None:
        return latent_model(action_size=action_size)
    if "state_size" not in inspect.signature(latent_model).parameters:
        raise ValueError(
            "build_slac: observation holds 'state', expected 'pixels' alone for a latent model without an argument "
            "state_size: set the environment's observations = ('pixels',)"
        )
    return latent_model(action_size=action_size, state_size=state.shape.num_elements())


def _check_lengths(
    nets: networks.SlacNetworks, sequence_length: int, num_transitions: int, actor_loss_on_next_step: bool
) -> None:
    """Holds that a window has the steps that actor and critics look back on from its first trained transition."""
    if num_transitions > sequence_length:
        raise ValueError(
            f"build_slac.transitions_per_window: {num_transitions}, expected 1 to sequence_length = {sequence_length}"
        )
    first = sequence_length + 1 - num_transitions
    name = "sequence_length" if num_transitions == 1 else "sequence_length + 1 - transitions_per_window"
    if nets.critic_input.length > first:
        raise ValueError(
            f"build_slac.history_length: {nets.critic_input.length}, expected 1 to {name} = {first} "
            "where critics see the history"
        )
    if nets.actor_input.length > first + actor_loss_on_next_step:
        expected = f"{name} + 1 = {first + 1}" if actor_loss_on_next_step else f"{name} = {first}"
        raise ValueError(f"build_slac.history_length: {nets.actor_input.length}, expected 1 to {expected}")


def _imagination(
    nets: networks.SlacNetworks, num_steps: int, critic_share: float, actor_share: float
) -> synthetic.Imagination:
    for seen, name in ((nets.actor_input, "actor_input"), (nets.critic_input, "critic_input")):
        if num_steps and not isinstance(seen, inputs.LatentInput):
            raise ValueError(
                f"build_slac.imagination_steps: {num_steps}, expected 0 with {name} = @{type(seen).__name__}: what is "
                f"imagined has no history; set build_slac.{name} = @LatentInput"
            )
    if num_steps and not critic_share and not actor_share:
        raise ValueError(
            f"build_slac.imagined_critic_share: {critic_share}, expected above 0, or imagined_actor_share above 0, "
            f"with imagination_steps = {num_steps}"
        )
    return synthetic.Imagination(num_steps, critic_share, actor_share)
