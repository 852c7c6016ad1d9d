from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.agents.ddpg import critic_network
from tf_agents.agents.sac import sac_agent as tf_agents_sac
from tf_agents.networks import actor_distribution_network
from tf_agents.trajectories import time_step as ts

# The agent sees 2 frames: windows hold 3 steps, the transition trained on leads from step 1 to step 2.


def build(observation="pixels", **kwargs):
    return small_agents.build(f"sac {observation}", **kwargs).agent


def test_it_learns_a_reward_that_the_frames_show():
    agent = build(actor_learning_rate=0.0, alpha_learning_rate=0.0)
    bright = np.array([0, 1, 0, 1])
    frames = np.broadcast_to((200 * bright)[:, None, None, None, None], (4, 3, 64, 64, 3)).astype(np.uint8)
    reward = np.broadcast_to(3.0 * bright[:, None], (4, 3)).astype(np.float32)
    window = fakes.experience()._replace(
        observation={"pixels": tf.constant(frames)}, reward=tf.constant(reward), discount=tf.zeros([4, 3])
    )
    losses = [float(agent.train(window).extra["critic_loss"]) for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]


# The tests below run as plain Python: no tracing.


@pytest.mark.parametrize("last", [(MID, MID, MID), (LAST, FIRST, MID), (FIRST, MID, LAST)])
def test_both_steps_are_seen_by_the_online_encoder_with_their_own_history(eagerly, monkeypatch, last):
    agent = build()
    window = fakes.experience(step_types=last)
    begin = 1 if last[1] == FIRST else 0
    frames = window.observation["pixels"]
    see = agent._networks.representation
    expected = (
        see(tf.gather(frames, [begin, 1], axis=1)).numpy(),
        see(tf.gather(frames, [1, 2], axis=1)).numpy(),
    )
    given = []
    critic_loss = agent.critic_loss
    monkeypatch.setattr(
        agent,
        "critic_loss",
        lambda experience, seen, next_seen, alpha: (
            given.append((seen.numpy(), next_seen.numpy())) or critic_loss(experience, seen, next_seen, alpha)
        ),
    )
    before = small_agents.values(agent)
    agent.train(window)
    np.testing.assert_allclose(given[0], expected, atol=1e-6)
    assert "encoder" in small_agents.changed(before, small_agents.values(agent))  # it was the encoder before the step


class Fixed:
    """A policy that always takes one action of a given log probability."""

    def __init__(self, log_prob):
        self._log_prob = log_prob

    def __call__(self, seen):
        batch = seen.shape[0]
        return SimpleNamespace(
            experimental_sample_and_log_prob=lambda: (
                tf.zeros([batch, fakes.ACTION_SIZE]),
                tf.fill([batch], self._log_prob),
            )
        )


@pytest.fixture
def constant(monkeypatch):
    """Critics 3 and 4, targets 5 and 7, log π = 2 and γ = 0.9."""
    agent = build(gamma=0.9)
    nets = agent._networks
    for critic, q in zip((*nets.critics, *nets.target_critics), (3.0, 4.0, 5.0, 7.0)):
        fakes.make_constant(critic, [q])
    monkeypatch.setattr(agent, "_networks", nets._replace(actor=Fixed(2.0)))
    return agent


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_critic_loss_by_hand(constant, alpha):
    # Row 1 terminates in the window's last transition, row 2 reaches a time limit there.
    step_types = np.full((4, 3), MID)
    step_types[1:3, 2] = LAST
    discount = np.ones((4, 3), np.float32)
    discount[1, 1] = 0.0
    window = fakes.experience(step_types=step_types)._replace(discount=tf.constant(discount))
    seen, next_seen = constant._see(window, 1), constant._see(window, 2)
    losses, extra = constant.critic_loss(window, seen, next_seen, tf.constant(alpha))
    # y = r + 0.9 d (min(5, 7) - 2 α) with the reward of the last transition; ½ (3-y)² + ½ (4-y)².
    value = 0.9 * (5 - 2 * alpha)
    y = window.reward[:, 1].numpy() + np.array([value, 0.0, value, value])
    np.testing.assert_allclose(losses, 0.5 * (3 - y) ** 2 + 0.5 * (4 - y) ** 2, rtol=1e-5)
    np.testing.assert_allclose(extra["q_target_mean"], np.mean(y), rtol=1e-5)
    np.testing.assert_allclose(extra["q_mean"], 3.0, rtol=1e-6)


