import fakes
import numpy as np
import plain_tensorflow
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import time_step as ts

from slac_tf.export import saved_model
from slac_tf.latent_models import heads
from slac_tf.networks import tanh_gaussian_actor
from slac_tf.policies import latent_policy

# Two rows whose episodes begin at different times; the second one's second episode has a single action.
STEP_TYPES = np.int32([[FIRST, MID, MID, LAST, FIRST, MID], [FIRST, LAST, FIRST, LAST, FIRST, MID]])
NUM_STEPS = STEP_TYPES.shape[1]
FRAMES = np.random.RandomState(0).randint(0, 256, (2, NUM_STEPS, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def networks():
    tf.keras.utils.set_random_seed(4)
    model = fakes.TwoLayerModel(action_size=fakes.ACTION_SIZE)
    actor = tanh_gaussian_actor.TanhGaussianActor(model.latent_size, fakes.ACTION_SIZE, (8,))
    for variable in model.variables:  # far from zero, so that everything that is read matters
        variable.assign(1.5 * variable)
    return model, actor


@pytest.fixture
def no_noise(monkeypatch):
    """Latents are their means."""
    monkeypatch.setattr(heads, "_noise", tf.zeros)


def make_policy(networks, *, greedy=True):
    return latent_policy.LatentPolicy(*fakes.specs(), *networks, greedy=greedy)


def time_step(t, rows=slice(None)):
    frames = FRAMES[rows, t]
    ones = tf.ones([len(frames)])
    return ts.TimeStep(tf.constant(STEP_TYPES[rows, t]), 0 * ones, ones, {"pixels": tf.constant(frames)})


def act(policy, batch_size=2, rows=slice(None)):
    """Actions `[B, N, A]` of an episode after the other, and the states after each."""
    state = policy.get_initial_state(batch_size)
    actions, states = [], []
    for t in range(NUM_STEPS):
        step = policy.action(time_step(t, rows), state)
        state = step.state
        actions.append(step.action)
        states.append(state)
    return np.stack(actions, axis=1), states


def test_actions_are_those_of_the_latents_that_training_sees(networks, no_noise):
    model, actor = networks
    actions, states = act(make_policy(networks))
    features = model.encoder(tf.constant(FRAMES))

    def filtered(actions, step_types):
        return model.vector(model.posterior(features, tf.constant(actions), tf.constant(step_types)))

    latents = filtered(actions, STEP_TYPES)
    np.testing.assert_allclose(np.stack([model.vector(s["latent"]) for s in states], axis=1), latents, atol=1e-5)
    np.testing.assert_allclose(actions, np.stack([actor.mode(latents[:, t]) for t in range(NUM_STEPS)], 1), atol=1e-5)
    # Filtered without the actions, or over the episodes' starts, latents would be others.
    for other in (filtered(0 * actions, STEP_TYPES), filtered(actions, np.full_like(STEP_TYPES, MID))):
        assert np.max(np.abs(other - latents)) > 1e-2


def test_the_state_holds_the_posterior_and_the_last_action(networks):
    policy = make_policy(networks)
    spec = policy.policy_state_spec
    assert {layer: set(values) for layer, values in spec["latent"].items()} == {
        layer: {"loc", "scale", "sample"} for layer in ("z1", "z2")
    }
    assert [spec["latent"][layer]["sample"].shape for layer in ("z1", "z2")] == [(3,), (4,)]
    actions, states = act(policy)
    for t in range(NUM_STEPS):
        np.testing.assert_array_equal(states[t]["action"], actions[:, t])
    assert np.any(states[0]["latent"]["z1"]["sample"] != states[0]["latent"]["z1"]["loc"])


def test_rows_of_a_batch_do_not_touch_each_other(networks, no_noise):
    policy = make_policy(networks)
    together, _ = act(policy)
    for row in (0, 1):
        alone, _ = act(policy, 1, slice(row, row + 1))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_a_stale_state_does_not_matter_at_an_episodes_start(networks, no_noise):
    policy = make_policy(networks)
    stale = tf.nest.map_structure(lambda x: x + 5.0, policy.get_initial_state(2))
    fresh = policy.action(time_step(0), policy.get_initial_state(2))
    for a, b in zip(tf.nest.flatten(fresh), tf.nest.flatten(policy.action(time_step(0), stale))):
        np.testing.assert_array_equal(a, b)
    # But it does later.
    fresh, later = (policy.action(time_step(1), state).action for state in (fresh.state, stale))
    assert np.any(np.abs(fresh - later) > 1e-3)


def test_stochastic_actions_are_samples_and_greedy_ones_are_not(networks, no_noise):
    greedy, stochastic = (make_policy(networks, greedy=greedy) for greedy in (True, False))
    for policy, varies in ((greedy, False), (stochastic, True)):
        drawn = np.array([policy.action(time_step(0), policy.get_initial_state(2)).action for _ in range(5)])
        assert np.abs(drawn).max() <= 1.0
        assert bool(np.all(np.std(drawn, axis=0) > 0)) == varies


def test_variables_are_those_of_model_and_actor(networks):
    found = {v.ref() for v in make_policy(networks).variables()}
    assert found == {v.ref() for module in networks for v in module.variables}


def test_making_a_policy_draws_no_random_number(networks):
    drawn = []
    for make in (lambda: None, lambda: make_policy(networks)):
        tf.random.set_seed(1)
        make()
        drawn.append(float(tf.random.uniform([])))
    assert drawn[0] == drawn[1]


def test_it_acts_in_an_environment(networks):
    policy = py_tf_eager_policy.PyTFEagerPolicy(make_policy(networks, greedy=False), use_tf_function=True)
    environment = fakes.CountingEnvironment(length=2)
    step, state = environment.reset(), policy.get_initial_state(1)
    for _ in range(4):
        action = policy.action(step, state)
        assert action.action.shape == (fakes.ACTION_SIZE,)
        step, state = environment.step(action.action), action.state


PROGRAM = """
    data = np.load(sys.argv[1])
    model = tf.saved_model.load(sys.argv[3])
    state = model.get_initial_state(batch_size=2)
    actions = []
    for t in range(data["step_types"].shape[1]):
        observation = {"pixels": tf.constant(data["frames"][:, t])}
        step_type = tf.constant(data["step_types"][:, t])
        step = model.action(TimeStep(step_type, tf.zeros([2]), tf.ones([2]), observation), state)
        state = step.state
        actions.append(step.action.numpy())
    np.save(sys.argv[2], np.stack(actions, axis=1))
"""


def test_a_saved_policy_needs_tensorflow_alone(networks, no_noise, tmp_path):
    policy = make_policy(networks)
    place = saved_model.Exporter({"greedy": policy}).export({}, {"env_step": 1}, tmp_path / "policies", keep=None)
    np.savez(tmp_path / "data.npz", step_types=STEP_TYPES, frames=FRAMES)
    files = [tmp_path / "data.npz", tmp_path / "actions.npy", place / "greedy_policy"]
    plain_tensorflow.run(PROGRAM, *files)
    actions, _ = act(policy)
    assert np.all(np.std(actions, axis=1) > 1e-3)  # what is seen matters
    np.testing.assert_allclose(np.load(files[1]), actions, atol=1e-5)
