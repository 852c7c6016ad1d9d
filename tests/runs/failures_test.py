"""Lines and files of runs that cannot go on."""

import errno
import resource

import fakes
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.agents import tf_agent

from slac_tf.environments import faults
from slac_tf.replay import reader
from slac_tf.runs import failures, run_dir


class Saver:
    def kept(self):
        return "there is no checkpoint yet"


@pytest.fixture
def weights():
    return [tf.Variable([1.0], name="good")]


@pytest.fixture
def made(tmp_path, weights):
    return failures.Failures(run_dir.RunDir(tmp_path), Saver(), lambda: weights)


def batch(reward):
    experience = fakes.experience()
    return experience._replace(reward=tf.constant(reward, tf.float32, experience.reward.shape))


def losses(**values):
    yield tf_agent.LossInfo(tf.constant(1.0), {name: tf.constant(value) for name, value in values.items()})


def test_names_of_a_nest():
    experience = fakes.experience()
    names = [name for name, _ in failures.named_entries(experience)]
    assert names == ["step_type", "observation/pixels", "action", "next_step_type", "reward", "discount"]
    weighted = reader.Batch(experience, weights=tf.constant([0.5]), keys=tf.constant([1]))
    names = [name for name, _ in failures.named_entries(weighted)]
    assert names[1] == "experience/observation/pixels"
    assert names[-2:] == ["weights", "keys"]


def test_statistics():
    # Finite: -1, 2, 5, of mean 2.
    assert failures.statistics(np.float32([-1, 2, 5])) == "-1 to 5, mean 2"
    assert failures.statistics(np.float32([-1, np.nan, 2, 5, np.inf])) == "-1 to 5, mean 2, 2 of 5 not finite"
    assert failures.statistics(np.float32([np.nan])) == "has no finite number, 1 of 1 not finite"
    assert failures.statistics(np.uint8([0, 255])) == "0 to 255, mean 127.5"
    assert failures.statistics(np.full(4, 3e38, np.float32)) == "3e+38 to 3e+38, mean 3e+38"  # no overflow of the sum


def test_finite_losses_are_given_as_numbers(made):
    assert made.checked(losses(critic=0.5), lambda: "train step 1") == {"loss": 1.0, "critic": 0.5}


def test_a_loss_that_is_not_finite_leaves_its_batch(made, tmp_path):
    made.checked(losses(critic=0.5), lambda: "train step 2")
    kept = made.keep(batch(reward=1e38))
    with pytest.raises(failures.NonFiniteLossError) as caught:
        made.checked(losses(critic=np.inf), lambda: "train step 3")
    line = str(caught.value)
    assert line.startswith("critic is inf at train step 3, expected a finite number; ")
    assert "reward 1e+38 to 1e+38, mean 1e+38" in line
    assert "observation/pixels 0 to 255, mean 12" in line
    assert "discount" not in line and "\n" not in line
    assert str(tmp_path / "failed_batch.npz") in line
    assert "there is no checkpoint yet" in line
    with np.load(tmp_path / "failed_batch.npz") as saved:
        assert set(saved) == {name for name, _ in failures.named_entries(kept)}
        np.testing.assert_array_equal(saved["observation/pixels"], kept.observation["pixels"])
        np.testing.assert_array_equal(saved["reward"], kept.reward)
    report = (tmp_path / "failure.txt").read_text()
    assert "critic is inf at train step 3" in report
    assert "  discount float32[4, 3]: 1 to 1, mean 1\n" in report
    assert "weights that are not finite: none\n" in report
    assert "losses of the last 2 steps:\n  loss, critic\n  1, 0.5\n  1, inf\n" in report
    assert {path.name for path in tmp_path.iterdir()} == {"failed_batch.npz", "failure.txt"}


def test_an_entry_that_is_not_finite_is_on_the_line(made):
    made.keep(batch(0.0)._replace(discount=tf.constant([[1.0, np.nan]])))
    with pytest.raises(failures.NonFiniteLossError, match="discount 1 to 1, mean 1, 1 of 2 not finite"):
        made.checked(losses(critic=np.nan), lambda: "train step 3")