def test_actor_loss_by_hand(constant):
    losses, log_prob = constant.actor_loss(tf.zeros([4, small_agents.FRAMES * 8]), tf.constant(0.5))
    np.testing.assert_allclose(losses, [0.5 * 2 - 3] * 4, rtol=1e-6)
    np.testing.assert_array_equal(log_prob, [2.0] * 4)


def test_only_the_last_transition_counts(constant):
    def loss(window):
        seen, next_seen = constant._see(window, 1), constant._see(window, 2)
        return constant.critic_loss(window, seen, next_seen, tf.constant(0.5))[0].numpy()

    window = fakes.experience()
    usual = loss(window)
    for name in ("reward", "discount"):
        for step in range(3):
            value = getattr(window, name).numpy()
            value[:, step] += 1.0
            moved = loss(window._replace(**{name: tf.constant(value)})) != usual
            assert np.all(moved) if step == 1 else not np.any(moved), (name, step)


def test_the_critics_see_the_action_of_the_last_transition():
    agent, window = build(), fakes.experience()
    seen, next_seen = agent._see(window, 1), agent._see(window, 2)

    def q_mean(window):
        return float(agent.critic_loss(window, seen, next_seen, tf.constant(0.0))[1]["q_mean"])

    for step in range(3):
        action = window.action.numpy()
        action[:, step] *= -1
        moved = q_mean(window._replace(action=tf.constant(action))) != q_mean(window)
        assert moved == (step == 1), step


def test_weights_rule_every_loss(eagerly):
    agent = build()
    before = small_agents.values(agent)
    agent.train(fakes.experience(), weights=tf.zeros([fakes.BATCH_SIZE]))
    assert small_agents.changed(before, small_agents.values(agent)) == set()
    agent.train(fakes.experience(), weights=tf.constant([0.0, 0.0, 0.0, 1.0]))
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)


def test_critic_loss_is_that_of_tf_agents(no_noise):
    agent = build("state", gamma=0.9, initial_alpha=0.5)
    inputs = agent.time_step_spec.observation["state"], agent.action_spec
    theirs = tf_agents_sac.SacAgent(
        agent.time_step_spec._replace(observation=inputs[0]),
        agent.action_spec,
        *(critic_network.CriticNetwork(inputs), actor_distribution_network.ActorDistributionNetwork(*inputs)),
        **{f"{name}_optimizer": None for name in ("critic", "actor", "alpha")},
        initial_log_alpha=np.log(0.5),
    )
    critics = (theirs._critic_network_1, theirs._critic_network_2)
    targets = (theirs._target_critic_network_1, theirs._target_critic_network_2)

    def ours(net):
        return lambda seen, actions: net((seen, actions), step_type=())[0]

    agent._networks = agent._networks._replace(
        critics=[ours(net) for net in critics],
        target_critics=[ours(net) for net in targets],
        actor=lambda seen: theirs._actor_network(seen, step_type=(), network_state=())[0],
    )
    window = small_agents.experience(agent)
    window = window._replace(discount=tf.constant(np.float32([[1, 1], [1, 1], [0, 1], [0, 1]])))
    now, then = (window.observation["state"][:, step] for step in (0, 1))
    losses, _ = agent.critic_loss(window, now, then, tf.constant(0.5))
    time_steps = [
        ts.TimeStep(window.step_type[:, 0], window.reward[:, 0], window.discount[:, 0], seen) for seen in (now, then)
    ]
    expected = theirs.critic_loss(
        time_steps[0], window.action[:, 0], time_steps[1], tf.math.squared_difference, gamma=0.9
    )
    np.testing.assert_allclose(0.5 * expected, np.mean(losses), rtol=1e-4)
