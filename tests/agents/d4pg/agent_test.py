import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.d4pg import builder
from slac_tf.networks import encoders, representations

B = fakes.BATCH_SIZE
FRAMES = 2  # steps 0 and 1 of a window; 1 is trained on
NUM_STEPS = 2  # transitions from step 1 to 2 and from 2 to 3
LENGTH = FRAMES + NUM_STEPS
PERIOD = 3
GAMMA = 0.5
STATE_SIZE = 3

StackedFrames = functools.partial(
    representations.StackedFrames,
    encoder=functools.partial(encoders.build_control_suite_encoder, base_depth=1),
    length=FRAMES,
)


def build(observation="pixels", seed=0, **kwargs):
    """A small agent; its support is the integers from -4 to 4."""
    tf.keras.utils.set_random_seed(seed)
    time_step_spec, action_spec = fakes.specs()
    if observation == "state":
        time_step_spec = time_step_spec._replace(observation={"state": tf.TensorSpec([STATE_SIZE], tf.float32)})
    settings = dict(
        representation=StackedFrames,
        pixel_layer_size=8,
        batch_size=B,
        actor_hidden_sizes=(8,),
        critic_hidden_sizes=(8,),
        critic_learning_rate=1e-3,
        actor_learning_rate=1e-3,
        num_atoms=9,
        min_value=-4.0,
        max_value=4.0,
        num_steps=NUM_STEPS,
        gamma=GAMMA,
        target_update_period=PERIOD,
    )
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    return builder.build_d4pg(time_step_spec, action_spec, counter, **{**settings, **kwargs}).agent


def states(experience, seed=0):
    """The experience with a state in place of pixels."""
    shape = (*experience.step_type.shape, STATE_SIZE)
    values = np.random.RandomState(seed).normal(size=shape).astype(np.float32)
    return experience._replace(observation={"state": tf.constant(values)})


def bandit(seed=0, batch_size=B):
    """Windows of states that end, with an integer reward, in the transition that is trained on."""
    experience = states(fakes.experience(seed, batch_size, 1 + NUM_STEPS, [MID, LAST, FIRST]), seed)
    rewards = np.random.RandomState(seed).randint(-3, 4, (batch_size, 1 + NUM_STEPS)).astype(np.float32)
    discounts = np.tile(np.float32([0, 1, 1]), (batch_size, 1))
    return experience._replace(reward=tf.constant(rewards), discount=tf.constant(discounts))


@pytest.fixture(scope="module")
def agent():
    """From pixels, sampled uniformly: tracing its train step takes seconds."""
    return build()


@pytest.fixture(scope="module")
def state_agent():
    """From state, with priorities."""
    return build("state", priority_exponent=0.6)


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def groups(agent):
    """All variables, by what trains them."""
    return {
        "encoder": agent._networks.representation.variables,
        "critic": agent._networks.critic.variables,
        "actor": agent._networks.actor.variables,
        "target_encoder": agent._target.representation.variables,
        "target_critic": agent._target.critic.variables,
        "target_actor": agent._target.actor.variables,
    }


def values(agent):
    return {name: [v.numpy() for v in variables] for name, variables in groups(agent).items()}


def changed(before, after):
    """Names of the groups in which every kernel changed; fails where a group changed in part."""
    names = set()
    for name in before:
        moved = [bool(np.any(a != b)) for a, b in zip(before[name], after[name])]
        if any(moved):
            names.add(name)
            for value, did_move in zip(before[name], moved):
                assert did_move or value.ndim == 1, name
    return names


def assert_targets_are_copies(agent):
    now = values(agent)
    for name in ("encoder", "critic", "actor"):
        for a, b in zip(now[name], now[f"target_{name}"]):
            np.testing.assert_array_equal(a, b)


def set_learning_rates(agent, critic=0.0, actor=0.0):
    agent._critic_optimizer.learning_rate = critic
    agent._actor_optimizer.learning_rate = actor


def set_step(agent, step):
    agent.train_step_counter.assign(step)


