"""Planning with a latent model; each check beside the variant that must fail it."""

import fakes
import known_model
import numpy as np
import plain_tensorflow
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.trajectories import time_step as ts

from slac_tf.export import saved_model
from slac_tf.latent_models import heads, rssm
from slac_tf.planning import cem
from slac_tf.policies import planner_policy
from slac_tf.utils import images

# Two rows whose episodes begin at different times; the second one's second episode has a single action.
STEP_TYPES = np.int32([[FIRST, MID, MID, LAST, FIRST, MID], [FIRST, LAST, FIRST, LAST, FIRST, MID]])
NUM_STEPS = STEP_TYPES.shape[1]
FRAMES = np.random.RandomState(0).randint(0, 256, (2, NUM_STEPS, 64, 64, 3)).astype(np.uint8)
FEW = cem.CemSettings(horizon=3, iterations=2, candidates=6, elites=3)
MANY = cem.CemSettings(horizon=5, iterations=5, candidates=100, elites=10)


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(4)
    sizes = dict(h_size=5, s_size=3, base_depth=1, hidden_sizes=(8,), reward_hidden_sizes=(8,), free_nats=0.0)
    made = rssm.RSSM(fakes.ACTION_SIZE, **sizes, reward_of_arrival=True)
    for variable in made.variables:  # far from zero, so that everything that is read matters
        variable.assign(1.5 * variable)
    return made


@pytest.fixture
def no_noise(monkeypatch):
    """Latents are their means, and frames are bytes without noise."""
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    monkeypatch.setattr(images, "quantize", images.to_float)


def make_policy(model, settings=FEW, scale=0.0, specs=None):
    return planner_policy.PlannerPolicy(*(specs or fakes.specs()), model, settings, exploration_scale=scale)


def time_step(step_types, frames):
    ones = tf.ones([len(frames)])
    return ts.TimeStep(tf.constant(step_types, tf.int32), 0 * ones, ones, {"pixels": tf.constant(frames)})


def act(policy):
    """Actions `[B, N, A]` and states `[B, N, D]` by name, of both rows."""
    state, states = policy.get_initial_state(2), []
    for t in range(NUM_STEPS):
        step = policy.action(time_step(STEP_TYPES[:, t], FRAMES[:, t]), state)
        state = step.state
        states.append({**state, "taken": step.action})
    return {name: np.stack([each[name] for each in states], axis=1) for name in states[0]}


# What it knows


def test_it_filters_what_training_filters(model, no_noise):
    acted = act(make_policy(model))
    np.testing.assert_array_equal(acted["action"], acted["taken"])

    def filtered(actions, rows=slice(None), step_types=STEP_TYPES):
        features = model.encoder(tf.constant(FRAMES[rows]))
        return model.posterior(features, tf.constant(actions[rows]), tf.constant(step_types[rows]))

    taken = acted["taken"]
    for row in (slice(None), slice(0, 1), slice(1, 2)):  # rows of a batch do not touch each other
        found = filtered(taken, row)
        for layer in ("h", "s"):
            np.testing.assert_allclose(acted[layer][row], found[layer]["sample"], atol=1e-5)
    late = np.concatenate([np.zeros_like(taken[:, :1]), taken[:, :-1]], axis=1)
    wrong = [
        filtered(late),  # actions one step late
        filtered(0 * taken),
        filtered(taken, step_types=np.full_like(STEP_TYPES, MID)),  # over the starts of episodes
    ]
    for other in wrong:
        assert np.max(np.abs(other["h"]["sample"] - acted["h"])) > 1e-3


def test_it_begins_at_one_sample_and_keeps_it(model):
    policy = make_policy(model)
    step = time_step(STEP_TYPES[:, 0], FRAMES[:, 0])
    first, second = (policy.action(step, policy.get_initial_state(2)).state for _ in range(2))
    assert np.all(first["s"] != second["s"])  # frames and latents are drawn anew
    np.testing.assert_allclose(first["h"], second["h"], atol=1e-6)


def test_a_stale_state_does_not_matter_at_an_episodes_start(model, no_noise):
    policy = make_policy(model)
    stale = tf.nest.map_structure(lambda x: x + 5.0, policy.get_initial_state(2))

    def filtered(step_type, state):
        return policy.filter(time_step([step_type] * 2, FRAMES[:, 0]), state)["h"]["sample"].numpy()

    for step_type, same in ((FIRST, True), (MID, False)):
        before, after = (filtered(step_type, state) for state in (policy.get_initial_state(2), stale))
        assert np.array_equal(before, after) == same


# What it plans


def test_value_is_the_sum_of_mean_rewards_of_the_states_arrived_at(model, no_noise):
    policy = make_policy(model)
    start = model.first_posterior(model.encoder(tf.constant(FRAMES[:, 0])))
    actions = np.random.RandomState(1).uniform(-1, 1, (2, 4, 3, fakes.ACTION_SIZE)).astype(np.float32)
    found = policy.value(start, tf.constant(actions))

    def rewards(row, candidate):
        """Of the state one begins in, then of each state arrived at, one after the other."""
        state = tf.nest.map_structure(lambda x: x[row : row + 1], start)
        states = [state]
        for t in range(3):
            state = model.prior_step(state, actions[row : row + 1, candidate, t])
            states.append(state)
        return [float(model._reward(None, None, model.vector(state))["loc"]) for state in states]

    by_hand = np.array([[rewards(row, candidate) for candidate in range(4)] for row in range(2)])
    np.testing.assert_allclose(found, by_hand[..., 1:].sum(-1), rtol=1e-5, atol=1e-5)
    assert np.max(np.abs(found - by_hand[..., :-1].sum(-1))) > 1e-3  # the rewards before the actions
    assert np.max(np.abs(found - by_hand[::-1, :, 1:].sum(-1))) > 1e-3  # of the other row


