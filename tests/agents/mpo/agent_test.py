import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.mpo import builder
from slac_tf.losses import n_step
from slac_tf.networks import encoders, representations

STATE_SIZE = 3
BATCH_SIZE = 4
NUM_SAMPLES = 3
LEARNING_RATES = {"critic": 1e-2, "actor": 1e-2, "dual": 1e-2}
NEVER = 1000  # a period longer than any test


def build(observation="pixels", seed=0, **kwargs):
    """A small agent. On pixels it sees two frames."""
    time_step_spec, action_spec = fakes.specs()
    if observation == "state":
        time_step_spec = time_step_spec._replace(observation={"state": tf.TensorSpec([STATE_SIZE], tf.float32)})
    encoder = functools.partial(encoders.build_control_suite_encoder, base_depth=1)
    settings = dict(
        representation=functools.partial(representations.StackedFrames, encoder=encoder, length=2),
        pixel_layer_size=5,
        batch_size=BATCH_SIZE,
        actor_hidden_sizes=(8,),
        critic_hidden_sizes=(8,),
        num_samples=NUM_SAMPLES,
        num_steps=2,
        target_update_period=NEVER,
    )
    settings.update({f"{name}_learning_rate": rate for name, rate in LEARNING_RATES.items()})
    settings.update(kwargs)
    tf.keras.utils.set_random_seed(seed)
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    return builder.build_mpo(time_step_spec, action_spec, counter, **settings).agent


def experience(agent, seed=0, batch_size=BATCH_SIZE, step_types=None):
    """A random batch of windows as the agent wants them."""
    made = fakes.experience(seed, batch_size, agent.train_sequence_length, step_types)
    if "state" in agent.time_step_spec.observation:
        shape = (batch_size, agent.train_sequence_length, STATE_SIZE)
        states = np.random.RandomState(seed).normal(size=shape).astype(np.float32)
        made = made._replace(observation={"state": tf.constant(states)})
    return made


@pytest.fixture(scope="module")
def agent():
    """One agent on pixels for all tests that run the compiled train step: tracing it takes seconds."""
    return build()


@pytest.fixture(scope="module")
def of_state():
    """One agent on state, for the same reason; its targets are copied every third step."""
    return build("state", target_update_period=3)


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def no_noise(monkeypatch):
    """Sampled actions are the means."""
    monkeypatch.setattr(tf.random, "normal", tf.zeros)


def groups(agent):
    """All variables, by what trains them."""
    return {
        "encoder": list(agent._networks.representation.variables),
        "critic": list(agent._networks.critic.variables),
        "actor": list(agent._networks.actor.variables),
        "dual": [agent._dual.log_temperature, agent._dual.log_alpha_mean, agent._dual.log_alpha_std],
        "targets": list(agent._target.variables),
    }


def values(agent):
    return {name: [v.numpy() for v in variables] for name, variables in groups(agent).items()}


def changed(before, after):
    """Names of the groups in which every variable changed; fails where a group changed in part."""
    names = set()
    for name in before:
        moved = [bool(np.any(a != b)) for a, b in zip(before[name], after[name])]
        assert all(moved) or not any(moved), (name, moved)
        if any(moved):
            names.add(name)
    return names


def set_learning_rates(agent, **rates):
    for name in LEARNING_RATES:
        getattr(agent, f"_{name}_optimizer").learning_rate = rates.get(name, 0.0)


def optimizers(agent):
    return {name: getattr(agent, f"_{name}_optimizer") for name in LEARNING_RATES}


def assert_all_equal(variables, arrays):
    assert len(variables) == len(arrays)
    for a, b in zip(variables, arrays):
        np.testing.assert_array_equal(a, b)


# What trains what


@pytest.mark.parametrize("name", ["agent", "of_state"])
def test_the_groups_are_all_trainable_variables(request, name):
    agent = request.getfixturevalue(name)
    listed = [v.ref() for variables in groups(agent).values() for v in variables]
    assert len(listed) == len(set(listed))
    assert set(listed) == {v.ref() for v in agent.trainable_variables}


