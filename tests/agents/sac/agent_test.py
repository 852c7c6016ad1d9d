import functools
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.sac import builder
from slac_tf.losses import sac
from slac_tf.networks import encoders, representations

LEARNING_RATES = {"critic": 3e-3, "actor": 3e-3, "alpha": 3e-3}
TAU = 0.25
LENGTH = 2  # frames; windows hold 3 steps, the transition trained on leads from step 1 to step 2
STATE_SIZE = 3
NAMES = {"critic_loss", "actor_loss", "alpha_loss", "alpha"}
frame_features = functools.partial(
    representations.FrameFeatures, functools.partial(encoders.build_slac_encoder, base_depth=1), LENGTH
)


def state_specs():
    time_step_spec, action_spec = fakes.specs()
    return time_step_spec._replace(observation={"state": tf.TensorSpec([STATE_SIZE], tf.float32)}), action_spec


def build(kind="pixels", seed=0, **kwargs):
    """`kind`: 'pixels', 'pixels on state' for the same agent where only the state is observed, or 'state'."""
    tf.keras.utils.set_random_seed(seed)
    settings = {f"{name}_learning_rate": rate for name, rate in LEARNING_RATES.items()}
    settings.update({"target_update_tau": TAU, "batch_size": fakes.BATCH_SIZE, "hidden_sizes": (8,), **kwargs})
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    if kind == "pixels":
        return builder.build_sac_pixels(*fakes.specs(), counter, representation=frame_features, **settings).agent
    make = builder.build_sac_state if kind == "state" else builder.build_sac_pixels
    return make(*state_specs(), counter, **settings).agent


def state_experience(seed=0, **kwargs):
    experience = fakes.experience(seed=seed, length=2, **kwargs)
    states = np.random.RandomState(seed).normal(size=(*experience.reward.shape, STATE_SIZE)).astype(np.float32)
    return experience._replace(observation={"state": tf.constant(states)})


def experience(kind="pixels", **kwargs):
    return fakes.experience(**kwargs) if kind == "pixels" else state_experience(**kwargs)


@pytest.fixture(scope="module")
def agent():
    """One agent for all tests that run the compiled train step: tracing it takes seconds."""
    return build()


@pytest.fixture(scope="module")
def state_agent():
    return build("state")


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def groups(agent):
    """All variables, by what trains them."""
    nets = agent._networks
    return {
        "encoder": list(nets.representation.trainable_variables),
        "critics": [v for critic in nets.critics for v in critic.variables],
        "targets": [v for critic in nets.target_critics for v in critic.variables],
        "actor": list(nets.actor.variables),
        "alpha": [agent._log_alpha],
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
                assert did_move or value.ndim == 1, name  # dead ReLUs may leave a bias where it is
    return names


def set_learning_rates(agent, **rates):
    for name in LEARNING_RATES:
        getattr(agent, f"_{name}_optimizer").learning_rate = rates.get(name, 0.0)


def test_the_groups_are_all_trainable_variables(agent):
    listed = [v.ref() for variables in groups(agent).values() for v in variables]
    assert len(listed) == len(set(listed))
    assert set(listed) == {v.ref() for v in agent.trainable_variables}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("critic", {"critics", "encoder", "targets"}),  # the targets only follow
        ("actor", {"actor"}),
        ("alpha", {"alpha"}),
    ],
)
def test_each_loss_trains_its_variables_and_no_others(agent, loss, expected):
    agent._update_targets(1.0)  # else they would go on towards the critics
    set_learning_rates(agent, **{loss: 1e-2})
    before = values(agent)
    agent.train(fakes.experience())
    assert changed(before, values(agent)) == expected


def reached(tape, loss, agent):
    """Names of the groups that a loss has a gradient to; all variables of a group, or none."""
    names = set()
    for name, variables in groups(agent).items():
        found = [gradient is not None for gradient in tape.gradient(loss, variables)]
        assert all(found) or not any(found), name
        if all(found):
            names.add(name)
    return names


