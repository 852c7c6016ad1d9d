"""Small agents of all kinds, what they train on, and their variables by what trains them."""

import functools

import fakes
import numpy as np
import tensorflow as tf

from slac_tf.agents.d4pg import builder as d4pg_builder
from slac_tf.agents.mpo import builder as mpo_builder
from slac_tf.agents.planet import builder as planet_builder
from slac_tf.agents.sac import builder as sac_builder
from slac_tf.agents.slac import builder as slac_builder
from slac_tf.networks import encoders, representations

# What holds of agents with an actor, then of all.
KINDS = ("slac pixels", "sac pixels", "sac state", "mpo pixels", "mpo state", "d4pg pixels", "d4pg state")
ALL_KINDS = (*KINDS, "planet pixels")
ONE_OF_EACH = ("slac pixels", "sac state", "mpo state", "d4pg state")
STATE_SIZE = 3
FRAMES = 2  # that all but SLAC see
NUM_STEPS = 2
NEVER = 1000  # a period longer than any test
LEARNING_RATE = 1e-2

_frame_features = functools.partial(
    representations.FrameFeatures, functools.partial(encoders.build_slac_encoder, base_depth=1), FRAMES
)
_stacked_frames = functools.partial(
    representations.StackedFrames, functools.partial(encoders.build_control_suite_encoder, base_depth=1), FRAMES
)
_of_n_steps = dict(
    representation=_stacked_frames,
    pixel_layer_size=5,
    actor_hidden_sizes=(8,),
    critic_hidden_sizes=(8,),
    num_steps=NUM_STEPS,
    target_update_period=NEVER,
)
_BUILDERS = {
    "slac": (
        slac_builder.build_slac,
        dict(
            latent_model=fakes.TwoLayerModel,
            sequence_length=fakes.SEQUENCE_LENGTH,
            model_batch_size=fakes.MODEL_BATCH_SIZE,
            hidden_sizes=(8,),
            model_learning_rate=LEARNING_RATE,
            target_update_tau=0.25,
        ),
    ),
    "sac": (
        sac_builder.build_sac,
        dict(representation=_frame_features, hidden_sizes=(8,), target_update_tau=0.25),
    ),
    "mpo": (mpo_builder.build_mpo, dict(_of_n_steps, num_samples=3)),
    # The support is the integers from -4 to 4.
    "d4pg": (d4pg_builder.build_d4pg, dict(_of_n_steps, num_atoms=9, min_value=-4.0, max_value=4.0, gamma=0.5)),
    "planet": (
        planet_builder.build_planet,
        dict(
            sequence_length=fakes.SEQUENCE_LENGTH,
            h_size=6,
            s_size=3,
            base_depth=1,
            hidden_sizes=(8,),
            reward_hidden_sizes=(8,),
            free_nats=0.0,  # below them nothing would train the prior
            learning_rate=LEARNING_RATE,
        ),
    ),
}
_OBSERVATIONS = {
    "pixels": {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)},
    "state": {"state": tf.TensorSpec([STATE_SIZE], tf.float32)},
}


def build(kind, seed=0, observation=None, **settings):
    """A small agent, built; `observation` is a specification in place of the kind's own."""
    name, seen = kind.split()
    builder, small = _BUILDERS[name]
    actor_and_critic = () if name == "planet" else ("critic", "actor")
    rates = {f"{which}_learning_rate": LEARNING_RATE for which in actor_and_critic}
    time_step_spec, action_spec = fakes.specs()
    time_step_spec = time_step_spec._replace(observation=observation or _OBSERVATIONS[seen])
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    tf.keras.utils.set_random_seed(seed)
    return builder(
        time_step_spec, action_spec, counter, **{"batch_size": fakes.BATCH_SIZE, **rates, **small, **settings}
    )


def experience(agent, seed=0, batch_size=fakes.BATCH_SIZE, step_types=None):
    """A random batch of windows as the agent wants them."""
    made = fakes.experience(seed, batch_size, agent.train_sequence_length, step_types)
    if "state" in agent.time_step_spec.observation:
        shape = (*made.reward.shape, STATE_SIZE)
        states = np.random.RandomState(seed).normal(size=shape).astype(np.float32)
        made = made._replace(observation={"state": tf.constant(states)})
    return made


def groups(agent):
    """All weights, by what trains them."""
    networks, found = getattr(agent, "_networks", None), {}
    if networks is None:  # SLAC and PlaNet
        found["encoder"] = list(agent._model.encoder.trainable_variables)
        encoder = {v.ref() for v in found["encoder"]}
        found["model"] = [v for v in agent._model.trainable_variables if v.ref() not in encoder]
        if not hasattr(agent, "_actor"):
            return found
        critics, targets, actor = agent._critics, agent._target_critics, agent._actor
    else:
        found["encoder"] = list(networks.representation.trainable_variables)
        actor = networks.actor
        if hasattr(agent, "_target"):  # a delayed copy of all networks
            critics, targets = [networks.critic], agent._target
        else:
            critics, targets = networks.critics, networks.target_critics
    found["critic"] = [v for critic in critics for v in critic.variables]
    found["target"] = [v for target in targets for v in target.variables]
    found["actor"] = list(actor.variables)
    if hasattr(agent, "_log_alpha"):
        found["alpha"] = [agent._log_alpha]
    if hasattr(agent, "_dual"):
        found["dual"] = list(agent._dual.trainable_variables)
    return found


def values(agent):
    """The weights of each group."""
    return {name: [v.numpy() for v in variables] for name, variables in groups(agent).items()}


def changed(before, after):
    """Names of the groups in which every kernel changed; fails where a group changed in part."""
    names = set()
    for name in before:
        moved = [bool(np.any(a != b)) for a, b in zip(before[name], after[name])]
        if any(moved):
            names.add(name)
            for value, did_move in zip(before[name], moved):
                assert did_move or value.ndim == 1, name  # dead ReLUs may leave a bias where it is
    return names


def optimizers(agent):
    """By what each trains."""
    if hasattr(agent, "_optimizer"):  # of all that there is to train
        return {"model": agent._optimizer}
    return agent._optimizers._asdict()


def set_learning_rates(agent, rate=0.0, **rates):
    """Gives each optimizer its rate, or else `rate`."""
    for name, optimizer in optimizers(agent).items():
        optimizer.learning_rate = rates.get(name, rate)


def all_of(networks):
    """The variables of a named tuple of networks."""
    return [v for module in networks for v in module.variables]


def all_variables(agent):
    """Weights, moments and counters."""
    return [*agent.variables, *(v for optimizer in optimizers(agent).values() for v in optimizer.variables())]


def trained_by(agent):
    """Names of the groups that each optimizer trains."""
    found = {name: variables for name, variables in groups(agent).items() if variables}
    shared = {"model", "encoder"} if "model" in found else {"critic", "encoder"}
    return {name: (shared if name in shared else {name}) & set(found) for name in optimizers(agent)}


def first_moments(agent):
    """Adam's, of what each optimizer trains: a tenth of the gradient after the first step."""
    found = groups(agent)
    return {
        name: [optimizers(agent)[name].get_slot(v, "m").numpy() for group in sorted(of) for v in found[group]]
        for name, of in trained_by(agent).items()
    }
