import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, LAST, MID
from small_agents import NUM_STEPS, STATE_SIZE

B = fakes.BATCH_SIZE
LENGTH = small_agents.FRAMES + NUM_STEPS  # transitions from step 1 to 2 and from 2 to 3; step 1 is trained on


def build(observation, **kwargs):
    """Its support is the integers from -4 to 4, γ is ½."""
    return small_agents.build(f"d4pg {observation}", **kwargs).agent


@pytest.fixture
def agent():
    """From pixels, sampled uniformly."""
    return build("pixels")


@pytest.fixture
def state_agent():
    """From state, with priorities."""
    return build("state", priority_exponent=0.6)


def bandit(agent, seed=0, batch_size=B):
    """Windows of states that end, with an integer reward, in the transition that is trained on."""
    experience = small_agents.experience(agent, seed, batch_size, [MID, LAST, FIRST])
    rewards = np.random.RandomState(seed).randint(-3, 4, (batch_size, 1 + NUM_STEPS)).astype(np.float32)
    discounts = np.tile(np.float32([0, 1, 1]), (batch_size, 1))
    return experience._replace(reward=tf.constant(rewards), discount=tf.constant(discounts))


def test_the_actors_loss_ends_at_the_action(state_agent):
    agent, seen = state_agent, tf.random.normal([B, STATE_SIZE])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(seen)
        losses, q = agent.actor_loss(seen)
    assert losses.shape == q.shape == (B,)
    assert all(gradient is None for gradient in tape.gradient(losses, agent._networks.critic.variables))
    assert all(gradient is not None for gradient in tape.gradient(losses, agent._networks.actor.variables))
    np.testing.assert_allclose(q, agent._networks.critic.mean(seen, agent._networks.actor(seen)), atol=1e-6)


def test_the_actor_ascends_q_with_a_gradient_of_norm_one_at_the_most():
    agent = build("state")
    # A steep critic: some of the gradients are longer than 1.
    output = agent._networks.critic._mlp._layers[-1].kernel
    output.assign(3 * output)
    seen = tf.random.normal([50, STATE_SIZE])
    actions = agent._networks.actor(seen)
    with tf.GradientTape() as tape:
        tape.watch(actions)
        q = agent._networks.critic.mean(seen, actions)
    dqda = tape.gradient(q, actions).numpy()
    norms = np.linalg.norm(dqda, axis=-1, keepdims=True)
    assert np.min(norms) < 1 < np.max(norms)
    clipped = dqda / np.maximum(norms, 1.0)
    # a = tanh(… + bias): ∂loss/∂bias = -Σ (1 - a²) clip(∂Q/∂a).
    with tf.GradientTape() as tape:
        losses, _ = agent.actor_loss(seen)
    gradient = tape.gradient(losses, agent._networks.actor._mlp._layers[-1].bias)
    np.testing.assert_allclose(gradient, -np.sum((1 - actions.numpy() ** 2) * clipped, axis=0), rtol=1e-4, atol=1e-5)


def critic_loss(agent, experience):
    return float(agent.loss(experience).extra["critic_loss"])


@pytest.mark.parametrize(
    ("step_types", "frames"),
    [
        ([MID, MID, LAST, FIRST], {0, 1}),
        ([FIRST, MID, LAST, FIRST], {0, 1}),
        ([LAST, FIRST, LAST, FIRST], {1}),  # step 1 sees its own frame twice, not the last episode's
    ],
)
def test_the_critic_is_trained_on_the_last_of_the_first_frames(agent, step_types, frames):
    # Step 1's transition terminates: what follows has no part in the target.
    experience = fakes.experience(length=LENGTH, step_types=step_types)
    discount = np.tile(np.float32([1, 0, 1, 1]), (B, 1))
    experience = experience._replace(discount=tf.constant(discount))
    usual = critic_loss(agent, experience)
    for step in range(LENGTH):
        frame = experience.observation["pixels"].numpy()
        action, reward = experience.action.numpy(), experience.reward.numpy()
        frame[:, step] = 255 - frame[:, step]
        action[:, step] *= -1.0
        reward[:, step] += 1.0
        changes = {
            "frame": (experience._replace(observation={"pixels": tf.constant(frame)}), step in frames),
            "action": (experience._replace(action=tf.constant(action)), step == 1),
            "reward": (experience._replace(reward=tf.constant(reward)), step == 1),
        }
        for name, (other, counts) in changes.items():
            assert (abs(critic_loss(agent, other) - usual) > 2e-6) == counts, (name, step)  # else rounding


