"""The commands' flags and messages, in this process; whole runs are in tests/integration."""

import contextlib
import math
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from slac_tf.replay import memory
from slac_tf.runs import failures, run_dir
from slac_tf.training import experiment, loop

BIN = pathlib.Path(__file__).resolve().parents[2] / "bin"


def refused(answer, *named):
    code, out, err = answer
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    for part in named:
        assert part in err
    return err


GIN_FILES = ("--gin_file=gin_configs/finger_spin.gin", "--gin_file=gin_configs/debug.gin")


def test_train_eval_in_a_foreign_directory(command, tmp_path):
    (tmp_path / "thesis.tex").touch()
    refused(command("train_eval", *GIN_FILES, f"--root_dir={tmp_path}"), str(tmp_path), "not empty")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.fixture
def train(monkeypatch):
    """Puts other functions in the places of building and running; returns what building was called with."""

    def put(result, while_built=None):
        calls = []

        def build(root_dir, seed, config):
            calls.append((root_dir, seed, config))
            if while_built is not None:
                raise while_built
            return mock.Mock()

        def run(started):
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(experiment, "train_eval", build)
        monkeypatch.setattr(memory, "check_memory", lambda data_spec, capacity: 0)
        monkeypatch.setattr(experiment, "started", contextlib.nullcontext)
        monkeypatch.setattr(loop, "run", run)
        return calls

    return put


def test_train_eval_prints_the_returns_last(command, train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = train(loop.Result(random_return=1.26, greedy_return=3.0, stochastic_return=-2.0, exit_code=0))
    code, out, _ = command("train_eval", "--gin_file=gin_configs/hopper.gin", "--gin_file=debug.gin", "--seed=5")
    assert code == 0
    assert out.splitlines()[-1] == "hopper-debug: random 1.3, trained -2.0"
    ((root_dir, seed, config),) = calls
    assert root_dir == tmp_path / "logs" / "hopper-debug" / "seed5"
    assert seed == 5
    assert "load_gymnasium.env_id = 'Hopper-v4'" in config
    assert "Schedule.num_env_steps = 400" in config


def test_train_eval_root_dir(command, train, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    calls = train(loop.Result(math.nan, math.nan, math.nan, 0))
    assert command("train_eval", "--gin_file=hopper.gin", "--root_dir=~/run")[0] == 0
    assert calls[0][0] == tmp_path / "run"


def test_train_eval_says_nothing_of_returns_after_a_signal(command, train):
    train(loop.Result(1.0, 2.0, 3.0, exit_code=143))
    code, out, _ = command("train_eval", "--gin_file=hopper.gin")
    assert code == 143
    assert out == ""


def test_train_eval_failures(command, train):
    train(failures.RunFailedError("critic is nan\nat train step 5"))
    code, out, err = command("train_eval", "--gin_file=hopper.gin")
    assert code == 1
    assert out == ""
    assert "Traceback" not in err
    train(run_dir.RunDirectoryError("another run"))
    refused(command("train_eval", "--gin_file=hopper.gin"), "another run")
    train(None, while_built=ValueError("while it is built\n  on two lines"))
    refused(command("train_eval", "--gin_file=hopper.gin"), "while it is built on two lines")
    train(ValueError("a defect of the program"))
    with pytest.raises(ValueError, match="a defect of the program"):
        command("train_eval", "--gin_file=hopper.gin")


def test_export_mistakes(command, tmp_path):
    refused(command("export", "--root_dir=x", "y"), "'y' is no flag")
    refused(command("export", f"--root_dir={tmp_path}"), str(tmp_path), "no config.gin")
    (tmp_path / "config.gin").write_text("no_such_thing.x = 1\n")
    refused(command("export", f"--root_dir={tmp_path}"), "config.gin", "no_such_thing")


def test_export_without_checkpoint(command, tmp_path):
    from slac_tf.config import configuration

    config = configuration.load(["finger_spin.gin", "debug.gin"], [])
    (tmp_path / "config.gin").write_text("# seed = 0\n" + config)
    refused(command("export", f"--root_dir={tmp_path}"), "no checkpoint", str(tmp_path / "train" / "checkpoints"))
    assert [path.name for path in tmp_path.iterdir()] == ["config.gin"]


def test_predict_writes_its_picture_into_a_new_directory(command, tmp_path, monkeypatch):
    from slac_tf.config import configuration
    from slac_tf.training import prediction

    picture = np.random.default_rng(0).integers(0, 256, [8, 6, 3], np.uint8)
    monkeypatch.setattr(configuration, "load_run", lambda root_dir: "")
    monkeypatch.setattr(prediction, "predict", lambda root_dir, **settings: picture)
    out = tmp_path / "new" / "figure.png"
    assert command("predict", "--root_dir=x", f"--out={out}")[0] == 0
    np.testing.assert_array_equal(np.array(Image.open(out)), picture)


def test_play_mistakes(command, tmp_path):
    refused(command("play", "--policy=x", "y"), "'y' is no flag")
    refused(command("play", f"--policy={tmp_path}"), str(tmp_path), "no saved_model.pb")


def test_flags_out_of_range(command):
    refused(command("play", "--policy=x", "--episodes=0"), "play: ", "--episodes=0")
    refused(command("train_eval", "--seed=-1"), "train_eval: ", "--seed=-1")


# In processes of their own.


def start(*command, cwd):
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["train_eval", "export", "play"])
def test_bin_is_found_through_a_link(tmp_path, name):
    (tmp_path / "link").symlink_to(BIN / name)
    ended = start(tmp_path / "link", "--helpshort", cwd=tmp_path)
    assert "--policy" in ended.stdout if name == "play" else "--root_dir" in ended.stdout


@pytest.mark.parametrize(("variable", "expected"), [(None, ["1", "True"]), ("0", ["0", "False"])])
def test_processes_compute_with_onednn_unless_it_is_switched_off(tmp_path, monkeypatch, variable, expected):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if variable is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", variable)
    code = (
        "import os; from slac_tf.commands import command; command.configure_process(); "
        "from tensorflow.python.util import _pywrap_util_port; "
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], _pywrap_util_port.IsMklEnabled())"
    )
    assert start(sys.executable, "-c", code, cwd=tmp_path).stdout.split() == expected


def test_bin_exit_code_and_one_line(tmp_path):
    ended = start(BIN / "train_eval", "--gin_file=antt.gin", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("train_eval: --gin_file=antt.gin: no such file")


@pytest.mark.parametrize(
    "name, argument, named",
    [
        ("train_eval", "--gin_fil=antt.gin", "'gin_fil'. Did you mean: gin_file"),
        ("train_eval", "--seed=-1", "--seed=-1"),
        ("play", "--episodes=3", "--policy"),
        ("export", "--out=there", "--root_dir"),
    ],
)
def test_bin_flag_mistakes(tmp_path, name, argument, named):
    ended = start(BIN / name, argument, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith(f"{name}: ")
    assert named in ended.stderr
