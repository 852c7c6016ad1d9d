"""The particle belief as a filter of a model that is known: its evidence beside the Kalman filter's."""

import math

import numpy as np
import pytest
import tensorflow as tf

from slac_tf.agents.dvrl import beliefs, networks
from slac_tf.losses import particle_filter

# z_1 ~ N(0, Q), z_t = A z_{t-1} + N(0, Q), x_t = z_t + N(0, R): the memory is the latent, 0 before the first step.
A, Q, R = 0.8, 0.5, 0.3
OBSERVED = [0.6, -0.4, 1.1, 0.3, 0.9]
SPEC = {"state": tf.TensorSpec([1], tf.float32)}


def exact(observed):
    """log p(x_1, …) by the Kalman filter."""
    mean, variance, total = 0.0, 0.0, 0.0
    for x in observed:
        mean, variance = A * mean, A * A * variance + Q
        total -= 0.5 * (math.log(2 * math.pi * (variance + R)) + (x - mean) ** 2 / (variance + R))
        gain = variance / (variance + R)
        mean, variance = mean + gain * (x - mean), (1 - gain) * variance
    return total


def known_model(num_particles, optimal=False):
    """A belief of that model; its proposal is the prior, or the posterior given x_t."""
    belief = beliefs.ParticleBelief(SPEC, 1, 1, latent_size=1, memory_size=1, state_hidden_sizes=(1,))
    belief._num_particles = num_particles  # afterwards: the summary, which is not used, is unrolled over particles
    belief.state_spec = {
        name: tf.TensorSpec([num_particles, *spec.shape[1:]], spec.dtype) for name, spec in belief.state_spec.items()
    }

    def gaussian(mean, variance):
        return networks.Gaussian(mean, tf.fill(tf.shape(mean), variance))

    belief._action = tf.identity
    belief._latent = tf.identity
    belief._prior = lambda memory, acted: gaussian(A * memory, Q)
    gain = Q / (Q + R)
    belief._proposal = lambda seen, memory, acted: (
        gaussian(A * memory + gain * (seen - A * memory), (1 - gain) * Q) if optimal else gaussian(A * memory, Q)
    )
    belief._observer.encode = tf.identity
    belief._observer.log_prob = lambda x, inputs: gaussian(inputs[..., :1], R).log_prob(x[:, tf.newaxis])
    belief._memory = lambda inputs, states: (inputs[:, 1:2], states)
    return belief


def estimates(belief, observed, num_filters, seed=0):
    """log p(x_1, …) by that many filters, `[num_filters]`."""
    random = np.random.RandomState(seed)
    num_particles = belief._num_particles
    state = {name: tf.zeros([num_filters, *spec.shape]) for name, spec in belief.state_spec.items()}
    total = tf.zeros([num_filters])
    for x in observed:
        noise = {
            "offset": tf.constant(random.uniform(size=num_filters), tf.float32),
            "latent": tf.constant(random.normal(size=(num_filters, num_particles, 1)), tf.float32),
        }
        seen = tf.fill([num_filters, 1], x)
        state, evidence = belief.update(
            state, tf.zeros([num_filters, 1]), belief.encode({"state": seen}), {"state": seen}, noise
        )
        total += evidence
    return total.numpy() - exact(observed)


def is_unbiased(errors):
    """Whether the mean of Ẑ / p is 1 within three standard errors."""
    ratios = np.exp(errors.astype(np.float64))
    return abs(ratios.mean() - 1.0) < 3.0 * ratios.std() / math.sqrt(len(ratios))


def test_the_evidence_is_unbiased_and_a_bound_that_becomes_tight():
    few, more = (estimates(known_model(k), OBSERVED, 4000, seed=1) for k in (10, 40))
    assert is_unbiased(few)
    assert few.mean() < -3.0 * few.std() / math.sqrt(len(few))  # Jensen
    assert more.mean() < 0.0
    assert 2.5 < few.mean() / more.mean() < 6.5  # as 1/K
    assert np.abs(estimates(known_model(10_000), OBSERVED, 4)).max() < 0.05


def test_the_optimal_proposal_is_exact_with_one_particle():
    np.testing.assert_allclose(estimates(known_model(1, optimal=True), OBSERVED[:1], 50), 0.0, atol=1e-5)


