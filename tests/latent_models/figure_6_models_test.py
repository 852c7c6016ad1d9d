"""The models of Figure 6 beside the two-layer one: what differs between them, by hand-worked numbers."""

import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.slac import agent as slac_agent
from slac_tf.latent_models import ablations, rssm

SMALL = dict(base_depth=1, hidden_sizes=(8,))
LAYERS = dict(z1_size=3, z2_size=4, **SMALL)
MODELS = {
    "partially_stochastic": functools.partial(ablations.PartiallyStochasticModel, **LAYERS),
    "deterministic": functools.partial(ablations.DeterministicModel, **LAYERS),
    "vae": functools.partial(ablations.VAEModel, **LAYERS),
    "simple_filtering": functools.partial(ablations.SimpleFilteringModel, z_size=5, **SMALL),
    "rssm": functools.partial(rssm.RSSM, h_size=6, s_size=3, free_nats=0.0, **SMALL),
}
SEQUENTIAL = sorted(set(MODELS) - {"vae"})
LENGTH = 4
RESET = tf.constant([[MID, LAST, FIRST, MID], [MID] * LENGTH])
NO_RESET = tf.constant([[MID] * LENGTH] * 2)


@functools.cache
def make(name):
    tf.keras.utils.set_random_seed(4)
    return MODELS[name](action_size=fakes.ACTION_SIZE)


def window(model):
    random = np.random.RandomState(0)
    features = random.normal(size=(2, LENGTH, model.encoder.feature_size)).astype(np.float32)
    return features, random.uniform(-1, 1, (2, LENGTH, fakes.ACTION_SIZE)).astype(np.float32)


def unroll(model, features, actions, step_types):
    tf.random.set_seed(3)
    actions = tf.constant(actions)
    posterior = model.posterior(tf.constant(features), actions, step_types)
    return posterior, model.prior(posterior, actions, step_types)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_shapes(name):
    model = make(name)
    features, actions = window(model)
    posterior, prior = unroll(model, features, actions, RESET)
    latents = model.vector(posterior)
    assert latents.shape == (2, LENGTH, model.latent_size)
    assert model.decode(latents).shape == (2, LENGTH, 64, 64, 3)
    assert [x.shape for x in model.reward(latents, actions)] == [(2, LENGTH - 1)] * 2
    kl = model.kl(posterior, prior, RESET)
    assert set(kl) == set(model.kl_layers)
    assert all(values.shape == (2, LENGTH) for values in kl.values())
    for frames in range(LENGTH + 1):
        assert model.vector(model.open_loop(features, actions, frames)).shape == latents.shape


@pytest.mark.parametrize("latent_model", [*MODELS.values(), fakes.TwoLayerModel], ids=[*MODELS, "two_layer"])
def test_every_variable_is_trained(latent_model):
    built = fakes.build_agent(latent_model=latent_model)
    model = built.agent._model
    window_ = slac_agent._window(fakes.experience())
    with tf.GradientTape() as tape:
        losses, _ = built.agent.model_loss(window_)
    gradients = tape.gradient(losses.loss, model.trainable_variables)
    missing = [v.name for v, g in zip(model.trainable_variables, gradients) if g is None or not np.any(g)]
    assert not missing
    assert all(np.all(np.isfinite(g)) for g in gradients)


@pytest.mark.parametrize("name", SEQUENTIAL)
@pytest.mark.parametrize("changed", ["frame", "action"])
def test_nothing_crosses_a_reset(name, changed):
    model = make(name)
    features, actions = window(model)
    before = unroll(model, features, actions, RESET), unroll(model, features, actions, NO_RESET)
    (features if changed == "frame" else actions)[:, 1] += 1.0
    after = unroll(model, features, actions, RESET), unroll(model, features, actions, NO_RESET)
    for (old, new), leaks in zip(zip(before, after), (False, True)):
        for a, b in zip(old, new):  # posterior, prior
            assert np.any(model.vector(a)[0, 2:] != model.vector(b)[0, 2:]) == leaks
            assert np.any(model.vector(a)[1, 2:] != model.vector(b)[1, 2:])  # the other row has no reset


def test_the_vae_looks_at_its_own_frame_alone():
    model = make("vae")
    features, actions = window(model)
    before = unroll(model, features, actions, NO_RESET)
    features[:, 1] += 1.0
    actions += 1.0
    after = unroll(model, features, actions, NO_RESET)
    changed = np.any(model.vector(before[0]) != model.vector(after[0]), axis=(0, 2))
    np.testing.assert_array_equal(changed, [False, True, False, False])


def softplus(x):
    return np.log1p(np.exp(x)) + 1e-5


def gaussian_kl(mean_q, std_q, mean_p, std_p):
    """Of each dimension: log(σp / σq) + (σq² + (μq - μp)²) / (2 σp²) - ½."""
    return np.log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5


def kl_of(model):
    features, actions = window(model)
    return model.kl(*unroll(model, features, actions, RESET), RESET)


