import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import optimizers


def moments(optimizer, variable):
    return [optimizer.get_slot(variable, name).numpy() for name in ("m", "v")]


def test_moments_are_there_before_the_first_step():
    variables = [tf.Variable([1.0, 2.0]), tf.Variable(3.0)]
    optimizer = optimizers.adam(0.1)
    optimizers.create_moments(optimizer, variables)
    assert len(optimizer.variables()) == 1 + 2 * 2  # iterations, two moments each
    for variable in variables:
        for moment in moments(optimizer, variable):
            np.testing.assert_array_equal(moment, np.zeros(variable.shape))
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
    assert len(optimizer.variables()) == 1 + 2 * 2


@pytest.mark.parametrize("gradient", [1.0, -3.0, 1e-6])
def test_first_step_by_hand(gradient):
    variable = tf.Variable(5.0)
    optimizers.adam(0.1).apply_gradients([(tf.constant(gradient), variable)])
    # TensorFlow 1's epsilon stands beside the uncorrected second moment: m = 0.1 g, v = 0.001 g².
    rate = 0.1 * np.sqrt(1 - 0.999) / (1 - 0.9)
    expected = rate * 0.1 * gradient / (np.sqrt(0.001) * abs(gradient) + 1e-8)
    assert 5.0 - float(variable) == pytest.approx(expected, rel=1e-4)
    if gradient == 1e-6:
        assert expected < 0.08  # where epsilon counts


@pytest.mark.parametrize(
    ("clip_norm", "expected"),
    [
        (None, (3.0, 4.0)),
        (1.0, (0.6, 0.8)),  # the norm of both together is 5
        (10.0, (3.0, 4.0)),
    ],
)
def test_gradients_are_clipped_by_their_common_norm(clip_norm, expected):
    variables = [tf.Variable(0.0), tf.Variable(0.0)]
    optimizer = optimizers.adam(0.1, clip_norm)
    optimizer.apply_gradients(zip([tf.constant(3.0), tf.constant(4.0)], variables))
    first = [moments(optimizer, variable)[0] for variable in variables]
    np.testing.assert_allclose(first, 0.1 * np.array(expected), rtol=1e-5)


def test_a_checkpoint_read_before_training_brings_the_moments_back(tmp_path):
    variable = tf.Variable([1.0, 2.0])
    optimizer = optimizers.adam(0.1)
    optimizer.apply_gradients([(tf.constant([1.0, -2.0]), variable)])
    path = tf.train.Checkpoint(variable=variable, optimizer=optimizer).write(str(tmp_path / "adam"))
    other = tf.Variable([0.0, 0.0])
    restored = optimizers.adam(0.1)
    optimizers.create_moments(restored, [other])
    tf.train.Checkpoint(variable=other, optimizer=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(other, variable)
    assert int(restored.iterations) == 1
    np.testing.assert_array_equal(moments(restored, other), moments(optimizer, variable))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(
    ("second_loss", "second_norm", "is_finite"),
    [
        (lambda v: -2.0 * v, 2.0, True),
        (lambda v: tf.constant(1.0), 0.0, True),  # depends on no variable
        (lambda v: 0.0 * v + np.nan, 0.0, False),  # the loss alone is not finite
        (lambda v: tf.sqrt(v - 1.0), np.inf, False),  # the gradient alone
        (lambda v: np.inf * v, np.inf, False),
    ],
)
def test_a_step_is_made_whole_or_not_at_all(compiled, second_loss, second_norm, is_finite):
    variables = [tf.Variable([1.0, 2.0]), tf.Variable(1.0)]
    adams = [optimizers.adam(0.1, clip_norm=1.0), optimizers.adam(0.1)]
    for optimizer, variable in zip(adams, variables):
        optimizers.create_moments(optimizer, [variable])
    made, skipped = tf.Variable(0), tf.Variable(0)

    def step():
        with tf.GradientTape(persistent=True) as tape:
            losses = [tf.reduce_sum([3.0, 4.0] * variables[0]), second_loss(variables[1])]
        objectives = [
            optimizers.Objective(name, loss, tape, optimizer, [variable])
            for name, loss, optimizer, variable in zip(("first", "second"), losses, adams, variables)
        ]
        return optimizers.step_if_finite(objectives, lambda: made.assign_add(1), lambda: skipped.assign_add(1))

    norms = tf.function(step)() if compiled else step()
    np.testing.assert_allclose(norms, [5.0, second_norm])  # before clipping
    assert (int(made), int(skipped)) == (int(is_finite), int(not is_finite))
    moved = [is_finite, is_finite and second_norm > 0]
    assert [bool(np.any(v.numpy() != old)) for v, old in zip(variables, ([1.0, 2.0], 1.0))] == moved
    first, _ = moments(adams[0], variables[0])
    np.testing.assert_allclose(first, 0.1 * np.array([0.6, 0.8]) if is_finite else [0.0, 0.0], rtol=1e-5)


@pytest.mark.parametrize("gradient", [1e-6, 1e-2, 10.0])
def test_rmsprops_step(gradient):
    variable = tf.Variable(1.0)
    optimizers.rmsprop(1e-3, clip_norm=0.5).apply_gradients([(tf.constant(gradient), variable)])
    clipped = min(gradient, 0.5)
    # v = 0.01 g² after the first step.
    wanted = 1e-3 * clipped / (0.1 * clipped + 1e-5)
    np.testing.assert_allclose(1.0 - variable.numpy(), wanted, rtol=1e-3)