@pytest.mark.parametrize(
    ("step_types", "frames"),
    [
        ([MID, MID, MID, MID], {2, 3}),  # two transitions on, its history of two frames
        ([LAST, FIRST, MID, MID], {2, 3}),
        ([MID, MID, MID, LAST], {2, 3}),  # a time limit after both
        ([MID, MID, LAST, FIRST], {1, 2}),  # a time limit after one: the episode's end, not the next one's start
        ([FIRST, MID, LAST, FIRST], {1, 2}),
        ([LAST, FIRST, LAST, FIRST], {1, 2}),
    ],
)
def test_what_the_target_bootstraps_from(agent, step_types, frames):
    experience = fakes.experience(length=LENGTH, step_types=step_types)
    usual = agent._critic_target(experience)[0].numpy()
    for step in range(LENGTH):
        pixels = experience.observation["pixels"].numpy()
        pixels[:, step] = 255 - pixels[:, step]
        target, _ = agent._critic_target(experience._replace(observation={"pixels": tf.constant(pixels)}))
        moved = np.any(np.abs(target - usual) > 1e-7, axis=-1)
        assert np.all(moved) if step in frames else not np.any(moved), step


def test_the_target_is_made_by_the_target_networks(state_agent):
    agent = state_agent
    experience = small_agents.experience(agent)

    def moves(module):
        usual = agent._critic_target(experience)[0].numpy()
        kernel = module._mlp._layers[-1].kernel
        kernel.assign_add(tf.random.normal(kernel.shape))
        return bool(np.any(agent._critic_target(experience)[0].numpy() != usual))

    assert moves(agent._target.critic)
    assert moves(agent._target.actor)
    assert not moves(agent._networks.critic)
    assert not moves(agent._networks.actor)


def test_target_by_hand():
    agent = build("state")
    # The target critic puts all on 2, the seventh of the atoms -4 … 4.
    fakes.make_constant(agent._target.critic, 100 * tf.one_hot(6, 9))
    types = [[MID, MID, MID], [MID, LAST, FIRST], [MID, LAST, FIRST], [MID, MID, LAST], [MID, MID, LAST]]
    experience = small_agents.experience(agent, batch_size=5, step_types=types)
    discount = np.ones((5, 3), np.float32)
    discount[1, 0] = discount[3, 1] = 0.0  # the second and fourth terminate, the third and fifth run out of time
    reward = np.tile(np.float32([1, 2, 100]), (5, 1))  # the third is of a transition that leads out of the window
    target, extra = agent._critic_target(
        experience._replace(discount=tf.constant(discount), reward=tf.constant(reward))
    )
    # γ = ½: 1 + 2/2 + 2/4, 1, 1 + 2/2, 1 + 2/2, 1 + 2/2 + 2/4.
    means = [2.5, 1, 2, 2, 2.5]
    np.testing.assert_allclose(target @ agent._networks.critic.support[:, None], np.reshape(means, [5, 1]), atol=1e-5)
    np.testing.assert_allclose(target[1], tf.one_hot(5, 9), atol=1e-6)
    np.testing.assert_allclose(target[0], 0.5 * (tf.one_hot(6, 9) + tf.one_hot(7, 9)), atol=1e-6)
    np.testing.assert_allclose(extra["q_target_mean"], np.mean(means), rtol=1e-5)
    np.testing.assert_allclose(extra["target_at_ends"], 0, atol=1e-6)
    # Returns beyond the support are at its ends.
    reward[:2, 0] = 50, -50
    _, extra = agent._critic_target(experience._replace(discount=tf.constant(discount), reward=tf.constant(reward)))
    np.testing.assert_allclose(extra["target_at_ends"], 2 / 5, atol=1e-6)