def test_the_groups_are_all_trainable_variables(agent):
    listed = [v.ref() for variables in groups(agent).values() for v in variables]
    assert len(listed) == len(set(listed))
    assert set(listed) == {v.ref() for v in agent.trainable_variables}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"critic": 1e-2}, {"critic", "encoder"}),
        ({"actor": 1e-2}, {"actor"}),
        ({"critic": 1e-2, "actor": 1e-2}, {"critic", "encoder", "actor"}),
        ({}, set()),
    ],
)
def test_each_loss_trains_its_variables_and_no_others(agent, rates, expected):
    set_step(agent, 0)
    set_learning_rates(agent, **rates)
    before = values(agent)
    agent.train(fakes.experience(length=LENGTH))
    assert changed(before, values(agent)) == expected


def test_targets_are_copied_exactly_each_period(agent):
    set_learning_rates(agent, critic=1e-2, actor=1e-2)
    set_step(agent, 0)
    online = {"critic", "encoder", "actor"}
    for step in range(1, 2 * PERIOD + 1):
        before = values(agent)
        agent.train(fakes.experience(seed=step, length=LENGTH))
        moved = changed(before, values(agent))
        if step % PERIOD == 0:
            assert moved == set(before)
            assert_targets_are_copies(agent)  # of the weights after the step
        else:
            assert moved == online
    assert int(agent.train_step_counter) == 2 * PERIOD


def test_targets_start_as_copies():
    agent = build("state", seed=5)
    assert all(a is not b for a, b in zip(agent._networks.variables, agent._target.variables))
    assert_targets_are_copies(agent)


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


def test_the_train_step_is_traced_once(agent):
    set_learning_rates(agent, critic=1e-3, actor=1e-3)
    for seed in range(3):
        info = agent.train(fakes.experience(seed=seed, length=LENGTH))
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert set(info.extra) == {  # no priorities: nobody asked for them
        *("critic_loss", "critic_kl", "actor_loss"),
        *("q_mean", "q_target_mean", "target_at_ends"),
    }
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    np.testing.assert_allclose(info.loss, info.extra["critic_loss"] + info.extra["actor_loss"], rtol=1e-5)


def losses_of(agent, experience):
    """The critic's loss, with all weights as they are."""
    set_learning_rates(agent)
    return float(agent.train(experience).extra["critic_loss"])


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
    usual = losses_of(agent, experience)
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
            assert (abs(losses_of(agent, other) - usual) > 2e-6) == counts, (name, step)  # else rounding


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
    experience = states(fakes.experience(length=1 + NUM_STEPS))
    saved = values(agent)

    def moves(module):
        usual = agent._critic_target(experience)[0].numpy()
        kernel = module._mlp._layers[-1].kernel
        kernel.assign_add(tf.random.normal(kernel.shape))
        return bool(np.any(agent._critic_target(experience)[0].numpy() != usual))

    assert moves(agent._target.critic)
    assert moves(agent._target.actor)
    assert not moves(agent._networks.critic)
    assert not moves(agent._networks.actor)
    for name, variables in groups(agent).items():
        for variable, value in zip(variables, saved[name]):
            variable.assign(value)


def test_target_by_hand():
    agent = build("state")
    # The target critic puts all on 2, the seventh of the atoms -4 … 4.
    fakes.make_constant(agent._target.critic, 100 * tf.one_hot(6, 9))
    types = [[MID, MID, MID], [MID, LAST, FIRST], [MID, LAST, FIRST], [MID, MID, LAST], [MID, MID, LAST]]
    experience = states(fakes.experience(batch_size=5, length=3, step_types=types))
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
    agent, experience = state_agent, bandit()
    set_learning_rates(agent)
    extra = agent.train(experience, tf.ones([B])).extra
    # The target is all on the reward, an atom: KL is -log of the critic's probability there.
    logits = agent._networks.critic(experience.observation["state"][:, 0], experience.action[:, 0])
    index = (experience.reward[:, 0].numpy() + 4).astype(int)
    expected = -tf.math.log_softmax(logits).numpy()[np.arange(B), index]
    assert extra["priorities"].shape == (B,)
    np.testing.assert_allclose(extra["priorities"], expected, rtol=1e-4)
    np.testing.assert_allclose(extra["critic_kl"], np.mean(expected), rtol=1e-4)
    np.testing.assert_allclose(extra["critic_loss"], np.mean(expected), rtol=1e-4)
    for seed in range(3):
        assert np.all(agent.train(states(fakes.experience(seed, length=3)), tf.ones([B])).extra["priorities"] >= 0)


