"""Frames and the simulator's state together: encoded both, predicted both."""

import functools

import fakes
import gin
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.agents.slac import agent as slac_agent
from slac_tf.agents.slac import inputs
from slac_tf.config import configuration
from slac_tf.latent_models import ablations, rssm

SIZE = small_agents.STATE_SIZE
OBSERVATION = {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8), "state": tf.TensorSpec([SIZE], tf.float32)}
MODELS = {
    "two_layer": fakes.TwoLayerModel,
    "vae": functools.partial(ablations.VAEModel, base_depth=1, z1_size=3, z2_size=4, hidden_sizes=(8,)),
    "simple_filtering": functools.partial(ablations.SimpleFilteringModel, base_depth=1, z_size=7, hidden_sizes=(8,)),
    "rssm": functools.partial(
        rssm.RSSM, base_depth=1, h_size=4, s_size=3, hidden_sizes=(8,), reward_hidden_sizes=(8,), free_nats=0.0
    ),
}


def build(**settings):
    return small_agents.build("slac pixels", observation=OBSERVATION, **settings)


def experience(seed=0):
    made = fakes.experience(seed)
    states = np.random.RandomState(seed).normal(size=(*made.reward.shape, SIZE)).astype(np.float32)
    return made._replace(observation={**made.observation, "state": tf.constant(states)})


def with_states(window, step, change=1.0):
    states = window.states.numpy()
    states[:, step] += change
    return window._replace(states=tf.constant(states))


def test_the_model_loss_has_a_term_of_the_state(no_noise):
    agent = build().agent
    # s ~ N(1, softplus(0)²) whatever the latent.
    fakes.make_constant(agent._model._state, [1.0] * SIZE + [0.0] * SIZE)
    window = slac_agent._window(experience())
    losses, _ = agent.model_loss(window)
    std = np.log(2) + 1e-5
    deviations = (window.states.numpy() - 1.0) / std
    expected = np.sum(-0.5 * deviations**2 - np.log(std) - 0.5 * np.log(2 * np.pi), axis=(1, 2))
    np.testing.assert_allclose(losses.state_log_prob, expected, rtol=1e-4)
    total = losses.kl["z1"] - losses.frame_log_prob - losses.reward_log_prob - losses.state_log_prob
    np.testing.assert_allclose(losses.loss, total, rtol=1e-5)


def test_the_state_of_each_step_is_filtered_from_there_on(no_noise):
    agent = build().agent
    window = slac_agent._window(experience())
    before = agent.infer(window)
    after = agent.infer(with_states(window, 1))
    for name in ("features", "latents"):
        moved = np.any(getattr(after, name) != getattr(before, name), axis=2)
        assert not np.any(moved[:, 0]) and np.all(moved[:, 1]), name
    # The frames matter as they did.
    frames = window.frames.numpy()
    frames[:, 1] = 0
    moved = np.any(agent.infer(window._replace(frames=tf.constant(frames))).latents != before.latents, axis=2)
    assert not np.any(moved[:, 0]) and np.all(moved[:, 1])


@pytest.mark.parametrize("name", MODELS)
def test_a_train_step_of_each_model_trains_everything(eagerly, name):
    built = build(latent_model=MODELS[name], critic_shift=4)
    agent = built.agent
    groups = small_agents.groups(agent)
    assert {v.ref() for v in agent._model._state.variables} <= {v.ref() for v in groups["model"]}
    assert {v.ref() for v in agent._model.encoder._state.variables} <= {v.ref() for v in groups["encoder"]}
    before = small_agents.values(agent)
    info = agent.train(experience())
    assert np.isfinite(info.extra["state_log_prob"])
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)
    assert agent.report(experience())["prior"].shape == (fakes.BATCH_SIZE, fakes.SEQUENCE_LENGTH + 1, 64, 64, 3)


@pytest.mark.parametrize("actor_input", [inputs.HistoryInput, inputs.LatentInput])
def test_policies_see_both(no_noise, actor_input):
    built = build(actor_input=actor_input)
    time_step_spec = built.agent.time_step_spec
    first = tf.nest.map_structure(lambda spec: tf.ones([1, *spec.shape], spec.dtype), time_step_spec)
    first = first._replace(step_type=tf.zeros([1], tf.int32))
    later = first._replace(step_type=tf.ones([1], tf.int32))
    for policy in (built.agent.policy, built.policies["greedy"]):

        def act(policy=policy, **changes):
            state = policy.action(first, policy.get_initial_state(1)).state
            return policy.action(later._replace(observation={**later.observation, **changes}), state).action

        usual = act()
        np.testing.assert_array_equal(act(), usual)
        assert np.any(act(state=tf.fill([1, SIZE], -5.0)) != usual)
        assert np.any(act(pixels=tf.fill([1, 64, 64, 3], tf.constant(255, tf.uint8))) != usual)
    if actor_input is inputs.HistoryInput:  # frames and states are kept as they are while weights change
        kept = built.agent.policy.policy_state_spec["frames"]
        assert {name: tuple(spec.shape) for name, spec in kept.items()} == {
            "pixels": (2, 64, 64, 3),
            "state": (2, SIZE),
        }


def test_an_agent_of_pixels_alone_has_no_state():
    agent = small_agents.build("slac pixels").agent
    losses, _ = agent.model_loss(slac_agent._window(fakes.experience()))
    assert losses.state_log_prob is None and agent._model.state(tf.zeros([1, fakes.LATENT_SIZE])) is None


def test_a_model_that_takes_no_state_is_refused():
    def without(action_size):
        return fakes.TwoLayerModel(action_size=action_size)

    small_agents.build("slac pixels", latent_model=without)
    with pytest.raises(ValueError, match=r"^build_slac: observation holds 'state', expected 'pixels' alone for a lat"):
        build(latent_model=without)


def test_by_a_binding_of_what_is_observed():
    configuration.load(["finger_spin.gin", "debug.gin"], ["OBSERVATIONS = ('pixels', 'state')"])
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    time_step_spec = fakes.specs()[0]._replace(observation=OBSERVATION)
    agent = build_agent(time_step_spec, fakes.specs()[1], tf.Variable(0, dtype=tf.int64, trainable=False)).agent
    assert set(agent.collect_data_spec.observation) == {"pixels", "state"}
    assert agent._model._state is not None
