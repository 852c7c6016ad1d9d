import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.latent_models import heads

ACTIONS = tf.random.stateless_uniform([2, 4, fakes.ACTION_SIZE], (1, 2), -1, 1)
FEATURES = tf.random.stateless_normal([2, 4, 8], (3, 4))


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(2)
    return fakes.TwoLayerModel(action_size=fakes.ACTION_SIZE)


def softplus(x):
    return np.log1p(np.exp(x)) + 1e-5


def gaussian_kl(mean_q, std_q, mean_p, std_p):
    """Sum over dimensions of log(σp / σq) + (σq² + (μq - μp)²) / (2 σp²) - ½."""
    terms = np.log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5
    return np.sum(terms)


def test_kl_of_constant_heads_in_closed_form():
    model = fakes.TwoLayerModel(action_size=fakes.ACTION_SIZE)
    fakes.make_constant(model._z1_first_posterior, [0.5, -1.0, 2.0, -1.0, 0.0, 1.0])
    fakes.make_constant(model._z1_posterior, [0.0, 1.0, 0.0, 0.5, 0.5, -2.0])
    fakes.make_constant(model._z1_prior, [1.0, 1.0, -1.0, 0.0, 2.0, 1.0])
    step_types = tf.constant([[MID] * 4, [MID, LAST, FIRST, MID]])
    posterior = model.posterior(FEATURES, ACTIONS, step_types)
    kl = model.kl(posterior, model.prior(posterior, ACTIONS, step_types), step_types)
    # The heads' outputs are a mean and, through softplus, a standard deviation of each of z1's dimensions.
    start = gaussian_kl(np.array([0.5, -1.0, 2.0]), softplus(np.array([-1.0, 0.0, 1.0])), np.zeros(3), np.ones(3))
    step = gaussian_kl(
        np.array([0.0, 1.0, 0.0]),
        softplus(np.array([0.5, 0.5, -2.0])),
        np.array([1.0, 1.0, -1.0]),
        softplus(np.array([0.0, 2.0, 1.0])),
    )
    assert set(kl) == {"z1"}
    expected = [[start, step, step, step], [start, step, start, step]]
    np.testing.assert_allclose(kl["z1"], expected, rtol=1e-5)


def test_z2s_posterior_is_its_prior(model):
    step_types = tf.constant([[MID] * 4, [MID, LAST, FIRST, MID]])
    posterior = model.posterior(FEATURES, ACTIONS, step_types)
    prior = model.prior(posterior, ACTIONS, step_types)
    for name in ("loc", "scale"):
        np.testing.assert_allclose(posterior["z2"][name], prior["z2"][name], atol=1e-6)
        assert np.all(np.abs(posterior["z1"][name] - prior["z1"][name]) > 1e-6)


def test_the_prior_of_an_episodes_first_z1_is_standard_normal(model):
    step_types = tf.constant([[MID] * 4, [MID, LAST, FIRST, MID]])
    prior = model.prior(model.posterior(FEATURES, ACTIONS, step_types), ACTIONS, step_types)
    first = np.array([[1, 0, 0, 0], [1, 0, 1, 0]], bool)  # a window's first step has nothing before it
    np.testing.assert_array_equal(np.all(prior["z1"]["loc"].numpy() == 0, axis=-1), first)
    np.testing.assert_array_equal(np.all(prior["z1"]["scale"].numpy() == 1, axis=-1), first)


def test_each_distribution_is_conditioned_on_what_the_graph_says(model, monkeypatch):
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    z1, z2, action = FEATURES[:, 0, :3], FEATURES[:, 0, 3:7], ACTIONS[:, 0]
    previous = {"z1": {"sample": z1}, "z2": {"sample": z2}}
    other_z1 = {**previous, "z1": {"sample": z1 + 1}}
    feature = FEATURES[:, 1]

    def same(a, b, layer):
        return np.allclose(a[layer]["loc"], b[layer]["loc"]) and np.allclose(a[layer]["scale"], b[layer]["scale"])

    # z1_t acts on t+1 through z2_t alone.
    for step in (
        lambda state, action: model.prior_step(state, action),
        lambda state, action: model.posterior_step(state, action, feature),
    ):
        usual = step(previous, action)
        assert same(usual, step(other_z1, action), "z1")
        assert same(usual, step(other_z1, action), "z2")
        assert not same(usual, step({**previous, "z2": {"sample": z2 + 1}}, action), "z1")
        assert not same(usual, step(previous, action + 1), "z1")
    # z2_{t+1} depends on z1_{t+1}, z2_t and a_t also where z1_{t+1} is given.
    given = {"z1": z1}
    usual = model.prior_step(previous, action, given)
    assert not same(usual, model.prior_step(previous, action, {"z1": z1 + 1}), "z2")
    assert not same(usual, model.prior_step({**previous, "z2": {"sample": z2 + 1}}, action, given), "z2")
    assert not same(usual, model.prior_step(previous, action + 1, given), "z2")
    first = model.first_prior(tf.constant([2]), given)
    assert not same(first, model.first_prior(tf.constant([2]), {"z1": z1 + 1}), "z2")


def test_parameters_at_the_papers_size():
    model = fakes.two_layer.TwoLayerModel(action_size=6)
    # Two hidden layers of 256 and an output of mean and standard deviation, for each head:
    # (inputs + 1) * 256 + 257 * 256 + 257 * 2 * outputs.
    heads = {
        "z2_first": (32, 256),
        "z1_prior": (256 + 6, 32),
        "z2": (32 + 256 + 6, 256),
        "z1_first_posterior": (256, 32),
        "z1_posterior": (256 + 256 + 6, 32),
        "reward": (2 * 288 + 6, 1),
    }
    for name, (inputs, outputs) in heads.items():
        head = getattr(model, f"_{name}")
        expected = (inputs + 1) * 256 + 257 * 256 + 257 * 2 * outputs
        assert sum(int(np.prod(v.shape)) for v in head.variables) == expected, name
    assert model.latent_size == 288
