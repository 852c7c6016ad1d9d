import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, LAST, MID

NUM_SAMPLES = 3


def build(observation="pixels", **kwargs):
    return small_agents.build(f"mpo {observation}", **kwargs).agent


# Critic


@pytest.fixture
def still():
    """An agent on state with three-step returns; Q is 3, Q̄ is 5."""
    agent = build("state", num_steps=3, gamma=0.9)
    fakes.make_constant(agent._networks.critic, [3.0])
    fakes.make_constant(agent._target.critic, [5.0])
    return agent


# Rewards 1, 2, 3 and, of the step behind the window, 100. An end is a pair of the LAST step's index and the discount.
ENDS = {
    "none": (None, 1.0),
    "termination first": (1, 0.0),
    "time limit first": (1, 1.0),
    "termination inside": (2, 0.0),
    "time limit inside": (2, 1.0),
    "termination last": (3, 0.0),
    "time limit last": (3, 1.0),
}
RETURNS = {  # Σ γ^k r_k, what the value behind is multiplied with, the step it is of
    "none": (1 + 0.9 * 2 + 0.81 * 3, 0.729, 3),
    "termination first": (1, 0.0, 1),
    "time limit first": (1, 0.9, 1),
    "termination inside": (1 + 0.9 * 2, 0.0, 2),
    "time limit inside": (1 + 0.9 * 2, 0.81, 2),
    "termination last": (1 + 0.9 * 2 + 0.81 * 3, 0.0, 3),
    "time limit last": (1 + 0.9 * 2 + 0.81 * 3, 0.729, 3),
}


def window_that_ends(agent, end):
    """One window; the state's first entry is ten times the step's index."""
    last, discount = ENDS[end]
    step_types, discounts = np.full(4, MID), np.ones((1, 4), np.float32)
    if last is not None:
        step_types[last] = LAST
        step_types[last + 1 : last + 2] = FIRST
        discounts[0, last - 1] = discount
    batch = small_agents.experience(agent, batch_size=1, step_types=step_types)
    state = batch.observation["state"].numpy()
    state[..., 0] = 10 * np.arange(4)
    return batch._replace(
        observation={"state": tf.constant(state)},
        reward=tf.constant([[1.0, 2.0, 3.0, 100.0]]),
        discount=tf.constant(discounts),
    )


@pytest.mark.parametrize("end", ENDS)
def test_critic_loss_by_hand(still, end):
    returns, factor, _ = RETURNS[end]
    y = returns + factor * 5
    extra = still.loss(window_that_ends(still, end)).extra
    np.testing.assert_allclose(extra["q_mean"], 3.0)
    np.testing.assert_allclose(extra["q_target_mean"], y, rtol=1e-6)
    np.testing.assert_allclose(extra["critic_loss"], 0.5 * (3 - y) ** 2, rtol=1e-5)


@pytest.mark.parametrize("end", ENDS)
def test_the_target_is_of_the_state_behind_the_return(still, monkeypatch, end):
    def value_of_the_step(seen, actions):
        return tf.tile(seen[tf.newaxis, :, 0], [actions.shape[0], 1])

    monkeypatch.setattr(still, "_target_qs", value_of_the_step)
    returns, factor, step = RETURNS[end]
    extra = still.loss(window_that_ends(still, end)).extra
    np.testing.assert_allclose(extra["q_target_mean"], returns + factor * 10 * step, rtol=1e-6)


def test_the_target_is_the_mean_over_the_samples(still, monkeypatch):
    monkeypatch.setattr(still, "_target_qs", lambda seen, actions: tf.constant([[1.0], [2.0], [6.0]]))
    extra = still.loss(window_that_ends(still, "none")).extra
    np.testing.assert_allclose(extra["q_target_mean"], 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 3, rtol=1e-6)


