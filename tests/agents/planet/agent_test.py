"""PlaNet's agent: which reward belongs to which state, and what it shows."""

import math

import fakes
import known_model
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.planet import agent as planet_agent
from slac_tf.latent_models import base
from slac_tf.utils import optimizers

LENGTH = 6
LOG_2_PI = math.log(2.0 * math.pi)


@pytest.fixture(scope="module")
def agent():
    """With a model that reads from a frame where it is and knows the reward of being there."""
    model = known_model.KnownModel()
    policies = dict.fromkeys(("policy", "collect_policy"), fakes.build_agent().agent.policy)
    return planet_agent.PlanetAgent(
        *known_model.specs(),
        model,
        optimizers.adam(0.0),
        **policies,
        sequence_length=LENGTH - 1,
        reward_scale=10.0,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )


def experience(step_types):
    """Random frames; the reward of each step is that of the frame it leads to, 0 for a reset."""
    made = fakes.experience(length=LENGTH, step_types=step_types)
    levels = np.random.RandomState(0).randint(0, 32, made.reward.shape)  # brightness in steps of quantized frames
    positions = 4.0 * ((levels + 0.5) / 32.0 - 0.5)
    frames = np.broadcast_to((8 * levels + 4)[..., None, None, None], (*levels.shape, 64, 64, 3)).astype(np.uint8)
    rewards = np.append(-((positions[:, 1:] - known_model.GOAL) ** 2), np.full([len(levels), 1], 9.0), axis=1)
    rewards[np.broadcast_to(np.array(step_types) == LAST, rewards.shape)] = 0.0
    return made._replace(
        observation={"pixels": tf.constant(frames)},
        action=made.action[..., :1],
        reward=tf.constant(rewards, tf.float32),
    ), positions


def reward_error(agent, batch):
    """Mean squared error of the predicted rewards."""
    return float(np.mean(-2.0 * agent.model_loss(batch).reward_log_prob - LOG_2_PI))


def test_a_reward_is_of_the_frame_that_its_step_leads_to(agent):
    batch, _ = experience([MID] * LENGTH)
    assert reward_error(agent, batch) < 1e-2
    variance = np.var(batch.reward[:, :-1])
    for shift in (-1, 1):  # one step late and one step early
        assert reward_error(agent, batch._replace(reward=tf.roll(batch.reward, shift, axis=1))) > variance


def test_rewards_before_the_actions_are_not_predicted(agent, monkeypatch):
    """The wrong variant in the model: the state that a step leaves in place of the one it leads to."""
    batch, _ = experience([MID] * LENGTH)
    right = base.LatentModel.reward
    monkeypatch.setattr(
        base.LatentModel, "reward", lambda self, latents, actions: right(self, tf.roll(latents, 1, axis=1), actions)
    )
    assert reward_error(agent, batch) > np.var(batch.reward[:, :-1])


def test_an_episodes_first_frame_has_a_reward_of_zero(agent):
    batch, positions = experience([MID, MID, LAST, FIRST, MID, MID])
    # Four steps are predicted right; the reset's target is 0, and what is predicted is that of its frame.
    expected = np.mean(((positions[:, 3] - known_model.GOAL) ** 2) ** 2) / (LENGTH - 1)
    assert reward_error(agent, batch) == pytest.approx(expected, rel=0.02)


def test_the_loss_of_a_batch_is_its_sequences_mean():
    agent = small_agents.build("planet pixels").agent
    batch = small_agents.experience(agent)
    tf.random.set_seed(0)
    losses = agent.model_loss(batch).loss
    for weights in (1.0, [0.0, 1.0, 2.0, 3.0]):
        tf.random.set_seed(0)
        info = agent.loss(batch, tf.constant(weights))
        np.testing.assert_allclose(info.loss, np.mean(weights * losses.numpy()), rtol=1e-5)


def test_pretraining_is_the_train_step_under_another_counter(eagerly, no_noise):
    train, pretrain = (small_agents.build("planet pixels") for _ in range(2))
    batch = small_agents.experience(train.agent)
    for take in (train.agent.train, pretrain.pretraining.train):
        tf.random.set_seed(0)
        take(batch)
    for a, b in zip(train.agent.trainable_variables, pretrain.agent.trainable_variables):
        np.testing.assert_allclose(a, b, atol=1e-6)
    counters = [(int(b.agent.train_step_counter), int(b.pretraining.step)) for b in (train, pretrain)]
    assert counters == [(1, 0), (0, 1)]


def test_what_is_frozen_stays(eagerly):
    built = small_agents.build("planet pixels")
    model = built.reusable.module
    built.reusable.freeze(list(model.encoder.variables))
    before = small_agents.values(built.agent)
    built.agent.train(small_agents.experience(built.agent))
    assert small_agents.changed(before, small_agents.values(built.agent)) == {"model"}


def test_a_checkpoint_is_the_same_whatever_was_frozen(tmp_path):
    built, again = (small_agents.build("planet pixels", seed=seed) for seed in range(2))
    built.reusable.freeze(list(built.reusable.module.trainable_variables)[:3])
    path = tf.train.Checkpoint(agent=built.agent).write(str(tmp_path / "agent"))
    tf.train.Checkpoint(agent=again.agent).read(path).assert_consumed()
    for a, b in zip(built.agent.variables, again.agent.variables):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("length, given", [(3, 3), (8, 5)])
def test_pictures_from_five_frames_on(monkeypatch, length, given):
    built = small_agents.build("planet pixels")
    seen, right = [], base.LatentModel.open_loop
    monkeypatch.setattr(base.LatentModel, "open_loop", lambda *args: seen.append(args[-1]) or right(*args))
    videos = built.report(fakes.experience(length=length, batch_size=2))
    assert list(videos) == ["truth", "posterior", "conditional_prior", "prior"]
    assert {(video.shape, video.dtype) for video in videos.values()} == {((2, length, 64, 64, 3), np.dtype(np.uint8))}
    assert seen == [given, 0]
    built.report(fakes.experience(length=length, batch_size=2), 1)
    assert seen[2:] == [1, 0]
