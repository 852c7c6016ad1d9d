import math

import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import categorical

SUPPORT = np.array([-2, -1, 0, 1, 2], np.float32)


def distributions(random, batch_size, size):
    return random.dirichlet(np.ones(size), batch_size).astype(np.float32)


def softmax(logits):
    weights = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def project(atoms, probabilities, support=SUPPORT):
    """Of one distribution."""
    return categorical.project(
        tf.constant([atoms], tf.float32), tf.constant([probabilities], tf.float32), tf.constant(support, tf.float32)
    )[0].numpy()


def brute_force(atoms, probabilities, support):
    """Algorithm 1 of Bellemare et al. (2017), one atom after the other; a hit gives all to one neighbour."""
    spacing = (support[-1] - support[0]) / (len(support) - 1)
    result = np.zeros([len(atoms), len(support)])
    for b in range(len(atoms)):
        for atom, probability in zip(atoms[b], probabilities[b]):
            place = (min(max(float(atom), support[0]), support[-1]) - support[0]) / spacing
            below, above = math.floor(place), math.ceil(place)
            if below == above:
                result[b, below] += probability
            else:
                result[b, below] += probability * (above - place)
                result[b, above] += probability * (place - below)
    return result


@pytest.mark.parametrize(
    ("atoms", "probabilities", "expected"),
    [
        # 0.25 lies a quarter of the way from 0 to 1.
        ([0.25], [1.0], [0, 0, 0.75, 0.25, 0]),
        # Exact hits, at the ends and between.
        ([-2.0, 0.0, 2.0], [0.2, 0.3, 0.5], [0.2, 0, 0.3, 0, 0.5]),
        # Outside: all to the nearest end.
        ([-7.0, 2.5, 100.0], [0.25, 0.25, 0.5], [0.25, 0, 0, 0, 0.75]),
        # Several atoms on one neighbour: 0.5 * ½ + 0.5 * ½ at 0.
        ([-0.5, 0.5], [0.5, 0.5], [0, 0.25, 0.5, 0.25, 0]),
        # Atoms in any order, and the same one twice.
        ([1.0, -1.0, 1.0], [0.2, 0.3, 0.5], [0, 0.3, 0, 0.7, 0]),
    ],
)
def test_projection_by_hand(atoms, probabilities, expected):
    np.testing.assert_allclose(project(atoms, probabilities), expected, atol=1e-6)


def test_the_support_onto_itself():
    random = np.random.RandomState(0)
    probabilities = distributions(random, 1, 101)[0]
    support = np.linspace(-150, 150, 101)
    np.testing.assert_allclose(project(support, probabilities, support), probabilities, atol=1e-6)


@pytest.mark.parametrize("size", [2, 5, 51])
def test_projection_against_a_loop(size):
    random = np.random.RandomState(size)
    support = np.linspace(-3.0, 5.0, size).astype(np.float32)
    atoms = random.uniform(-5, 7, (20, 7)).astype(np.float32)  # some outside
    probabilities = distributions(random, 20, 7)
    projected = categorical.project(tf.constant(atoms), tf.constant(probabilities), tf.constant(support)).numpy()
    np.testing.assert_allclose(projected, brute_force(atoms, probabilities, support), atol=2e-6)
    np.testing.assert_allclose(np.sum(projected, axis=-1), 1.0, rtol=1e-5)
    assert np.all(projected >= 0)


def test_the_mean_is_kept_inside_the_support():
    random = np.random.RandomState(0)
    support = np.linspace(-3.0, 5.0, 9)
    atoms, probabilities = random.uniform(-3, 5, (20, 6)), distributions(random, 20, 6)
    projected = categorical.project(*(tf.constant(x, tf.float32) for x in (atoms, probabilities, support))).numpy()
    np.testing.assert_allclose(projected @ support, np.sum(atoms * probabilities, axis=-1), atol=1e-5)


def test_td_target_against_a_loop():
    random = np.random.RandomState(0)
    returns = random.uniform(-3, 3, 10).astype(np.float32)
    discount = random.uniform(0, 1, 10).astype(np.float32)
    logits = random.normal(size=(10, 5)).astype(np.float32)
    target = categorical.td_target(*(tf.constant(x) for x in (returns, discount, logits, SUPPORT)))
    expected = brute_force(returns[:, None] + discount[:, None] * SUPPORT, softmax(logits), SUPPORT)
    np.testing.assert_allclose(target, expected, atol=1e-5)


def test_td_target_after_a_termination_is_a_point_at_the_return():
    logits = tf.constant(np.random.RandomState(0).normal(size=(4, 5)), tf.float32)
    target = categorical.td_target(tf.constant([1.0, -0.75, 9.0, -9.0]), tf.zeros([4]), logits, tf.constant(SUPPORT))
    # On an atom, between two of them, above and below the support.
    expected = [[0, 0, 0, 1, 0], [0, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    np.testing.assert_allclose(target, expected, atol=1e-6)


def test_no_gradient_flows_through_the_target():
    inputs = [tf.ones([2]), tf.fill([2], 0.5), tf.random.normal([2, 5])]
    logits = tf.zeros([2, 5])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([*inputs, logits])
        target = categorical.td_target(*inputs, tf.constant(SUPPORT))
        labels = tf.nn.softmax(inputs[2])
        loss = categorical.critic_loss(logits, labels)
    assert all(gradient is None for gradient in tape.gradient(target, inputs))
    assert tape.gradient(loss, inputs[2]) is None  # the labels are constants, whatever made them
    np.testing.assert_allclose(tape.gradient(loss, logits), 0.2 - labels, atol=1e-6)  # softmax - target


def test_cross_entropy_and_kl_against_numpy():
    random = np.random.RandomState(0)
    logits = random.normal(size=(6, 5)).astype(np.float32)
    target = distributions(random, 6, 5)
    log_q = np.log(softmax(logits.astype(np.float64)))
    cross_entropy = categorical.critic_loss(tf.constant(logits), tf.constant(target))
    np.testing.assert_allclose(cross_entropy, -np.sum(target * log_q, axis=-1), rtol=1e-5)
    kl = categorical.kl(cross_entropy, tf.constant(target))
    np.testing.assert_allclose(kl, np.sum(target * (np.log(target) - log_q), axis=-1), rtol=1e-4, atol=1e-6)
    assert np.all(kl.numpy() > 0)


def test_kl_to_a_point_mass():
    # log 1 - log 0.2; entries of probability 0 add nothing.
    target = tf.constant([[0.0, 1.0, 0.0, 0.0, 0.0]])
    kl = categorical.kl(categorical.critic_loss(tf.zeros([1, 5]), target), target)
    np.testing.assert_allclose(kl, [np.log(5)], rtol=1e-6)


def test_kl_is_zero_where_both_are_the_same_and_never_below():
    logits = tf.constant(3 * np.random.RandomState(0).normal(size=(100, 51)), tf.float32)
    target = tf.nn.softmax(logits)
    kl = categorical.kl(categorical.critic_loss(logits, target), target).numpy()
    assert np.all(kl >= 0)  # a priority below 0 would be refused by the replay server
    np.testing.assert_allclose(kl, 0, atol=1e-5)


def test_mean():
    # Equal weights: the middle; ¼ at 1 and ¾ at 2: 1.75.
    logits = np.array([[0, 0, 0, 0, 0], [-99, -99, -99, 0, np.log(3)]], np.float32)
    np.testing.assert_allclose(categorical.mean(tf.constant(logits), tf.constant(SUPPORT)), [0, 1.75], atol=1e-6)
