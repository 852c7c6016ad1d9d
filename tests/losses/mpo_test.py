import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from slac_tf.losses import mpo

tfd = tfp.distributions
EPSILON = 0.1
# Three actions (rows) at two states.
QS = np.array([[0.0, 1.0], [1.0, -2.0], [3.0, 0.5]], np.float32)


def softmax(qs, temperature):
    exponentials = np.exp(qs.astype(np.float64) / temperature)
    return exponentials / np.sum(exponentials, axis=0)


def kl_to_uniform(weights):
    return np.sum(weights * np.log(weights * len(weights)), axis=0)


def dual(qs, temperature):
    """The E-step's dual in numpy."""
    return temperature * (EPSILON + np.mean(np.log(np.mean(np.exp(qs.astype(np.float64) / temperature), axis=0))))


def optimal_temperature(qs):
    """The dual's minimum on a grid, the points of which lie 0.02 % apart."""
    temperatures = np.exp(np.linspace(np.log(0.1), np.log(100.0), 30_001))
    return temperatures[np.argmin([dual(qs, temperature) for temperature in temperatures])]


@pytest.fixture(scope="module")
def temperature():
    return optimal_temperature(QS)


def policies():
    """A policy and its target, two states of three action dimensions."""
    policy = tfd.Normal(
        tf.constant([[0.0, 0.5, -1.0], [0.2, 0.0, 0.0]]), tf.constant([[0.5, 1.0, 0.25], [0.3, 0.6, 1.0]])
    )
    target = tfd.Normal(
        tf.constant([[0.1, 0.5, -0.5], [0.2, 1.0, -1.0]]), tf.constant([[0.5, 0.5, 0.5], [0.6, 0.3, 2.0]])
    )
    return policy, target


# E-step


def test_weights_by_hand():
    # Q̄ / η of 0, log 2 and log 5 at η = 2: weights 1, 2 and 5 of 8. Of equal values: a third each.
    qs = tf.constant([[0.0, 7.0], [2 * np.log(2.0), 7.0], [2 * np.log(5.0), 7.0]], tf.float32)
    weights = mpo.e_step_weights(qs, tf.constant(2.0))
    np.testing.assert_allclose(weights, [[1 / 8, 1 / 3], [2 / 8, 1 / 3], [5 / 8, 1 / 3]], rtol=1e-6)


def test_weights_of_large_values_are_finite():
    weights = mpo.e_step_weights(tf.constant([[1e4], [0.0]]), tf.constant(1e-3))
    np.testing.assert_allclose(weights, [[1.0], [0.0]])


def test_temperature_loss_by_hand():
    # η (ε + log mean exp(Q̄ / η)) = 2 (0.1 + log((1 + 2 + 5) / 3)); of equal values q it is η ε + q = 0.2 + 7.
    qs = tf.constant([[0.0, 7.0], [2 * np.log(2.0), 7.0], [2 * np.log(5.0), 7.0]], tf.float32)
    loss = mpo.temperature_loss(qs, tf.constant(2.0), EPSILON)
    np.testing.assert_allclose(loss, [2 * (0.1 + np.log(8 / 3)), 7.2], rtol=1e-6)


def test_temperature_loss_of_large_values_is_finite():
    # log((exp(1e7) + 1) / 2) = 1e7 - log 2, times η; exp alone would be infinite.
    loss = mpo.temperature_loss(tf.constant([[1e4], [0.0]]), tf.constant(1e-3), EPSILON)
    np.testing.assert_allclose(loss, [1e4], rtol=1e-5)


def test_kl_of_the_e_step_by_hand():
    # Σ w log(N w): all on one of four, log 4; half and half on two of four, log 2; uniform, 0.
    weights = tf.constant([[1.0, 0.5, 0.25], [0.0, 0.5, 0.25], [0.0, 0.0, 0.25], [0.0, 0.0, 0.25]])
    np.testing.assert_allclose(mpo.e_step_kl(weights), [np.log(4), np.log(2), 0.0], atol=1e-6)