def test_priorities_are_the_kl_of_each_window(state_agent):
    agent, experience = state_agent, bandit(state_agent)
    extra = agent.loss(experience, tf.ones([B])).extra
    # The target is all on the reward, an atom: KL is -log of the critic's probability there.
    logits = agent._networks.critic(experience.observation["state"][:, 0], experience.action[:, 0])
    index = (experience.reward[:, 0].numpy() + 4).astype(int)
    expected = -tf.math.log_softmax(logits).numpy()[np.arange(B), index]
    assert extra["priorities"].shape == (B,)
    np.testing.assert_allclose(extra["priorities"], expected, rtol=1e-4)
    np.testing.assert_allclose(extra["critic_kl"], np.mean(expected), rtol=1e-4)
    np.testing.assert_allclose(extra["critic_loss"], np.mean(expected), rtol=1e-4)


def test_no_window_has_priority_zero(state_agent):
    agent, experience = state_agent, bandit(state_agent)
    fakes.make_constant(agent._networks.critic, 100 * tf.one_hot(4, 9))  # all on 0, as the target
    extra = agent.loss(experience._replace(reward=tf.zeros_like(experience.reward)), tf.ones([B])).extra
    assert np.min(extra["priorities"]) == np.float32(1e-6)  # that window's KL is 0


def test_importance_weights_scale_the_critics_loss_alone(state_agent):
    agent, experience = state_agent, bandit(state_agent)
    weights = np.float32([1.0, 0.5, 0.25, 0.0])
    plain, weighted = (agent.loss(experience, tf.constant(w)).extra for w in (np.ones(4, np.float32), weights))
    np.testing.assert_array_equal(weighted["priorities"], plain["priorities"])
    np.testing.assert_allclose(weighted["critic_loss"], np.mean(weights * plain["priorities"]), rtol=1e-5)
    losses, _ = agent.actor_loss(experience.observation["state"][:, 0])
    np.testing.assert_allclose(weighted["actor_loss"], np.mean(losses), rtol=1e-3, atol=1e-9)


def test_a_window_of_weight_zero_does_not_train_the_critic(eagerly):
    results = []
    for reward in (0.0, 4.0):
        agent = build("state")
        experience = bandit(agent)
        rewards = experience.reward.numpy()
        rewards[:3] = reward
        experience = experience._replace(reward=tf.constant(rewards))
        before = small_agents.values(agent)
        agent.train(experience, tf.zeros([B]))
        assert small_agents.changed(before, small_agents.values(agent)) == {"actor"}
        agent.train(experience, tf.constant([0.0, 0.0, 0.0, 1.0]))
        assert small_agents.changed(before, small_agents.values(agent)) == {"critic", "actor"}
        results.append(small_agents.values(agent))
    for a, b in zip(results[0]["critic"], results[1]["critic"]):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_it_learns_which_way_is_up():
    agent = build("state")
    windows, random = bandit(agent, batch_size=32), np.random.RandomState(0)
    before = agent._networks.actor(tf.ones([1, STATE_SIZE])).numpy()
    for _ in range(80):
        action = random.uniform(-1, 1, windows.action.shape).astype(np.float32)
        reward = 1.5 * (action[..., 0] - action[..., 1])
        agent.train(windows._replace(action=tf.constant(action), reward=tf.constant(reward)))
    after = agent._networks.actor(tf.ones([1, STATE_SIZE])).numpy()
    assert np.all(np.abs(before) < 0.1)
    assert after[0, 0] > 0.8 and after[0, 1] < -0.8
    ends = [agent._networks.critic.mean(tf.ones([1, STATE_SIZE]), tf.constant([a])) for a in ([1.0, -1.0], [-1.0, 1.0])]
    assert ends[0] > 0.3 > -0.3 > ends[1]  # on the way to 3 and -3