def test_kl_of_the_partially_stochastic_model():
    model = MODELS["partially_stochastic"](action_size=fakes.ACTION_SIZE)
    fakes.make_constant(model._z1_first_posterior, [0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
    fakes.make_constant(model._z1_posterior, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    fakes.make_constant(model._z1_prior, [0.0, 0.0, 0.0, 2.0, 2.0, 2.0])
    first = 3 * gaussian_kl(0.5, softplus(1.0), 0.0, 1.0)
    later = 3 * gaussian_kl(1.0, softplus(0.0), 0.0, softplus(2.0))
    expected = [[first, later, first, later], [first, later, later, later]]
    np.testing.assert_allclose(kl_of(model)["z1"], expected, rtol=1e-5)


def test_z2_is_deterministic_in_the_partially_stochastic_model():
    model = make("partially_stochastic")
    posterior, prior = unroll(model, *window(model), RESET)
    np.testing.assert_array_equal(posterior["z2"]["sample"], posterior["z2"]["loc"])
    np.testing.assert_allclose(posterior["z2"]["loc"], prior["z2"]["loc"], atol=1e-6)
    assert np.any(posterior["z1"]["sample"] != posterior["z1"]["loc"])


def test_kl_of_the_deterministic_model():
    model = MODELS["deterministic"](action_size=fakes.ACTION_SIZE)
    fakes.make_constant(model._z1_first_posterior, [9.0, 9.0, 9.0])
    fakes.make_constant(model._z1_posterior, [1.0, 2.0, 3.0])
    fakes.make_constant(model._z1_prior, [0.0, 2.0, 1.0])
    # ½ |z1 - μ|² + 3/2 log 2π = ½ (1 + 0 + 4) + 3/2 log 2π, and nothing at first steps.
    later = 2.5 + 1.5 * np.log(2 * np.pi)
    expected = [[0, later, 0, later], [0, later, later, later]]
    np.testing.assert_allclose(kl_of(model)["z1"], expected, rtol=1e-5)


def test_nothing_of_the_deterministic_model_is_sampled():
    model = make("deterministic")
    features, actions = window(model)
    latents = [model.vector(model.posterior(features, actions, RESET)) for _ in range(2)]
    np.testing.assert_array_equal(*latents)


def test_kl_of_the_vae():
    model = MODELS["vae"](action_size=fakes.ACTION_SIZE)
    fakes.make_constant(model._z1_posterior, [0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
    each = 3 * gaussian_kl(0.5, softplus(1.0), 0.0, 1.0)
    np.testing.assert_allclose(kl_of(model)["z1"], np.full([2, LENGTH], each), rtol=1e-5)


def test_kl_of_simple_filtering():
    model = MODELS["simple_filtering"](action_size=fakes.ACTION_SIZE)
    fakes.make_constant(model._first_posterior, [0.5] * 5 + [1.0] * 5)
    fakes.make_constant(model._posterior, [1.0] * 5 + [0.0] * 5)
    fakes.make_constant(model._prior, [0.0] * 5 + [2.0] * 5)
    first = 5 * gaussian_kl(0.5, softplus(1.0), 0.0, 1.0)
    later = 5 * gaussian_kl(1.0, softplus(0.0), 0.0, softplus(2.0))
    expected = [[first, later, first, later], [first, later, later, later]]
    np.testing.assert_allclose(kl_of(model)["z"], expected, rtol=1e-5)


@pytest.mark.parametrize("free_nats", [0.0, 0.5, 100.0])
def test_kl_of_the_rssm_counts_from_its_free_nats(free_nats):
    model = rssm.RSSM(fakes.ACTION_SIZE, h_size=6, s_size=3, free_nats=free_nats, **SMALL)
    fakes.make_constant(model._posterior, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    fakes.make_constant(model._prior, [0.0, 0.0, 0.0, 2.0, 2.0, 2.0])
    # Standard deviations are softplus + 0.1.
    kl = 3 * gaussian_kl(1.0, np.log(2) + 0.1, 0.0, np.log1p(np.exp(2)) + 0.1)
    np.testing.assert_allclose(kl_of(model)["s"], np.full([2, LENGTH], max(0.0, kl - free_nats)), rtol=1e-5)


def test_prior_and_posterior_of_the_rssm_share_their_h():
    model = make("rssm")
    posterior, prior = unroll(model, *window(model), RESET)
    np.testing.assert_allclose(posterior["h"]["sample"], prior["h"]["sample"], atol=1e-6)
    np.testing.assert_array_equal(posterior["s"]["sample"], prior["s"]["sample"])


def test_the_rssms_parameters_at_planets_size():
    model = rssm.RSSM(action_size=6)
    count = {
        name: sum(int(np.prod(v.shape)) for v in part.trainable_variables)
        for name, part in vars(model).items()
        if isinstance(part, tf.Module)
    }
    # 4x4 convolutions 3-32-64-128-256 with biases.
    assert count["encoder"] == 1568 + 32832 + 131200 + 524544
    # Dense 230 -> 1024, then 5x5 1024-128, 5x5 128-64, 6x6 64-32, 6x6 32-3, with biases.
    assert count["_decoder"] == 236544 + 3276928 + 204864 + 73760 + 3459
    # Three gates of 200 units: kernel, recurrent kernel, two biases.
    assert count["_cell"] == 3 * 200 * (200 + 200 + 2)
    assert count["_embed"] == (30 + 6 + 1) * 200