def test_samples_are_of_the_target_policy_at_that_state_and_not_clipped(monkeypatch):
    agent = build("state")
    fakes.make_constant(agent._networks.actor, [-7.0, -7.0, 0.0, 0.0])
    fakes.make_constant(agent._target.actor, [5.0, 4.0, 0.0, 0.0])
    given, target_qs = {}, agent._target_qs

    def spy(seen, actions):
        given.update(seen=seen, actions=actions)
        return target_qs(seen, actions)

    monkeypatch.setattr(agent, "_target_qs", spy)
    batch = small_agents.experience(agent)
    agent.loss(batch)
    np.testing.assert_array_equal(given["seen"], batch.observation["state"][:, 2])
    assert given["actions"].shape == (NUM_SAMPLES, fakes.BATCH_SIZE, fakes.ACTION_SIZE)
    # Within six standard deviations of 0.3, and no two alike.
    np.testing.assert_allclose(given["actions"], np.broadcast_to([5.0, 4.0], [3, 4, 2]), atol=1.8)
    assert len(np.unique(given["actions"])) == given["actions"].shape.num_elements()


def test_the_state_behind_the_return_is_seen_by_the_target_encoder(monkeypatch):
    agent = build()
    fakes.fill(agent._target.representation)
    given, target_qs = {}, agent._target_qs

    def spy(seen, actions):
        given.update(seen=seen)
        return target_qs(seen, actions)

    monkeypatch.setattr(agent, "_target_qs", spy)
    extra = agent.loss(small_agents.experience(agent)).extra
    np.testing.assert_array_equal(given["seen"], np.zeros([fakes.BATCH_SIZE, 29 * 29]))
    assert extra["q_mean"] != 0.0


def test_target_values_of_each_state_and_action():
    agent = build("state")
    random = np.random.RandomState(0)
    seen = tf.constant(random.normal(size=(2, small_agents.STATE_SIZE)).astype(np.float32))
    actions = tf.constant(random.uniform(-1, 1, (NUM_SAMPLES, 2, fakes.ACTION_SIZE)).astype(np.float32))
    qs = agent._target_qs(seen, actions)
    assert qs.shape == (NUM_SAMPLES, 2)
    for n in range(NUM_SAMPLES):
        np.testing.assert_allclose(qs[n], agent._target.critic(seen, actions[n]), rtol=1e-5)


@pytest.mark.parametrize(
    ("step_types", "steps_of_q", "steps_of_target"),
    [
        # Two frames, two rewards: Q is of step 1, its target of step 3, or of the step in which the episode ended.
        ((MID, MID, MID, MID), {0, 1}, {2, 3}),
        ((MID, MID, LAST, FIRST), {0, 1}, {1, 2}),
        ((MID, MID, MID, LAST), {0, 1}, {2, 3}),
        # Frames of the episode before are not seen.
        ((LAST, FIRST, MID, MID), {1}, {2, 3}),
        ((LAST, FIRST, LAST, FIRST), {1}, {1, 2}),
    ],
)
def test_frames_that_q_and_its_target_see(no_noise, step_types, steps_of_q, steps_of_target):
    agent = build()
    batch = small_agents.experience(agent, step_types=step_types)

    def look(frames):
        extra = agent.loss(batch._replace(observation={"pixels": tf.constant(frames)})).extra
        return float(extra["q_mean"]), float(extra["q_target_mean"])

    frames = batch.observation["pixels"].numpy()
    usual = look(frames)
    for step in range(4):
        other = frames.copy()
        other[:, step] = 255 - other[:, step]
        q, target = look(other)
        assert (q != usual[0]) == (step in steps_of_q), step
        assert (target != usual[1]) == (step in steps_of_target), step


def test_the_action_that_q_is_of(no_noise):
    agent = build()
    batch = small_agents.experience(agent)

    def q(actions):
        return float(agent.loss(batch._replace(action=tf.constant(actions))).extra["q_mean"])

    actions = batch.action.numpy()
    usual = q(actions)
    for step in range(4):
        other = actions.copy()
        other[:, step] *= -1
        assert (q(other) != usual) == (step == 1), step


def test_weights_scale_the_critics_loss_alone(no_noise, still):
    batch = small_agents.experience(still)
    one_by_one = [
        still.loss(tf.nest.map_structure(lambda x, i=i: x[i : i + 1], batch)).extra["critic_loss"] for i in range(4)
    ]
    weights = np.array([0.0, 0.5, 1.0, 3.0], np.float32)
    usual, weighted = (still.loss(batch, weights=w).extra for w in (None, tf.constant(weights)))
    np.testing.assert_allclose(usual["critic_loss"], np.mean(one_by_one), rtol=1e-5)
    np.testing.assert_allclose(weighted["critic_loss"], np.mean(weights * one_by_one), rtol=1e-5)
    for name in ("policy_loss", "dual_loss"):
        np.testing.assert_allclose(weighted[name], usual[name], rtol=1e-6)


