"""The cross-entropy method on objectives whose answers are known; each with the variant that must fail beside it."""

import math

import numpy as np
import psutil
import pytest
import tensorflow as tf

from slac_tf.planning import cem

SMALL = cem.CemSettings(horizon=2, iterations=10, candidates=500, elites=50)


@pytest.fixture(autouse=True)
def seeded():
    tf.random.set_seed(0)


def quadratic(targets):
    """Of targets `[B, H, A]`: minus the squared distance of each candidate."""
    return lambda actions: -tf.reduce_sum(tf.square(actions - targets[:, tf.newaxis]), axis=[2, 3])


def one_iteration(candidates, elites, evaluate, **arguments):
    settings = cem.CemSettings(horizon=1, iterations=1, candidates=candidates, elites=elites)
    return cem.optimize(evaluate, settings, batch_size=1, action_size=1, **arguments)


def without(monkeypatch, name, replacement):
    """The wrong variant: one operation of the method is another."""
    parent, _, operation = name.rpartition(".")
    monkeypatch.setattr(getattr(tf, parent) if parent else tf, operation, replacement)


TARGET = np.array([[[0.3, -0.7], [1.5, -4.0]]], np.float32)  # two inside of the box, two outside


def test_quadratic():
    plan = cem.optimize(quadratic(TARGET), SMALL, batch_size=1, action_size=2)
    np.testing.assert_allclose(plan.mean, np.clip(TARGET, -1.0, 1.0), atol=0.02)


def test_quadratic_is_missed_without_clipping(monkeypatch):
    without(monkeypatch, "clip_by_value", lambda x, low, high: x)
    plan = cem.optimize(quadratic(TARGET), SMALL, batch_size=1, action_size=2)
    assert np.max(plan.mean) > 1.1


# Standard deviation of clip(N(0, 1), -1, 1): E min(z², 1) = P(|z| > 1) + P(|z| < 1) - 2 φ(1)
#   = 0.3173 + 0.6827 - 0.4839 = 0.5161, its root 0.718; standard error with 4,000 below 0.718 / √8000 = 0.008.
CLIPPED_STD = math.sqrt(1.0 - 2.0 * math.exp(-0.5) / math.sqrt(2.0 * math.pi))


def constant(actions):
    return tf.zeros(tf.shape(actions)[:2])


def test_refit_to_clipped_actions():
    assert pytest.approx(0.718, abs=0.001) == CLIPPED_STD
    assert float(one_iteration(20_000, 20_000, constant).std[0, 0, 0]) == pytest.approx(CLIPPED_STD, abs=0.01)
    assert float(one_iteration(40_000, 4_000, constant).std[0, 0, 0]) == pytest.approx(CLIPPED_STD, abs=0.02)


def test_elites_by_something_else_are_others():
    by_size = one_iteration(40_000, 4_000, lambda actions: tf.abs(actions[:, :, 0, 0]))
    assert abs(float(by_size.std[0, 0, 0]) - CLIPPED_STD) > 0.2


def test_refit_to_unclipped_actions_is_another(monkeypatch):
    without(monkeypatch, "clip_by_value", lambda x, low, high: x)
    assert float(one_iteration(20_000, 20_000, constant).std[0, 0, 0]) == pytest.approx(1.0, abs=0.02)


def test_each_environment_has_its_own_optimum():
    targets = np.array([[[0.5], [-0.5]], [[-0.8], [0.1]]], np.float32)
    plan = cem.optimize(quadratic(targets), SMALL, batch_size=2, action_size=1)
    np.testing.assert_allclose(plan.mean, targets, atol=0.02)
    # The other environment's objective changes nothing: with the same draws the first plan is the same.
    tf.random.set_seed(1)
    first = cem.optimize(quadratic(targets), SMALL, batch_size=2, action_size=1).mean[0]
    tf.random.set_seed(1)
    other = cem.optimize(quadratic(targets * [[[1.0]], [[-1.0]]]), SMALL, batch_size=2, action_size=1).mean
    np.testing.assert_array_equal(other[0], first)
    np.testing.assert_allclose(other[1], -targets[1], atol=0.02)


def test_environments_are_mixed_up_where_states_are_tiled():
    """An evaluator that repeats states in the other order than candidates; the method itself must not look like it."""
    targets = np.array([[[0.5], [-0.5]], [[-0.8], [0.1]]], np.float32)

    def mixed(actions):
        flat = tf.reshape(actions, [-1, 2, 1])  # [B * J, H, A]
        tiled = tf.tile(targets, [SMALL.candidates, 1, 1])  # in the order of J, then B
        return tf.reshape(-tf.reduce_sum(tf.square(flat - tiled), axis=[1, 2]), [2, -1])

    plan = cem.optimize(mixed, SMALL, batch_size=2, action_size=1)
    assert np.max(np.abs(plan.mean - targets)) > 0.2


def half(actions):
    return tf.cast(actions[:, :, 0, 0] > 0.0, tf.float32)


def test_mean_of_the_elites():
    # All positive candidates are worth the same: E min(|z|, 1) = 2 (φ(0) - φ(1)) + P(|z| > 1) = 0.6313.
    means = {k: [float(one_iteration(4 * k, k, half).mean[0, 0, 0]) for _ in range(60)] for k in (16, 256)}
    assert np.mean(means[256]) == pytest.approx(0.631, abs=0.02)
    # 16 times as many elites: a quarter of the spread.
    assert np.std(means[16]) / np.std(means[256]) == pytest.approx(4.0, rel=0.4)


