"""What a run does where a loss, a gradient or a weight is not finite."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.agents import tf_agent

from slac_tf.runs import failures, finite, run_dir

BATCH = {"reward": np.float32([1, 2])}


class Saver:
    def kept(self):
        return "there is no checkpoint yet"


@pytest.fixture
def weights():
    return [tf.Variable([1.0], name="good")]


@pytest.fixture
def guard(tmp_path, weights):
    record = failures.Record(run_dir.RunDir(tmp_path))
    return finite.FiniteGuard(record, Saver(), lambda: weights, lambda: "train step 3")


def losses(loss=1.0, **values):
    return tf_agent.LossInfo(tf.constant(loss), {name: tf.constant(value) for name, value in values.items()})


def test_finite_losses_are_given_as_numbers(guard):
    values = guard.check(BATCH, losses(critic=0.5, priorities=[0.1, 0.2], skipped_steps=0))
    assert values == {"loss": 1.0, "critic": 0.5, "skipped_steps": 0.0}  # what is no scalar is not logged


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_agent_that_skips_no_steps_ends_the_run_at_once(guard, tmp_path, value):
    guard.check(BATCH, losses(critic=0.5))
    with pytest.raises(finite.NonFiniteError) as caught:
        guard.check(BATCH, losses(loss=value, critic=value))
    line = str(caught.value)
    assert line.startswith(f"critic is {value} at train step 3, expected a finite number; reward 1 to 2, mean 1.5; ")
    assert "there is no checkpoint yet" in line and "\n" not in line
    assert (tmp_path / "failed_batch.npz").exists()
    report = (tmp_path / "failure.txt").read_text()
    assert "weights that are not finite: none\n" in report
    assert f"the last 2 steps:\n  loss, critic\n  1, 0.5\n  {value:.6g}, {value:.6g}\n" in report


def test_a_skipped_step_is_said_and_written_down(guard, tmp_path, caplog):
    values = guard.check(BATCH, losses(loss=np.nan, critic=np.nan, actor_gradient_norm=1.0, skipped_steps=4))
    assert np.isnan(values["critic"])
    assert (
        "critic is nan at train step 3, expected a finite number: nothing was changed by this step, skipped step 4 of "
        "the run; reward 1 to 2" in caplog.text
    )
    assert (tmp_path / "failed_batch.npz").exists()


def test_a_gradient_alone(guard, caplog):
    guard.check(BATCH, losses(critic=0.5, critic_gradient_norm=np.inf, skipped_steps=1))
    assert "critic_gradient_norm is inf at train step 3" in caplog.text


def test_what_decides_nothing_is_no_skipped_step(guard, caplog):
    values = guard.check(BATCH, losses(critic_loss=0.5, q_mean=np.inf, skipped_steps=3))
    assert values["q_mean"] == np.inf and not caplog.text


def test_ten_in_a_row_end_the_run(guard):
    bad = losses(loss=np.nan, critic_loss=np.nan, skipped_steps=1)
    for _ in range(9):
        guard.check(BATCH, bad)
    guard.check(BATCH, losses(critic=0.5, skipped_steps=9))  # a good one between: counted anew
    for _ in range(9):
        guard.check(BATCH, bad)
    with pytest.raises(finite.NonFiniteError, match=r"critic_loss is nan .*, as in the 9 steps before"):
        guard.check(BATCH, bad)


def test_writing_down_has_an_end(guard, tmp_path):
    for _ in range(30):
        guard.check(BATCH, losses(loss=np.nan, critic_loss=np.nan, skipped_steps=1))
        guard.check(BATCH, losses(critic=0.5, skipped_steps=1))
    assert (tmp_path / "failure.txt").read_text().count("critic_loss is nan") == 10


def test_weights(guard, tmp_path, weights):
    guard.check_weights()
    weights.append(tf.Variable([1.0, np.nan], name="bad"))
    with pytest.raises(finite.NonFiniteError, match=r"bad:0 is not finite at train step 3, .* no checkpoint yet"):
        guard.check_weights()  # nothing was trained on yet: nothing to write down
    assert not list(tmp_path.iterdir())
    guard.check(BATCH, losses(critic=0.5))
    with pytest.raises(finite.NonFiniteError, match=r"bad:0 is not finite"):
        guard.check_weights()
    assert "weights that are not finite: bad:0\n" in (tmp_path / "failure.txt").read_text()
