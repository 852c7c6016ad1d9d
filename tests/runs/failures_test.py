"""Lines and files of runs that cannot go on."""

import errno
import resource

import fakes
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.environments import faults
from slac_tf.runs import failures, run_dir


@pytest.fixture
def record(tmp_path):
    return failures.Record(run_dir.RunDir(tmp_path))


def batch(reward):
    experience = fakes.experience()
    return experience._replace(reward=tf.constant(reward, tf.float32, experience.reward.shape))


def test_statistics():
    # Finite: -1, 2, 5, of mean 2.
    assert failures.statistics(np.float32([-1, 2, 5])) == "-1 to 5, mean 2"
    assert failures.statistics(np.float32([-1, np.nan, 2, 5, np.inf])) == "-1 to 5, mean 2, 2 of 5 not finite"
    assert failures.statistics(np.float32([np.nan])) == "has no finite number, 1 of 1 not finite"
    assert failures.statistics(np.uint8([0, 255])) == "0 to 255, mean 127.5"
    assert failures.statistics(np.full(4, 3e38, np.float32)) == "3e+38 to 3e+38, mean 3e+38"  # no overflow of the sum


def test_a_batch_and_what_is_said_of_it(record, tmp_path):
    kept = batch(reward=1e38)
    line = record.batch("critic is inf", kept, "details\n")
    assert line == (
        f"observation/pixels 0 to 255, mean {kept.observation['pixels'].numpy().mean():.4g}, "
        f"reward 1e+38 to 1e+38, mean 1e+38; the batch is in {tmp_path}/failed_batch.npz, "
        f"statistics in {tmp_path}/failure.txt"
    )
    with np.load(tmp_path / "failed_batch.npz") as saved:
        assert set(saved) == {*kept._fields, "observation/pixels"} - {"observation", "policy_info"}
        np.testing.assert_array_equal(saved["observation/pixels"], kept.observation["pixels"])
        np.testing.assert_array_equal(saved["reward"], kept.reward)
    report = (tmp_path / "failure.txt").read_text()
    assert "critic is inf\nthe batch:\n" in report and report.endswith("details\n\n")
    assert "  discount float32[4, 3]: 1 to 1, mean 1\n" in report
    assert {path.name for path in tmp_path.iterdir()} == {"failed_batch.npz", "failure.txt"}


def test_an_entry_that_is_not_finite_is_on_the_line(record):
    kept = batch(0.0)._replace(discount=tf.constant([[1.0, np.nan]]))
    assert "discount 1 to 1, mean 1, 1 of 2 not finite" in record.batch("x", kept, "")
    assert "discount" not in record.batch("x", batch(0.0), "")


def test_a_full_disk_does_not_hide_what_happened(record, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "failed_batch.npz").write_bytes(b"older")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # the report is smaller, the batch is not
    try:
        line = record.batch("critic is nan", batch(2.0), "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"the batch could not be written ([Errno {errno.EFBIG}]" in line
    assert {path.name for path in tmp_path.iterdir()} == {"failed_batch.npz", "failure.txt"}
    assert (tmp_path / "failed_batch.npz").read_bytes() == b"older"  # whole, as before


def test_nor_does_a_directory_that_is_gone(tmp_path):
    line = failures.Record(run_dir.RunDir(tmp_path / "gone")).batch("critic is nan", batch(2.0), "")
    assert "could not be written" in line and line.endswith("statistics above")


def fault():
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        try:
            raise faults.FaultyEnvironmentError("point: step() raised ZeroDivisionError") from error
        except faults.FaultyEnvironmentError as raised:
            return raised


def test_a_traceback(record, tmp_path):
    assert record.error("at step 3", fault()) == f"in {tmp_path}/failure.txt"
    report = (tmp_path / "failure.txt").read_text()
    assert "ZeroDivisionError: division by zero" in report  # the environment's own, and where it came from
    assert 'raise ZeroDivisionError("division by zero")' in report
    record.error("at step 4", fault())
    assert (tmp_path / "failure.txt").read_text().startswith(report)  # the earlier one stays


def test_an_environment_that_cannot_be_closed():
    def close():
        raise OSError("the simulator is gone")

    failures.closed(close)  # logged