def test_gradients_reach_critics_and_encoder_from_the_critic_loss_alone():
    agent, window = build(), fakes.experience()
    alpha = tf.exp(agent._log_alpha)
    with tf.GradientTape(persistent=True) as tape:
        seen, next_seen = agent._see(window, 1), agent._see(window, 2)
        tape.watch(next_seen)
        critic_loss, _ = agent.critic_loss(window, seen, next_seen, tf.exp(agent._log_alpha))
        actor_loss, log_prob = agent.actor_loss(tf.stop_gradient(seen), tf.exp(agent._log_alpha))
        alpha_loss = sac.alpha_loss(agent._log_alpha, log_prob, -2.0)
    assert reached(tape, critic_loss, agent) == {"critics", "encoder"}
    assert tape.gradient(critic_loss, next_seen) is None
    # It passes through the critics, which the actor's optimizer is not given.
    assert reached(tape, actor_loss, agent) == {"actor", "critics"}
    assert reached(tape, alpha_loss, agent) == {"alpha"}
    assert float(alpha) == 1.0


def test_optimizers_hold_moments_of_what_they_train_from_the_start():
    agent = build()
    for name, trained in (("critic", ("critics", "encoder")), ("actor", ("actor",)), ("alpha", ("alpha",))):
        optimizer = getattr(agent, f"_{name}_optimizer")
        variables = [v for group in trained for v in groups(agent)[group]]
        assert len(optimizer.variables()) == 1 + 2 * len(variables)
        assert {optimizer.get_slot(v, "m").shape for v in variables} == {v.shape for v in variables}


def test_targets_follow_the_critics_by_tau(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    before = values(agent)
    agent.train(fakes.experience())
    after = values(agent)
    assert changed(before, after) == set(before)
    for old, new, critic in zip(before["targets"], after["targets"], after["critics"]):
        np.testing.assert_allclose(new, (1 - TAU) * old + TAU * critic, rtol=1e-5, atol=1e-7)


def test_the_train_step_is_traced_once(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    steps = int(agent.train_step_counter)
    for seed in range(3):
        info = agent.train(fakes.experience(seed=seed))
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert int(agent.train_step_counter) == steps + 3
    assert set(info.extra) == {*NAMES, "q_mean", "q_target_mean", "entropy"}
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))


def test_save_and_restore_bring_back_everything(agent, tmp_path):
    def all_variables(agent):
        optimizers = (agent._critic_optimizer, agent._actor_optimizer, agent._alpha_optimizer)
        return [*agent.variables, *(w for optimizer in optimizers for w in optimizer.variables())]

    set_learning_rates(agent, **LEARNING_RATES)
    agent.train(fakes.experience())
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    other = build(seed=9)
    fresh, saved = all_variables(other), all_variables(agent)
    assert [v.shape for v in fresh] == [v.shape for v in saved]
    tf.train.Checkpoint(agent=other).read(path).assert_consumed()
    for a, b in zip(fresh, saved):
        np.testing.assert_array_equal(a, b)


def test_it_learns_a_reward_that_the_frames_show(agent):
    set_learning_rates(agent, critic=1e-2)
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
    before = values(agent)
    agent.train(window)
    np.testing.assert_allclose(given[0], expected, atol=1e-6)
    assert "encoder" in changed(before, values(agent))  # it was the encoder before the step


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
    losses, log_prob = constant.actor_loss(tf.zeros([4, LENGTH * 8]), tf.constant(0.5))
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
    before = values(agent)
    agent.train(fakes.experience(), weights=tf.zeros([fakes.BATCH_SIZE]))
    assert changed(before, values(agent)) == set()
    agent.train(fakes.experience(), weights=tf.constant([0.0, 0.0, 0.0, 1.0]))
    assert changed(before, values(agent)) == set(before)


# The same agent where only the state is observed.


def test_from_state_alone():
    agent = build("pixels on state")
    assert agent.train_sequence_length == 2
    assert groups(agent)["encoder"] == []
    before = values(agent)
    for seed in range(2):
        info = agent.train(state_experience(seed))
    assert changed(before, values(agent)) == {"critics", "targets", "actor", "alpha"}
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    seen = agent._see(state_experience(), 0), agent._see(state_experience(), 1)
    for step in (0, 1):
        np.testing.assert_array_equal(seen[step], state_experience().observation["state"][:, step])