@pytest.mark.parametrize(
    ("loss", "expected"), [("critic", {"critic", "encoder"}), ("actor", {"actor"}), ("dual", {"dual"})]
)
def test_each_optimizer_trains_its_variables_and_no_others(agent, loss, expected):
    set_learning_rates(agent, **{loss: 1e-2})
    before = values(agent)
    agent.train(experience(agent))
    assert changed(before, values(agent)) == expected


@pytest.mark.parametrize(
    ("loss", "expected"), [("critic", {"critic", "encoder"}), ("policy", {"actor"}), ("dual", {"dual"})]
)
def test_each_losss_gradient_reaches_its_variables_and_no_others(agent, loss, expected):
    batch = experience(agent)
    returns = n_step.n_step(batch.reward[:, 1:3], batch.discount[:, 1:3], batch.step_type[:, 2:4], 0.99)
    with tf.GradientTape() as tape:
        seen = representations.at(
            agent._target.representation, batch.observation, batch.step_type, tf.fill([BATCH_SIZE], 3)
        )
        # As in the train step, where neither what is seen nor the samples are on the tape.
        seen = tf.stop_gradient(seen)
        actions = tf.stop_gradient(agent._target.actor.samples(seen, NUM_SAMPLES))
        qs = agent._target_qs(seen, actions)
        policy_loss, dual_loss, _ = agent.policy_loss(seen, actions, qs)
        critic_losses, _ = agent.critic_loss(batch, returns, tf.reduce_mean(qs, axis=0))
        value = {"critic": critic_losses, "policy": policy_loss, "dual": dual_loss}[loss]
    of_groups = tape.gradient(value, groups(agent))
    for name, gradients in of_groups.items():
        if name in expected:
            assert all(gradient is not None and np.any(gradient != 0) for gradient in gradients), name
        else:
            assert all(gradient is None for gradient in gradients), name


