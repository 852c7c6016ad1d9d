import functools

import fakes
import numpy as np
import psutil
import tensorflow as tf

from slac_tf.latent_models import heads


def test_gaussian_head():
    head = heads.GaussianHead(3, 2, (4,), name="head")
    fakes.make_constant(head, [1.0, -2.0, 0.0, -50.0])  # means, then standard deviations before softplus
    state = head(tf.zeros([5, 6, 1]), tf.zeros([5, 6, 2]))
    assert state["sample"].shape == (5, 6, 2)
    np.testing.assert_allclose(state["loc"][3, 4], [1.0, -2.0])
    np.testing.assert_allclose(state["scale"][3, 4], [np.log(2) + 1e-5, 1e-5], rtol=1e-5)  # softplus(0) = log 2


def test_a_given_sample_takes_the_place_of_the_own():
    given = tf.constant([[7.0, 8.0]])
    state = heads.GaussianHead(3, 2, (4,), name="head")(tf.zeros([1, 3]), given=given)
    np.testing.assert_array_equal(state["sample"], given)


def test_samples_have_the_distributions_moments_and_are_reparameterised():
    loc, scale = tf.fill([20_000], 3.0), tf.fill([20_000], 0.5)
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        sample = heads.layer_state(loc, scale)["sample"]
    by_loc, by_scale = tape.gradient(sample, [loc, scale])
    # Standard errors are 0.5 / sqrt(20000) = 0.0035 and 0.0025: five of them.
    np.testing.assert_allclose(np.mean(sample), 3.0, atol=0.018)
    np.testing.assert_allclose(np.std(sample), 0.5, atol=0.013)
    np.testing.assert_array_equal(by_loc, tf.ones([20_000]))
    np.testing.assert_allclose(by_scale, (sample - 3.0) / 0.5, atol=1e-5)


def test_standard_normal():
    state = heads.standard_normal(tf.constant([2, 3]), 4)
    np.testing.assert_array_equal(state["loc"], np.zeros((2, 3, 4)))
    np.testing.assert_array_equal(state["scale"], np.ones((2, 3, 4)))
    assert state["sample"].shape == (2, 3, 4)
    assert np.any(state["sample"] != 0)


def test_draws_differ():
    def draw():
        return [heads.standard_normal(tf.constant([2]), 3)["sample"] for _ in range(3)]

    samples = np.array([*draw(), *draw(), *tf.function(draw)()])
    assert len(np.unique(samples)) == samples.size


def test_eager_draws_keep_no_memory():
    draw = functools.partial(heads.standard_normal, tf.constant([2]), 3)
    process = psutil.Process()
    tf.random.set_seed(1)  # as a run does
    draw()
    before = process.memory_info().rss
    for _ in range(500):
        draw()
    assert process.memory_info().rss - before < 2**22  # a kernel for each would take 20 MiB