def test_at_the_duals_minimum_the_kl_is_its_bound(temperature):
    weights = mpo.e_step_weights(tf.constant(QS), tf.constant(temperature, tf.float32))
    np.testing.assert_allclose(np.mean(mpo.e_step_kl(weights)), EPSILON, rtol=1e-2)


def test_the_loss_has_its_minimum_at_the_duals(temperature):
    eta = tf.Variable(temperature, dtype=tf.float32)

    def loss_and_gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(mpo.temperature_loss(tf.constant(QS), eta, EPSILON))
        return float(loss), float(tape.gradient(loss, eta))

    loss, gradient = loss_and_gradient()
    assert loss == pytest.approx(dual(QS, temperature), rel=1e-5)
    assert gradient == pytest.approx(0.0, abs=1e-3)
    # Elsewhere the gradient is ε - KL: descent raises η where the KL exceeds its bound, lowers it where it does not.
    for factor, sign in ((0.5, -1.0), (2.0, 1.0)):
        eta.assign(factor * temperature)
        other, gradient = loss_and_gradient()
        assert other > loss
        assert np.sign(gradient) == sign
        expected = EPSILON - np.mean(kl_to_uniform(softmax(QS, factor * temperature)))
        assert gradient == pytest.approx(expected, rel=1e-3)


def test_no_gradient_flows_into_the_values():
    qs, eta = tf.constant(QS), tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([qs, eta])
        weights = mpo.e_step_weights(qs, eta)
        loss = mpo.temperature_loss(qs, eta, EPSILON)
    assert tape.gradient(weights, [qs, eta]) == [None, None]
    by_qs, by_eta = tape.gradient(loss, [qs, eta])
    assert by_qs is None
    assert by_eta is not None


# M-step


def test_decoupled_policies():
    policy, target = policies()
    of_mean, of_std = mpo.decouple(policy, target)
    np.testing.assert_array_equal(of_mean.loc, policy.loc)
    np.testing.assert_array_equal(of_mean.scale, target.scale)
    np.testing.assert_array_equal(of_std.loc, target.loc)
    np.testing.assert_array_equal(of_std.scale, policy.scale)


def test_m_step_loss_by_hand():
    # One dimension. The mean's policy is N(1, 2²), the deviation's N(0, 1); actions 0 and 2 weigh 3/4 and 1/4.
    policy = tfd.Normal(tf.constant([[1.0]]), tf.constant([[1.0]]))
    target = tfd.Normal(tf.constant([[0.0]]), tf.constant([[2.0]]))
    actions, weights = tf.constant([[[0.0]], [[2.0]]]), tf.constant([[0.75], [0.25]])
    # Of the mean's -log π = (±1 / 2)² / 2 + log 2 + c, with c = log(2π) / 2; of the deviation's 0 + c and 2² / 2 + c.
    c = 0.5 * np.log(2 * np.pi)
    expected = (1 / 8 + np.log(2) + c) + (0.75 * c + 0.25 * (2 + c))
    np.testing.assert_allclose(mpo.m_step_loss(policy, target, actions, weights), [expected], rtol=1e-6)


def test_gradients_of_the_m_step_by_hand():
    # As above. By the mean: -Σ w (a - μ) / σ̄² = -(0.75 * -1 + 0.25 * 1) / 4 = 1/8, so that it descends to action 0.
    # By the deviation: Σ w (1 / σ - (a - μ̄)² / σ³) = 1 - 0.25 * 4 = 0, the weighted variance being 1.
    parameters = [tf.constant([[value]]) for value in (1.0, 1.0, 0.0, 2.0)]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        policy, target = tfd.Normal(*parameters[:2]), tfd.Normal(*parameters[2:])
        loss = mpo.m_step_loss(policy, target, tf.constant([[[0.0]], [[2.0]]]), tf.constant([[0.75], [0.25]]))
    by_loc, by_scale, *of_target = tape.gradient(loss, parameters)
    np.testing.assert_allclose(by_loc, [[0.125]], rtol=1e-6)
    np.testing.assert_allclose(by_scale, [[0.0]], atol=1e-6)
    assert of_target == [None, None]