def test_value_is_open_loop_on_the_same_noise():
    """All noise of the prior, drawn in the same order by hand."""
    model = known_model.KnownModel()
    policy = make_policy(model, specs=known_model.specs())
    actions = tf.random.uniform([1, 1, 3, 1], -1.0, 1.0)
    start = model.first_posterior(tf.zeros([1, 1]))
    tf.random.set_seed(5)
    found = policy.value(start, actions)
    tf.random.set_seed(5)
    states, _ = model.imagine(start, actions[0], 3)
    expected = -np.sum((states["s"]["sample"].numpy() - known_model.GOAL) ** 2)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)
    assert np.any(states["s"]["sample"] != states["s"]["loc"])


def drive(policy, starts=(0.3, 0.9), num_steps=12):
    """Positions at the end of an episode that follows the model."""
    positions, state = np.array(starts), policy.get_initial_state(len(starts))
    for t in range(num_steps):
        step_types = [FIRST if t == 0 else MID] * len(starts)
        step = policy.action(time_step(step_types, known_model.frames_of(positions)), state)
        positions, state = positions + known_model.STEP * step.action[:, 0].numpy(), step.state
    return positions


@pytest.fixture(scope="module")
def driver():
    """A planner on the known model."""
    return make_policy(known_model.KnownModel(), MANY, specs=known_model.specs())


def test_it_drives_a_known_model_to_its_goal(driver):
    np.testing.assert_allclose(drive(driver), known_model.GOAL, atol=0.1)


@pytest.mark.parametrize("wrong", ["sign", "no selection", "no iterations"])
def test_a_planner_that_cannot_does_not(wrong):
    settings = {
        "sign": MANY,
        "no selection": cem.CemSettings(horizon=5, iterations=5, candidates=100, elites=100),
        "no iterations": cem.CemSettings(horizon=5, iterations=0, candidates=100, elites=10),
    }[wrong]
    model = known_model.KnownModel(-1.0 if wrong == "sign" else 1.0)
    assert np.max(np.abs(drive(make_policy(model, settings, specs=known_model.specs())) - known_model.GOAL)) > 0.3


def test_a_warm_start_plans_on_and_begins_afresh():
    settings = cem.CemSettings(horizon=5, iterations=0, candidates=2, elites=1, warm_start=True)  # gives its start back
    policy = make_policy(known_model.KnownModel(), settings, specs=known_model.specs())
    plan = tf.reshape(tf.range(10, dtype=tf.float32) / 10.0, [2, 5, 1])
    state = {**policy.get_initial_state(2), "plan": plan}
    step = policy.action(time_step([MID, FIRST], known_model.frames_of([0.0, 0.0])), state)
    np.testing.assert_allclose(step.state["plan"][0, :, 0], [0.1, 0.2, 0.3, 0.4, 0.0])
    np.testing.assert_allclose(step.state["plan"][1, :, 0], np.zeros(5))
    assert "plan" not in make_policy(known_model.KnownModel(), MANY, specs=known_model.specs()).policy_state_spec


def test_exploration_is_noise_of_a_standard_deviation():
    still = cem.CemSettings(horizon=1, iterations=0, candidates=1, elites=1)  # plans zeros
    step = time_step([FIRST] * 500, known_model.frames_of(np.zeros(500)))
    for scale, expected in ((0.0, 0.0), (0.3, 0.3), (5.0, None)):
        policy = make_policy(known_model.KnownModel(), still, scale, known_model.specs())
        taken = policy.action(step, policy.get_initial_state(500))
        # Standard error 0.3 / √1000 = 0.0095. Few draws of 0.3 are clipped.
        if expected is not None:
            assert float(tf.math.reduce_std(taken.action)) == pytest.approx(expected, abs=0.035)
        assert float(tf.reduce_max(tf.abs(taken.action))) <= 1.0
        np.testing.assert_array_equal(taken.state["action"], taken.action)


def test_variables_are_those_of_the_model(model):
    assert {v.ref() for v in make_policy(model).variables()} == {v.ref() for v in model.variables}


def test_making_a_policy_draws_no_random_number(model):
    drawn = []
    for make in (lambda: None, lambda: make_policy(model)):
        tf.random.set_seed(1)
        make()
        drawn.append(float(tf.random.uniform([])))
    assert drawn[0] == drawn[1]


# Exported

PROGRAM = """
    model = tf.saved_model.load(sys.argv[1])
    positions, state = np.array([0.3, 0.9]), model.get_initial_state(batch_size=2)
    for t in range(12):
        brightness = np.round((positions / 4.0 + 0.5) * 255.0).astype(np.uint8)
        frames = np.broadcast_to(brightness[:, None, None, None], (2, 64, 64, 3)).copy()
        step_type = tf.constant([0 if t == 0 else 1] * 2)
        time_step = TimeStep(step_type, tf.zeros([2]), tf.ones([2]), {"pixels": tf.constant(frames)})
        step = model.action(time_step, state)
        positions, state = positions + 0.1 * step.action[:, 0].numpy(), step.state
    print("positions", *positions)
"""


def test_a_saved_planner_needs_tensorflow_alone(driver, tmp_path):
    place = saved_model.Exporter({"greedy": driver}).export({}, {"env_step": 1}, tmp_path / "policies", keep=None)
    printed = plain_tensorflow.run(PROGRAM, place / "greedy_policy")
    positions = [float(word) for word in printed.split()[1:]]
    np.testing.assert_allclose(positions, [known_model.GOAL] * 2, atol=0.1)
