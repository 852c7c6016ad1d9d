import re
import sys

import gin
import pytest

from slac_tf.config import configuration
from slac_tf.runs import run_dir
from slac_tf.training import settings  # also registers what is bound

CONFIG = (
    "import slac_tf\n\n# Parameters for EvaluationSettings:\n"
    "EvaluationSettings.keep_exports = 3\nSchedule.num_env_steps = 100\n"
)


@pytest.fixture
def directory(tmp_path):
    return run_dir.RunDir(tmp_path / "logs" / "task" / "seed0")


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_fresh(directory, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_eval.py", "--gin_bindings=a.b = 'c'"])
    directory.open(CONFIG, "operative = 1\n", seed=7)
    assert directory.config.read_text() == "# seed = 7\n" + CONFIG
    assert (directory.root / "operative_config.gin").read_text() == "operative = 1\n"
    assert (directory.root / "command.txt").read_text() == """bin/train_eval '--gin_bindings=a.b = '"'"'c'"'"''\n"""
    versions = (directory.root / "versions.txt").read_text()
    assert versions == run_dir.versions()
    for name in ("python", "git", "tensorflow", "tf-agents", "dm-reverb", "slac-tf"):
        assert re.search(rf"^{name} \S+", versions, re.M)
    assert not list(directory.root.glob("*.tmp"))


def test_an_empty_directory_is_taken(directory):
    directory.root.mkdir(parents=True)
    directory.open(CONFIG, "", seed=0)
    assert directory.config.exists()


def test_same_configuration_resumes(directory):
    directory.open(CONFIG, "", seed=0)
    directory.checkpoints.mkdir(parents=True)
    (directory.checkpoints / "file").touch()
    directory.open(CONFIG, "", seed=0)
    assert (directory.checkpoints / "file").exists()
    assert len((directory.root / "command.txt").read_text().splitlines()) == 2


def refused(directory, config, seed):
    before = contents(directory.root)
    with pytest.raises(run_dir.RunDirectoryError) as caught:
        directory.open(config, "other", seed)
    assert contents(directory.root) == before
    assert str(directory.root) in str(caught.value)
    assert "--root_dir" in str(caught.value)
    return str(caught.value)


def test_another_value_is_refused(directory):
    directory.open(CONFIG, "", seed=0)
    message = refused(directory, CONFIG.replace("keep_exports = 3", "keep_exports = 4"), 0)
    assert "'EvaluationSettings.keep_exports = 3'" in message
    assert "'EvaluationSettings.keep_exports = 4'" in message


def test_another_seed_is_refused(directory):
    directory.open(CONFIG, "", seed=0)
    message = refused(directory, CONFIG, 1)
    assert "'# seed = 0'" in message
    assert "'# seed = 1'" in message


def test_a_binding_more_or_less_is_refused(directory):
    directory.open(CONFIG, "", seed=0)
    message = refused(directory, CONFIG + "ReplaySettings.capacity = 5\n", 0)
    assert "'(no ReplaySettings.capacity)'" in message
    assert "'ReplaySettings.capacity = 5'" in message
    message = refused(directory, CONFIG.replace("EvaluationSettings.keep_exports = 3\n", ""), 0)
    assert "'(no EvaluationSettings.keep_exports)'" in message


@pytest.mark.parametrize("name", ["Schedule.num_env_steps", "Intervals.log_seconds"])
def test_a_run_may_be_made_longer_or_looked_at_more_often(directory, name):
    directory.open(CONFIG + f"{name} = 1\n", "", 0)
    config = CONFIG + f"{name} = 2\n"
    refused(directory, config, 0)
    directory.open(config, "", 0, may_change=settings.may_change())
    assert directory.config.read_text() == "# seed = 0\n" + config


def test_order_comments_and_imports_do_not_matter(directory):
    directory.open(CONFIG, "", seed=0)
    lines = CONFIG.splitlines()
    directory.open("\n".join(["import slac_tf.training", "# Comment", *reversed(lines[3:])]) + "\n", "", seed=0)


def test_bindings_of_several_lines(directory):
    # As gin writes them: some that are too long for one line, a macro, a nested value.
    def config(last):
        names = ", ".join(f"'an_observation_of_a_long_name_{index}'" for index in range(9))
        bindings = [f"OBSERVATIONS = ({names}, '{last}')", "train_eval.load_environment = @load_dm_control"]
        bindings += ["load_dm_control.observations = %OBSERVATIONS", "EvaluationSettings.keep_exports = 2"]
        text = configuration.load([], ["import slac_tf.environments.suite_dm_control", *bindings])
        gin.clear_config()
        return text

    assert re.search(r"=\s*\\?\n? +\(?'an_observ|^OBSERVATIONS = \\?\n?.*\n +'an_obs", config("last"), re.M)
    directory.open(config("last"), "", seed=0)
    directory.open(config("last"), "", seed=0)
    message = refused(directory, config("other"), 0)
    assert "'last'" in message
    assert "'other'" in message


def test_a_run_of_0_1_is_refused_in_one_clear_line(directory):
    directory.root.mkdir(parents=True)
    directory.config.write_text("# seed = 0\ntrain_eval.keep_exports = 3\ntrain_eval.num_env_steps = 100\n")
    message = refused(directory, CONFIG, 0)
    assert "holds a run of slac_tf 0.1" in message and "\n" not in message


def test_a_foreign_directory_is_refused(directory):
    directory.root.mkdir(parents=True)
    (directory.root / "thesis.tex").write_text("all my work")
    assert "not empty" in refused(directory, CONFIG, 0)


def test_write_atomically(tmp_path, monkeypatch):
    path = tmp_path / "file"
    run_dir.write_atomically(path, "old")
    run_dir.write_atomically(path, "new")
    assert path.read_text() == "new"

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(run_dir.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        run_dir.write_atomically(path, "newer")
    assert path.read_text() == "new"


def test_git_commit():
    commit = run_dir.git_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{12}(\+changes)?", commit)