def test_the_best_candidate_is_no_mean(monkeypatch):
    without(monkeypatch, "nn.moments", lambda x, axes: (x[:, 0], tf.zeros_like(x[:, 0])))
    means = {k: [float(one_iteration(4 * k, k, half).mean[0, 0, 0]) for _ in range(60)] for k in (16, 256)}
    assert not np.std(means[16]) / np.std(means[256]) == pytest.approx(4.0, rel=0.4)


# A point on a line, pushed for a step of 0.3 by u: x' = x + 0.3 v, v' = v + 0.3 u; costs x² + 0.1 v² + 0.5 u².
DT, HORIZON, STATE = 0.3, 12, np.array([0.4, 0.1])


def double_integrator(first_state):
    def evaluate(actions):
        x, v = first_state
        worth = 0.0
        for step in range(HORIZON):
            u = actions[:, :, step, 0]
            x, v = x + DT * v, v + DT * u
            worth -= x**2 + 0.1 * v**2 + 0.5 * u**2
        return worth

    return evaluate


def lqr_action(first_state):
    """The first action of the linear-quadratic regulator of finite horizon, by Riccati's recursion backwards."""
    a, b = np.array([[1.0, DT], [0.0, 1.0]]), np.array([[0.0], [DT]])
    cost, value = np.diag([1.0, 0.1]), np.zeros((2, 2))
    for _ in range(HORIZON):
        value = value + cost  # of the state that is arrived at
        gain = np.linalg.solve(0.5 + b.T @ value @ b, b.T @ value @ a)
        value = a.T @ value @ (a - b @ gain)
    return -float(gain @ first_state)


def test_linear_quadratic_optimum():
    expected = lqr_action(STATE)
    assert -0.95 < expected < -0.2  # the box does not matter, and doing nothing is no answer
    settings = cem.CemSettings(horizon=HORIZON)
    plan = cem.optimize(double_integrator(STATE), settings, batch_size=1, action_size=1)
    assert float(plan.mean[0, 0, 0]) == pytest.approx(expected, abs=0.03)
    # Wrong: minimized.
    wrong = cem.optimize(lambda a: -double_integrator(STATE)(a), settings, batch_size=1, action_size=1)
    assert float(wrong.mean[0, 0, 0]) != pytest.approx(expected, abs=0.03)


def test_warm_start_makes_up_for_few_iterations():
    few = cem.CemSettings(horizon=2, iterations=1, candidates=20, elites=10)
    cold = cem.optimize(quadratic(TARGET), few, batch_size=1, action_size=2)
    warm = cem.optimize(
        quadratic(TARGET), few, batch_size=1, action_size=2, first_mean=np.clip(TARGET, -1.0, 1.0).astype(np.float32)
    )
    error = [float(tf.norm(plan.mean - np.clip(TARGET, -1.0, 1.0))) for plan in (cold, warm)]
    assert error[1] < 0.6 * error[0]


def test_shifted():
    mean = tf.constant([[[1.0], [2.0], [3.0]]])
    np.testing.assert_array_equal(cem.shifted(mean), [[[2.0], [3.0], [0.0]]])


def test_no_iterations_give_the_first_mean():
    none = cem.CemSettings(horizon=2, iterations=0, candidates=3, elites=2)
    np.testing.assert_array_equal(cem.optimize(constant, none, batch_size=1, action_size=2).mean, np.zeros([1, 2, 2]))
    given = tf.fill([1, 2, 2], 0.25)
    plan = cem.optimize(constant, none, batch_size=1, action_size=2, first_mean=given)
    np.testing.assert_array_equal(plan.mean, given)


def test_in_a_graph_with_a_batch_size_that_is_known_late():
    draws = []

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 1])])
    def planned(targets):
        def evaluate(actions):
            draws.append(None)  # when it is traced
            return quadratic(targets)(actions)

        return cem.optimize(evaluate, SMALL, batch_size=tf.shape(targets)[0], action_size=1)

    for targets in ([[[0.5], [-0.5]]], [[[0.5], [-0.5]], [[-0.8], [0.1]]]):
        plan = planned(tf.constant(targets))
        np.testing.assert_allclose(plan.mean, targets, atol=0.02)
        assert plan.mean.shape == plan.std.shape == np.shape(targets)
    assert len(draws) == 1  # one loop in the graph, not an iteration beside the other
    assert planned.get_concrete_function().structured_outputs.mean.shape.as_list() == [None, 2, 1]


def test_evaluator_in_numpy():
    def evaluate(actions):
        return quadratic(TARGET)(actions).numpy().astype(np.float64)

    plan = cem.optimize(evaluate, SMALL, batch_size=1, action_size=2)
    np.testing.assert_allclose(plan.mean, np.clip(TARGET, -1.0, 1.0), atol=0.02)


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"horizon": 0}, "CemSettings.horizon: 0, expected an integer of at least 1"),
        ({"iterations": -1}, "CemSettings.iterations: -1, expected an integer of at least 0"),
        ({"candidates": 2.5}, "CemSettings.candidates: 2.5, expected an integer of at least 1"),
        ({"elites": 11, "candidates": 10}, "CemSettings.elites: 11, expected at most candidates 10"),
        ({"warm_start": 1}, "CemSettings.warm_start: 1, expected True or False"),
    ],
)
def test_settings_that_make_no_sense(wrong, expected):
    with pytest.raises(ValueError) as error:
        cem.CemSettings(**wrong)
    assert str(error.value).splitlines()[0] == expected  # gin adds who called


def test_eager_draws_keep_no_memory():
    settings = cem.CemSettings(horizon=1, iterations=300, candidates=2, elites=1)

    def plan():
        cem.optimize(lambda actions: tf.zeros(actions.shape[:2]), settings, batch_size=1, action_size=1)

    plan()
    before = psutil.Process().memory_info().rss
    plan()
    assert psutil.Process().memory_info().rss - before < 2**22  # a kernel for each draw would take 12 MiB