def test_weights_scale_the_critics_gradient(eagerly):
    agent = build()
    before = small_agents.values(agent)
    agent.train(small_agents.experience(agent), weights=tf.zeros([fakes.BATCH_SIZE]))
    assert small_agents.changed(before, small_agents.values(agent)) == {"actor", "dual"}


# Policy and dual


def test_policy_and_dual_loss_by_hand():
    agent = build("state", epsilon=0.2, epsilon_mean=0.01, epsilon_std=0.001)
    fakes.make_constant(agent._networks.actor, [0.1, 0.1, 0.0, 0.0])
    fakes.make_constant(agent._target.actor, [0.0, 0.0, 0.0, 0.0])
    seen, actions = tf.zeros([2, small_agents.STATE_SIZE]), tf.zeros([NUM_SAMPLES, 2, 2])
    policy_loss, dual_loss, extra = agent.policy_loss(seen, actions, tf.fill([NUM_SAMPLES, 2], 7.0))
    eta = alpha_mean = np.log1p(np.exp(1.0))
    alpha_std = np.log1p(np.exp(10.0))
    # Deviations of 0.3 throughout. Of a dimension the mean's KL is (0.1 / 0.3)² / 2 = 1/18, and the density of action
    # 0 is that of the mean, once with 1/18 more in the exponent.
    log_prob_at_mean = -np.log(0.3) - 0.5 * np.log(2 * np.pi)
    m_step = 2 * (-2 * log_prob_at_mean + 1 / 18)
    np.testing.assert_allclose(policy_loss, m_step + 2 * alpha_mean / 18, rtol=1e-4)
    # Values that are all alike: η ε + 7. Both dimensions: α (ε - KL), the deviation's KL being 0.
    expected = 0.2 * eta + 7 + 2 * alpha_mean * (0.01 - 1 / 18) + 2 * alpha_std * 0.001
    np.testing.assert_allclose(dual_loss, expected, rtol=1e-4)
    for name, value in {
        **{"temperature": eta, "alpha_mean": alpha_mean, "alpha_std": alpha_std},
        **{"e_step_kl": 0.0, "kl_mean": 2 / 18, "kl_std": 0.0, "policy_std": 0.3},
    }.items():
        np.testing.assert_allclose(extra[name], value, rtol=1e-4, atol=1e-5)


def test_the_policy_goes_where_the_values_are(monkeypatch):
    agent = build("state", target_update_period=5, num_samples=20)
    # Q̄ has its maximum at 0.5 in the first dimension and at -0.5 in the second.
    monkeypatch.setattr(
        agent, "_target_qs", lambda seen, actions: -10 * tf.reduce_sum(tf.square(actions - [0.5, -0.5]), axis=-1)
    )
    batch = small_agents.experience(agent)
    for _ in range(60):
        agent.train(batch)
    means = agent._networks.actor.mode(batch.observation["state"][:, 2]).numpy()
    assert np.all(means * [1.0, -1.0] > 0.1)


def test_the_dual_has_a_floor(eagerly):
    agent = build("state")
    small_agents.set_learning_rates(agent)
    for variable in small_agents.groups(agent)["dual"]:
        variable.assign(tf.fill(variable.shape, -30.0))
    info = agent.train(small_agents.experience(agent))
    for variable in small_agents.groups(agent)["dual"]:
        np.testing.assert_array_equal(variable, np.full(variable.shape, -18.0, np.float32))
    assert all(np.isfinite(value) for value in tf.nest.flatten(info))
    # There they still learn.
    small_agents.set_learning_rates(agent, dual=1e-2)
    info = agent.train(small_agents.experience(agent))
    assert all(np.isfinite(value) for value in tf.nest.flatten(info))
    assert float(info.extra["temperature"]) > 0.0
    assert any(np.any(v > -18.0) for v in small_agents.groups(agent)["dual"])
    assert all(np.all(v >= -18.0) for v in small_agents.groups(agent)["dual"])