@pytest.mark.parametrize("in_a_graph", [False, True])
def test_an_agent_that_stops_by_itself(made, tmp_path, in_a_graph):
    def check(loss):
        return tf.debugging.check_numerics(loss, "Critic loss is inf or nan.")

    def stops():
        made.keep(batch(2.0))
        yield tf_agent.LossInfo((tf.function(check) if in_a_graph else check)(tf.constant(np.nan)), {})

    with pytest.raises(failures.NonFiniteLossError) as caught:
        made.checked(stops(), lambda: "train step 3")
    words = "Critic loss is inf or nan. : Tensor had NaN values at train step 3, expected a finite number; "
    assert str(caught.value).startswith(words)
    assert "reward 2 to 2" in str(caught.value)
    assert (tmp_path / "failed_batch.npz").exists()


def test_another_error_of_tensorflow_stays_what_it_is(made, tmp_path):
    def stops():
        yield tf.reshape(tf.zeros([3]), [2])

    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        made.checked(stops(), lambda: "train step 3")
    assert not list(tmp_path.iterdir())


def test_weights(made, tmp_path, weights):
    made.check_weights("train step 3")
    weights.append(tf.Variable([1.0, np.nan], name="bad"))
    with pytest.raises(failures.NonFiniteLossError, match=r"bad:0 is not finite at train step 3, .* no checkpoint yet"):
        made.check_weights("train step 3")  # nothing was sampled yet: nothing to save
    assert not list(tmp_path.iterdir())
    made.keep(batch(2.0))
    with pytest.raises(failures.NonFiniteLossError, match=r"bad:0 is not finite"):
        made.check_weights("train step 3")
    assert (tmp_path / "failed_batch.npz").exists()
    assert "weights that are not finite: bad:0\n" in (tmp_path / "failure.txt").read_text()


def test_a_full_disk_does_not_hide_the_loss(made, tmp_path):
    made.keep(batch(2.0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "failed_batch.npz").write_bytes(b"older")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # the report is smaller, the batch is not
    try:
        with pytest.raises(failures.NonFiniteLossError) as caught:
            made.checked(losses(critic=np.nan), lambda: "train step 3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "critic is nan at train step 3" in str(caught.value)
    assert f"the batch could not be written ([Errno {errno.EFBIG}]" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"failed_batch.npz", "failure.txt"}
    assert (tmp_path / "failed_batch.npz").read_bytes() == b"older"  # whole, as before


def test_nor_does_a_directory_that_is_gone(tmp_path):
    made = failures.Failures(run_dir.RunDir(tmp_path / "gone"), Saver(), list)
    made.keep(batch(2.0))
    with pytest.raises(failures.NonFiniteLossError, match=r"critic is nan .* could not be written .* statistics above"):
        made.checked(losses(critic=np.nan), lambda: "train step 3")


def fault():
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        try:
            raise faults.FaultyEnvironmentError("point: step() raised ZeroDivisionError") from error
        except faults.FaultyEnvironmentError as raised:
            return raised


def test_a_fault_of_the_environment(made, tmp_path):
    error = made.environment(fault(), "train step 3", lambda: tmp_path / "checkpoint-7")
    assert str(error) == (
        f"point: step() raised ZeroDivisionError at train step 3; {tmp_path}/checkpoint-7 is written, and the same "
        f"command resumes there; traceback in {tmp_path}/failure.txt"
    )
    report = (tmp_path / "failure.txt").read_text()
    assert "ZeroDivisionError: division by zero" in report  # the environment's own, and where it came from
    assert 'raise ZeroDivisionError("division by zero")' in report
    made.environment(fault(), "train step 4", lambda: tmp_path / "checkpoint-8")
    assert (tmp_path / "failure.txt").read_text().startswith(report)  # the earlier one stays


def test_a_fault_and_no_checkpoint(made, tmp_path):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    error = made.environment(fault(), "train step 3", full)
    assert "no checkpoint could be written ([Errno 28] No space left on device): there is no checkpoint yet" in str(
        error
    )


def test_an_environment_that_cannot_be_closed():
    def close():
        raise OSError("the simulator is gone")

    failures.closed(close)  # logged
