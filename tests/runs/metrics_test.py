import csv
import json
import os

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from slac_tf.runs import metrics, run_dir


@pytest.fixture
def directory(tmp_path):
    return run_dir.RunDir(tmp_path)


def row(env_step):
    return {"task": "a,b", "OriginalEnvironmentSteps": env_step, "AverageReturnEvalPolicy": 1.5}


def begun(directory):
    writer = metrics.MetricsWriter(directory)
    writer.begin()
    return writer


def scalars(place, tag):
    events = event_accumulator.EventAccumulator(str(place), size_guidance={"tensors": 0})
    events.Reload()
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def read_csv(directory):
    with directory.eval_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def read_lines(directory):
    return [json.loads(line) for line in directory.metrics.read_text().splitlines()]


def test_lines(directory):
    writer = metrics.MetricsWriter(directory)
    writer.line("train", {"train_step": 1, "loss": 0.5})
    metrics.MetricsWriter(directory).line("eval", {"env_step": 2, "return": None})
    first, second = read_lines(directory)
    assert {name: first[name] for name in ("kind", "train_step", "loss")} == dict(kind="train", train_step=1, loss=0.5)
    assert second["kind"] == "eval"
    assert second["return"] is None
    assert 0 <= second["time"] - first["time"] < 60


def test_eval_rows_have_one_header(directory):
    metrics.MetricsWriter(directory).eval_row(row(10))
    metrics.MetricsWriter(directory).eval_row(row(20))
    lines = directory.eval_csv.read_text().splitlines()
    assert lines[0] == "task,OriginalEnvironmentSteps,AverageReturnEvalPolicy"
    assert len(lines) == 3
    rows = read_csv(directory)
    assert [row["OriginalEnvironmentSteps"] for row in rows] == ["10", "20"]
    assert rows[0]["task"] == "a,b"


def test_restore_cuts_to_what_the_checkpoint_knew(directory):
    writer = begun(directory)
    writer.line("train", {"train_step": 1})
    writer.eval_row(row(10))
    state = json.loads(json.dumps(writer.state()))
    assert state["metrics.jsonl"] == os.path.getsize(directory.metrics)
    assert state["eval.csv"] == os.path.getsize(directory.eval_csv)
    before = directory.metrics.read_bytes(), directory.eval_csv.read_bytes()
    writer.line("train", {"train_step": 2})
    writer.eval_row(row(20))
    with directory.metrics.open("a") as file:
        file.write('{"kind": "tra')  # killed while writing

    resumed = metrics.MetricsWriter(directory)
    resumed.restore(state)
    assert (directory.metrics.read_bytes(), directory.eval_csv.read_bytes()) == before
    resumed.line("train", {"train_step": 2})
    resumed.eval_row(row(20))
    assert [line["train_step"] for line in read_lines(directory)] == [1, 2]
    assert [row["OriginalEnvironmentSteps"] for row in read_csv(directory)] == ["10", "20"]


def test_restore_cuts_tensorboards_events(directory):
    first = begun(directory)
    first.scalars("train", {"loss": 0.5}, step=1)
    state = json.loads(json.dumps(first.state()))
    first.scalars("train", {"loss": 0.25}, step=2)  # after the checkpoint: it will be made again
    first.flush()

    second = metrics.MetricsWriter(directory)
    second.restore(state)
    second.scalars("train", {"loss": 0.125}, step=2)
    second.flush()
    assert scalars(directory.train, "loss") == [(1, 0.5), (2, 0.125)]

    third = metrics.MetricsWriter(directory)  # ended before a checkpoint of its own: what the second wrote goes
    third.restore(state)
    third.scalars("train", {"loss": 0.375}, step=2)
    third.flush()
    assert scalars(directory.train, "loss") == [(1, 0.5), (2, 0.375)]


def test_restore_to_before_the_first_row(directory):
    writer = begun(directory)
    state = writer.state()
    writer.eval_row(row(10))
    metrics.MetricsWriter(directory).restore(state)
    writer.eval_row(row(10))  # with the header once more
    assert [row["OriginalEnvironmentSteps"] for row in read_csv(directory)] == ["10"]


def test_restore_leaves_a_file_that_is_gone(directory):
    metrics.MetricsWriter(directory).restore({"metrics.jsonl": 100, "eval.csv": 100})
    assert not directory.metrics.exists()


def test_restore_says_that_lines_are_missing(directory, caplog):
    directory.metrics.write_text("{}\n")
    metrics.MetricsWriter(directory).restore({"metrics.jsonl": 100})
    assert "3 bytes, expected 100: lines are missing" in caplog.text
    assert directory.metrics.read_text() == "{}\n"


def test_tensorboard_scalars(directory):
    writer = begun(directory)
    writer.scalars("train", {"Losses/loss": 0.5, "Metrics/AverageReturn": 2.0}, step=10)
    writer.scalars("train", {"Losses/loss": 0.25}, step=20)
    writer.scalars("eval", {"Metrics/AverageReturn": 3.0}, step=10)
    writer.flush()
    assert scalars(directory.train, "Losses/loss") == [(10, 0.5), (20, 0.25)]
    assert scalars(directory.train, "Metrics/AverageReturn") == [(10, 2.0)]
    assert scalars(directory.eval, "Metrics/AverageReturn") == [(10, 3.0)]


def test_a_run_that_begins_anew_empties_its_files(directory):
    writer = begun(directory)
    writer.line("train", {"train_step": 1})
    writer.scalars("train", {"loss": 0.5}, step=1)
    writer.flush()
    begun(directory).flush()
    assert directory.metrics.read_text() == ""
    assert len(list(directory.train.glob("events.*"))) == 1