def gradients(value):
    """Of the sum of `value(policy, target)`, by location and scale of the policy and of the target."""
    parameters = [parameter for each in policies() for parameter in (each.loc, each.scale)]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        result = tf.reduce_sum(value(tfd.Normal(*parameters[:2]), tfd.Normal(*parameters[2:])))
    return [None if g is None else np.array(g) for g in tape.gradient(result, parameters)]


@pytest.mark.parametrize("of", ["mean", "std"])
@pytest.mark.parametrize("what", ["log_prob", "kl"])
def test_mean_and_deviation_are_trained_apart(what, of):
    actions = tf.random.stateless_normal([5, 2, 3], seed=(1, 2))

    def value(policy, target):
        if what == "kl":
            return getattr(mpo.kl_by_dimension(policy, target), of)
        return getattr(mpo.decouple(policy, target), of).log_prob(actions)

    loc, scale, *of_target = gradients(value)
    assert of_target == [None, None]
    trained, left = (loc, scale) if of == "mean" else (scale, loc)
    assert left is None
    assert np.any(trained != 0)


def test_kl_by_hand():
    # Mean: from 1 to 0 with the target's 2, (1/2)² / 2 = 1/8. Deviation: from 2 to 1, log(1/2) + 4/2 - 1/2.
    policy = tfd.Normal(tf.constant([[0.0]]), tf.constant([[1.0]]))
    target = tfd.Normal(tf.constant([[1.0]]), tf.constant([[2.0]]))
    kl = mpo.kl_by_dimension(policy, target)
    np.testing.assert_allclose(kl.mean, [[0.125]], rtol=1e-6)
    np.testing.assert_allclose(kl.std, [[1.5 - np.log(2)]], rtol=1e-6)


def test_kl_is_that_from_the_target_to_the_decoupled_policies():
    policy, target = policies()
    kl = mpo.kl_by_dimension(policy, target)
    for result, decoupled in zip(kl, mpo.decouple(policy, target)):
        assert result.shape == (2, 3)
        expected = tfd.kl_divergence(target, decoupled)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_kl_and_its_gradient_are_zero_where_the_policy_is_the_target():
    _, target = policies()
    parameters = [tf.identity(target.loc), tf.identity(target.scale)]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        kl = mpo.kl_by_dimension(tfd.Normal(*parameters), target)
        total = tf.reduce_sum(kl.mean) + tf.reduce_sum(kl.std)
    for value in (*kl, *tape.gradient(total, parameters)):
        np.testing.assert_allclose(value, np.zeros([2, 3]), atol=1e-6)


# Trust region


def test_trust_region_loss_by_hand():
    penalty, dual_loss = mpo.trust_region_loss(tf.constant([0.5, 0.02]), tf.constant([2.0, 10.0]), EPSILON)
    # Σ α KL = 2 * 0.5 + 10 * 0.02 and Σ α (ε - KL) = 2 * (0.1 - 0.5) + 10 * (0.1 - 0.02).
    np.testing.assert_allclose(penalty, 1.2, rtol=1e-6)
    np.testing.assert_allclose(dual_loss, 0.0, atol=1e-6)


def test_trust_region_pulls_policy_and_multipliers():
    # The first dimension is outside of its bound, the second on it, the third inside.
    kl, alpha = tf.constant([0.5, 0.1, 0.02]), tf.constant([2.0, 1.0, 10.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([kl, alpha])
        penalty, dual_loss = mpo.trust_region_loss(kl, alpha, EPSILON)
    # The policy descends the KL by α. The multiplier's gradient is ε - KL: descent raises it outside, lowers it inside.
    by_kl, by_alpha = tape.gradient(penalty, [kl, alpha])
    np.testing.assert_allclose(by_kl, alpha)
    assert by_alpha is None
    by_kl, by_alpha = tape.gradient(dual_loss, [kl, alpha])
    assert by_kl is None
    np.testing.assert_allclose(by_alpha, [-0.4, 0.0, 0.08], atol=1e-7)