def test_importance_weights_scale_the_critics_loss_alone(state_agent):
    agent, experience = state_agent, bandit()
    set_learning_rates(agent)
    weights = np.float32([1.0, 0.5, 0.25, 0.0])
    plain, weighted = (agent.train(experience, tf.constant(w)).extra for w in (np.ones(4, np.float32), weights))
    np.testing.assert_array_equal(weighted["priorities"], plain["priorities"])
    np.testing.assert_allclose(weighted["critic_loss"], np.mean(weights * plain["priorities"]), rtol=1e-5)
    losses, _ = agent.actor_loss(experience.observation["state"][:, 0])
    np.testing.assert_allclose(weighted["actor_loss"], np.mean(losses), rtol=1e-3, atol=1e-9)


def test_a_window_of_weight_zero_does_not_train_the_critic(eagerly):
    reward = bandit().reward.numpy()
    reward[:3] = 4.0
    results = []
    for experience in (bandit(), bandit()._replace(reward=tf.constant(reward))):
        agent = build("state")
        before = values(agent)
        agent.train(experience, tf.zeros([B]))
        assert changed(before, values(agent)) == {"actor"}
        agent.train(experience, tf.constant([0.0, 0.0, 0.0, 1.0]))
        assert changed(before, values(agent)) == {"critic", "actor"}
        results.append(values(agent))
    for a, b in zip(results[0]["critic"], results[1]["critic"]):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_gradients_are_clipped_to_a_global_norm(eagerly):
    agent = build("state", clip_norm=1e-6)
    agent.train(bandit())
    parts = (
        (agent._critic_optimizer, agent._networks.critic.trainable_variables),
        (agent._actor_optimizer, agent._networks.actor.trainable_variables),
    )
    for optimizer, variables in parts:
        # Adam's first moment after a step: (1 - 0.9) times the gradient.
        moments = [optimizer.get_slot(variable, "m") for variable in variables]
        np.testing.assert_allclose(tf.linalg.global_norm(moments), 0.1 * 1e-6, rtol=1e-3)


def test_it_learns_which_way_is_up():
    agent = build("state", critic_learning_rate=1e-2, actor_learning_rate=1e-2)
    windows, random = bandit(batch_size=32), np.random.RandomState(0)
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


@pytest.mark.parametrize("observation", ["pixels", "state"])
def test_save_and_restore_bring_back_everything(eagerly, tmp_path, observation):
    def all_variables(agent):
        return [*agent.variables, *agent._critic_optimizer.variables(), *agent._actor_optimizer.variables()]

    agent = build(observation)
    experience = fakes.experience(length=LENGTH) if observation == "pixels" else bandit()
    for _ in range(2):
        agent.train(experience)
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    saved = [v.numpy() for v in all_variables(agent)]

    other = build(observation, seed=9)
    fresh = all_variables(other)
    assert [v.shape for v in fresh] == [v.shape for v in saved]
    assert np.mean([bool(np.any(a.numpy() != b)) for a, b in zip(fresh, saved)]) > 0.7
    tf.train.Checkpoint(agent=other).read(path).assert_consumed()
    for a, b in zip(all_variables(other), saved):
        np.testing.assert_array_equal(a, b)
    assert int(other._critic_optimizer.iterations) == int(other._actor_optimizer.iterations) == 2
    assert int(other.train_step_counter) == 2


def test_experience_of_another_length_is_refused(agent):
    with pytest.raises(ValueError):
        agent.train(fakes.experience(length=LENGTH + 1))