# TF-Agents' own agent, on the state.


def test_state_losses_are_finite_scalars_by_name(state_agent):
    steps = int(state_agent.train_step_counter)
    for seed in range(3):
        info = state_agent.train(state_experience(seed))
    assert state_agent._compiled_train.experimental_get_tracing_count() == 1
    assert int(state_agent.train_step_counter) == steps + 3
    assert set(info.extra) == NAMES
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    assert float(info.loss) == pytest.approx(sum(float(info.extra[name]) for name in NAMES - {"alpha"}), rel=1e-5)
    np.testing.assert_allclose(info.extra["alpha"], tf.exp(state_agent._log_alpha), rtol=1e-6)


def state_optimizers(agent):
    critics = (agent._critic_network_1, agent._critic_network_2)
    return (
        (agent._critic_optimizer, [v for critic in critics for v in critic.trainable_variables]),
        (agent._actor_optimizer, agent._actor_network.trainable_variables),
        (agent._alpha_optimizer, [agent._log_alpha]),
    )


def test_state_optimizers_hold_moments_before_the_first_step(state_agent, tmp_path):
    fresh = build("state", seed=9)
    for optimizer, variables in state_optimizers(fresh):
        assert len(optimizer.variables()) == 1 + 2 * len(variables)
    state_agent.train(state_experience())
    path = tf.train.Checkpoint(agent=state_agent).write(str(tmp_path / "agent"))
    tf.train.Checkpoint(agent=fresh).read(path).assert_consumed()
    for (restored, variables), (saved, others) in zip(state_optimizers(fresh), state_optimizers(state_agent)):
        assert len(saved.variables()) == 1 + 2 * len(others)  # training made no more
        for a, b in zip((*restored.variables(), *variables), (*saved.variables(), *others)):
            np.testing.assert_array_equal(a, b)


def test_state_targets_follow_by_tau(state_agent):
    critics = (state_agent._critic_network_1, state_agent._critic_network_2)
    targets = (state_agent._target_critic_network_1, state_agent._target_critic_network_2)
    before = [[v.numpy() for v in target.variables] for target in targets]
    state_agent.train(state_experience())
    for critic, target, old in zip(critics, targets, before):
        for c, t, o in zip(critic.variables, target.variables, old):
            np.testing.assert_allclose(t, (1 - TAU) * o + TAU * c, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("discount", [1.0, 0.0])
def test_state_critic_loss_is_the_projects_own(eagerly, discount):
    agent = build("state", gamma=0.9, initial_alpha=0.5)
    for target in (agent._target_critic_network_1, agent._target_critic_network_2):
        for variable in target.variables:  # else they are the critics
            variable.assign(1.3 * variable + 0.1)
    step_types = [[MID, LAST]] * 2 + [[FIRST, MID]] * 2
    window = state_experience(step_types=step_types)
    window = window._replace(discount=window.discount * discount)
    now, after = ({"state": window.observation["state"][:, i]} for i in (0, 1))

    def q(net, observation, action):
        return net((observation, action), step_type=())[0]

    tf.random.set_seed(7)
    pi = agent._actor_network(after, step_type=(), network_state=())[0]
    action = pi.sample()
    target = sac.td_target(
        reward=window.reward[:, 0],
        discount=window.discount[:, 0],
        next_qs=[q(net, after, action) for net in (agent._target_critic_network_1, agent._target_critic_network_2)],
        next_log_prob=pi.log_prob(action),
        alpha=tf.constant(0.5),
        gamma=0.9,
    )
    qs = [q(net, now, window.action[:, 0]) for net in (agent._critic_network_1, agent._critic_network_2)]
    expected = tf.reduce_mean(sac.critic_loss(qs, target))

    tf.random.set_seed(7)  # the critic loss draws first
    found = agent.train(window).extra["critic_loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_state_target_entropy(state_agent):
    assert state_agent._target_entropy == -fakes.ACTION_SIZE