def test_the_train_step(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    steps, before = int(agent.train_step_counter), values(agent)
    for seed in range(3):
        info = agent.train(experience(agent, seed=seed))
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert int(agent.train_step_counter) == steps + 3
    assert changed(before, values(agent)) == {"encoder", "critic", "actor", "dual"}
    assert set(info.extra) == {
        *("critic_loss", "q_mean", "q_target_mean", "policy_loss", "dual_loss", "temperature", "e_step_kl"),
        *("kl_mean", "kl_std", "policy_std", "alpha_mean", "alpha_std"),
    }
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    parts = [info.extra[f"{name}_loss"] for name in ("critic", "policy", "dual")]
    np.testing.assert_allclose(info.loss, np.sum(parts), rtol=1e-5)


def test_the_train_step_on_state(of_state):
    set_learning_rates(of_state, **LEARNING_RATES)
    before = values(of_state)
    for seed in range(3):
        info = of_state.train(experience(of_state, seed=seed))
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    assert changed(before, values(of_state)) == {"critic", "actor", "dual", "targets"}


def test_targets_are_copied_every_so_often_and_exactly(of_state):
    set_learning_rates(of_state, **LEARNING_RATES)
    held = values(of_state)["targets"]
    copies = 0
    for seed in range(7):
        of_state.train(experience(of_state, seed=seed))
        if int(of_state.train_step_counter) % 3 == 0:
            held = [v.numpy() for v in of_state._networks.variables]
            copies += 1
        else:
            assert any(np.any(a != b) for a, b in zip(of_state._networks.variables, held))
        assert_all_equal(of_state._target.variables, held)
    assert copies >= 2


def test_the_targets_encoder_is_copied(eagerly):
    agent = build(target_update_period=2)
    before = values(agent)
    agent.train(experience(agent))
    assert changed(before, values(agent)) == {"encoder", "critic", "actor", "dual"}
    agent.train(experience(agent))
    assert changed(before, values(agent)) == {"encoder", "critic", "actor", "dual", "targets"}
    encoder = agent._networks.representation.variables
    assert len(encoder) == 4
    assert_all_equal(agent._target.representation.variables, [v.numpy() for v in encoder])


# Critic


@pytest.fixture(scope="module")
def still():
    """An agent on state with three-step returns that does not learn; Q is 3, Q̄ is 5."""
    rates = {f"{name}_learning_rate": 0.0 for name in LEARNING_RATES}
    agent = build("state", num_steps=3, gamma=0.9, **rates)
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
    batch = experience(agent, batch_size=1, step_types=step_types)
    state = batch.observation["state"].numpy()
    state[..., 0] = 10 * np.arange(4)
    return batch._replace(
        observation={"state": tf.constant(state)},
        reward=tf.constant([[1.0, 2.0, 3.0, 100.0]]),
        discount=tf.constant(discounts),
    )


@pytest.mark.parametrize("end", ENDS)
def test_critic_loss_by_hand(eagerly, still, end):
    returns, factor, _ = RETURNS[end]
    y = returns + factor * 5
    extra = still.train(window_that_ends(still, end)).extra
    np.testing.assert_allclose(extra["q_mean"], 3.0)
    np.testing.assert_allclose(extra["q_target_mean"], y, rtol=1e-6)
    np.testing.assert_allclose(extra["critic_loss"], 0.5 * (3 - y) ** 2, rtol=1e-5)


@pytest.mark.parametrize("end", ENDS)
def test_the_target_is_of_the_state_behind_the_return(eagerly, still, monkeypatch, end):
    def value_of_the_step(seen, actions):
        return tf.tile(seen[tf.newaxis, :, 0], [actions.shape[0], 1])

    monkeypatch.setattr(still, "_target_qs", value_of_the_step)
    returns, factor, step = RETURNS[end]
    extra = still.train(window_that_ends(still, end)).extra
    np.testing.assert_allclose(extra["q_target_mean"], returns + factor * 10 * step, rtol=1e-6)


def test_the_target_is_the_mean_over_the_samples(eagerly, still, monkeypatch):
    monkeypatch.setattr(still, "_target_qs", lambda seen, actions: tf.constant([[1.0], [2.0], [6.0]]))
    extra = still.train(window_that_ends(still, "none")).extra
    np.testing.assert_allclose(extra["q_target_mean"], 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 3, rtol=1e-6)


def test_samples_are_of_the_target_policy_at_that_state_and_not_clipped(eagerly, monkeypatch):
    agent = build("state")
    fakes.make_constant(agent._networks.actor, [-7.0, -7.0, 0.0, 0.0])
    fakes.make_constant(agent._target.actor, [5.0, 4.0, 0.0, 0.0])
    given, target_qs = {}, agent._target_qs

    def spy(seen, actions):
        given.update(seen=seen, actions=actions)
        return target_qs(seen, actions)

    monkeypatch.setattr(agent, "_target_qs", spy)
    batch = experience(agent)
    agent.train(batch)
    np.testing.assert_array_equal(given["seen"], batch.observation["state"][:, 2])
    assert given["actions"].shape == (NUM_SAMPLES, BATCH_SIZE, fakes.ACTION_SIZE)
    # Within six standard deviations of 0.3, and no two alike.
    np.testing.assert_allclose(given["actions"], np.broadcast_to([5.0, 4.0], [3, 4, 2]), atol=1.8)
    assert len(np.unique(given["actions"])) == given["actions"].shape.num_elements()


def test_the_state_behind_the_return_is_seen_by_the_target_encoder(eagerly, monkeypatch):
    agent = build()
    fakes.fill(agent._target.representation)
    given, target_qs = {}, agent._target_qs

    def spy(seen, actions):
        given.update(seen=seen)
        return target_qs(seen, actions)

    monkeypatch.setattr(agent, "_target_qs", spy)
    extra = agent.train(experience(agent)).extra
    np.testing.assert_array_equal(given["seen"], np.zeros([BATCH_SIZE, 29 * 29]))
    assert extra["q_mean"] != 0.0


def test_target_values_of_each_state_and_action():
    agent = build("state")
    random = np.random.RandomState(0)
    seen = tf.constant(random.normal(size=(2, STATE_SIZE)).astype(np.float32))
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
def test_frames_that_q_and_its_target_see(eagerly, no_noise, step_types, steps_of_q, steps_of_target):
    agent = build(**{f"{name}_learning_rate": 0.0 for name in LEARNING_RATES})
    batch = experience(agent, step_types=step_types)

    def look(frames):
        extra = agent.train(batch._replace(observation={"pixels": tf.constant(frames)})).extra
        return float(extra["q_mean"]), float(extra["q_target_mean"])

    frames = batch.observation["pixels"].numpy()
    usual = look(frames)
    for step in range(4):
        other = frames.copy()
        other[:, step] = 255 - other[:, step]
        q, target = look(other)
        assert (q != usual[0]) == (step in steps_of_q), step
        assert (target != usual[1]) == (step in steps_of_target), step


def test_the_action_that_q_is_of(eagerly, no_noise):
    agent = build(**{f"{name}_learning_rate": 0.0 for name in LEARNING_RATES})
    batch = experience(agent)

    def q(actions):
        return float(agent.train(batch._replace(action=tf.constant(actions))).extra["q_mean"])

    actions = batch.action.numpy()
    usual = q(actions)
    for step in range(4):
        other = actions.copy()
        other[:, step] *= -1
        assert (q(other) != usual) == (step == 1), step


def test_weights_scale_the_critics_loss_alone(eagerly, no_noise, still):
    batch = experience(still)
    one_by_one = [
        still.train(tf.nest.map_structure(lambda x, i=i: x[i : i + 1], batch)).extra["critic_loss"] for i in range(4)
    ]
    weights = np.array([0.0, 0.5, 1.0, 3.0], np.float32)
    usual, weighted = (still.train(batch, weights=w).extra for w in (None, tf.constant(weights)))
    np.testing.assert_allclose(usual["critic_loss"], np.mean(one_by_one), rtol=1e-5)
    np.testing.assert_allclose(weighted["critic_loss"], np.mean(weights * one_by_one), rtol=1e-5)
    for name in ("policy_loss", "dual_loss"):
        np.testing.assert_allclose(weighted[name], usual[name], rtol=1e-6)


def test_weights_scale_the_critics_gradient(eagerly):
    agent = build()
    before = values(agent)
    agent.train(experience(agent), weights=tf.zeros([BATCH_SIZE]))
    assert changed(before, values(agent)) == {"actor", "dual"}


# Policy and dual


def test_policy_and_dual_loss_by_hand():
    agent = build("state", epsilon=0.2, epsilon_mean=0.01, epsilon_std=0.001)
    fakes.make_constant(agent._networks.actor, [0.1, 0.1, 0.0, 0.0])
    fakes.make_constant(agent._target.actor, [0.0, 0.0, 0.0, 0.0])
    seen, actions = tf.zeros([2, STATE_SIZE]), tf.zeros([NUM_SAMPLES, 2, 2])
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
    batch = experience(agent)
    for _ in range(60):
        agent.train(batch)
    means = agent._networks.actor.mode(batch.observation["state"][:, 2]).numpy()
    assert np.all(means * [1.0, -1.0] > 0.1)


def test_the_dual_has_a_floor(eagerly):
    agent = build("state")
    set_learning_rates(agent)
    for variable in groups(agent)["dual"]:
        variable.assign(tf.fill(variable.shape, -30.0))
    info = agent.train(experience(agent))
    for variable in groups(agent)["dual"]:
        np.testing.assert_array_equal(variable, np.full(variable.shape, -18.0, np.float32))
    assert all(np.isfinite(value) for value in tf.nest.flatten(info))
    # There they still learn.
    set_learning_rates(agent, dual=1e-2)
    info = agent.train(experience(agent))
    assert all(np.isfinite(value) for value in tf.nest.flatten(info))
    assert float(info.extra["temperature"]) > 0.0
    assert any(np.any(v > -18.0) for v in groups(agent)["dual"])
    assert all(np.all(v >= -18.0) for v in groups(agent)["dual"])


# Optimizers


def first_moments(agent):
    """Of each optimizer's variables: a tenth of the gradient after the first step."""
    of = {"critic": ("critic", "encoder"), "actor": ("actor",), "dual": ("dual",)}
    return {
        name: [optimizer.get_slot(v, "m").numpy() for group in of[name] for v in groups(agent)[group]]
        for name, optimizer in optimizers(agent).items()
    }


def norm(arrays):
    return np.sqrt(sum(np.sum(np.square(a.astype(np.float64))) for a in arrays))


def test_gradients_of_critic_and_actor_are_clipped_to_a_global_norm(eagerly, no_noise):
    limit = 1e-4
    free, clipped = (build(clip_norm=clip_norm) for clip_norm in (1e9, limit))
    for agent in (free, clipped):
        agent.train(experience(agent))
    free, clipped = first_moments(free), first_moments(clipped)
    for name in ("critic", "actor"):
        scale = limit / (norm(free[name]) / 0.1)
        assert scale < 0.5
        assert norm(clipped[name]) / 0.1 == pytest.approx(limit, rel=1e-3)
        for a, b in zip(free[name], clipped[name]):  # all by one factor
            np.testing.assert_allclose(b, scale * a, rtol=1e-2, atol=1e-3 * limit)
    assert norm(free["dual"]) / 0.1 > limit
    for a, b in zip(free["dual"], clipped["dual"]):
        np.testing.assert_allclose(b, a, rtol=1e-5)


def test_learning_rates():
    rates = {"critic": 1e-3, "actor": 2e-3, "dual": 3e-3}
    agent = build("state", **{f"{name}_learning_rate": rate for name, rate in rates.items()})
    for name, optimizer in optimizers(agent).items():
        np.testing.assert_allclose(optimizer.learning_rate, rates[name])


@pytest.mark.parametrize("observation", ["pixels", "state"])
def test_moments_are_there_before_the_first_train_step(observation):
    agent = build(observation)
    sizes = {name: len(variables) for name, variables in groups(agent).items()}
    expected = {"critic": sizes["critic"] + sizes["encoder"], "actor": sizes["actor"], "dual": 3}
    for name, optimizer in optimizers(agent).items():
        assert len(optimizer.variables()) == 1 + 2 * expected[name]  # iterations, two moments each


@pytest.mark.parametrize("observation", ["pixels", "state"])
def test_save_and_restore_bring_back_everything(eagerly, tmp_path, observation):
    def all_variables(agent):
        return [*agent.variables, *(w for optimizer in optimizers(agent).values() for w in optimizer.variables())]

    agent = build(observation)
    agent.train(experience(agent))
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    saved = [v.numpy() for v in all_variables(agent)]

    other = build(observation, seed=9)
    fresh = all_variables(other)
    assert [v.shape for v in fresh] == [v.shape for v in saved]
    # Weights, both Adam moments of each that is trained, counters: most differ before.
    assert np.mean([bool(np.any(a.numpy() != b)) for a, b in zip(fresh, saved)]) > 0.6
    assert int(other.train_step_counter) == 0
    tf.train.Checkpoint(agent=other).read(path).assert_consumed()
    assert_all_equal(all_variables(other), saved)
    assert int(other.train_step_counter) == 1
    assert all(int(optimizer.iterations) == 1 for optimizer in optimizers(other).values())