@pytest.mark.parametrize("wrong", ["sum for mean", "proposal forgotten", "no resampling", "variance as std"])
def test_wrong_filters_are_found_out(wrong, monkeypatch):
    if wrong == "sum for mean":
        monkeypatch.setattr(particle_filter, "log_mean_exp", lambda w: tf.reduce_logsumexp(w, axis=-1))
    elif wrong == "proposal forgotten":
        monkeypatch.setattr(particle_filter, "step_log_weights", lambda prior, proposal, likelihood: prior + likelihood)
    elif wrong == "no resampling":  # the old weights are gone all the same
        monkeypatch.setattr(
            particle_filter,
            "systematic_indices",
            lambda weights, offset: tf.broadcast_to(tf.range(weights.shape[1]), tf.shape(weights)),
        )
    else:
        right = networks.Gaussian.log_prob
        monkeypatch.setattr(
            networks.Gaussian, "log_prob", lambda self, x: right(self._replace(variance=self.variance**2), x)
        )
    assert not is_unbiased(estimates(known_model(10), OBSERVED, 4000))


def small(**settings):
    tf.keras.utils.set_random_seed(0)
    return beliefs.ParticleBelief(
        {"state": tf.TensorSpec([2], tf.float32)},
        2,
        **{"num_particles": 3, "latent_size": 4, "memory_size": 5, **settings},
    )


def test_noise_is_a_function_of_the_seed():
    belief = small()
    seeds = tf.constant([[1, 2], [3, 4], [1, 2]])
    noise = belief.noise(seeds)
    assert (noise["offset"].shape, noise["latent"].shape) == ((3,), (3, 3, 4))
    for values in noise.values():
        np.testing.assert_array_equal(values[0], values[2])
        assert np.all(values[0].numpy() != values[1].numpy())
    again = belief.noise(seeds[1:2])
    np.testing.assert_array_equal(again["latent"][0], noise["latent"][1])
    many = tf.function(belief.noise)(tf.stack([tf.range(300), tf.range(300)], axis=1))
    assert abs(float(tf.reduce_mean(many["offset"])) - 0.5) < 0.05
    assert abs(float(tf.math.reduce_std(many["latent"])) - 1.0) < 0.05
    assert abs(np.corrcoef(many["offset"], many["latent"][:, 0, 0])[0, 1]) < 0.2


def test_filters_of_one_batch_keep_apart():
    belief, random = small(), np.random.RandomState(1)
    states = {
        name: tf.constant(random.normal(size=[2, *spec.shape]), tf.float32) for name, spec in belief.state_spec.items()
    }
    seen = {"state": tf.constant(random.normal(size=[2, 2]), tf.float32)}
    action, noise = tf.constant(random.normal(size=[2, 2]), tf.float32), belief.noise(tf.constant([[5, 6], [7, 8]]))

    def run(rows):
        part = tf.nest.map_structure(lambda x: tf.gather(x, rows), (states, action, seen, noise))
        after, evidence = belief.update(part[0], part[1], belief.encode(part[2]), part[2], part[3])
        return belief.vector(after), evidence

    both, one = run([0, 1]), run([1])
    for found, wanted in zip(both, one):
        np.testing.assert_allclose(found[1:], wanted, rtol=1e-4, atol=1e-5)


def test_frames_are_encoded_and_explained():
    belief = beliefs.ParticleBelief({"pixels": tf.TensorSpec([64, 64, 3], tf.uint8)}, 2, 2, 3, 4, 5, base_depth=1)
    frames = tf.zeros([1, 64, 64, 3], tf.uint8)
    assert belief.encode({"pixels": frames}).shape == (1, 16)
    inputs = tf.zeros([1, 2, 4 + 4 + 5])
    # Logits 0 where the inputs are: each of 12,288 values costs log 2, whatever it is.
    np.testing.assert_allclose(belief._observer.log_prob(frames, inputs), [[-12288 * math.log(2.0)] * 2], rtol=1e-5)


def test_the_observation_alone():
    belief = beliefs.ObservationBelief({"state": tf.TensorSpec([2], tf.float32)}, 2, size=6)
    seen = {"state": tf.constant([[1.0, -2.0]])}
    found = []
    for past in (0.0, 5.0):
        state = {"vector": tf.fill([1, 6], past)}
        after, evidence = belief.update(state, tf.fill([1, 2], past), belief.encode(seen), seen, tf.zeros([1, 2]))
        found.append(belief.vector(after).numpy())
        np.testing.assert_array_equal(evidence, [0.0])
    np.testing.assert_array_equal(*found)
    assert not [v for v in belief.trainable_variables if "decoder" in v.name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_particles": 0}, "num_particles: 0, expected an integer of at least 1"),
        ({"state_hidden_sizes": (0,)}, r"state_hidden_sizes: \(0,\), expected integers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)
