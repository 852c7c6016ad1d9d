"""A wheel built from the checkout, alone: installed in an environment of its own and used in an empty directory."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())

pytestmark = pytest.mark.expensive


def run(*arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("build")
    source = place / "source"  # a copy, because a build leaves its own files beside setup.py
    source.mkdir()
    for name in ("README.md", "pyproject.toml", "requirements.lock", "setup.py"):
        shutil.copy(ROOT / name, source)
    for name in ("benchmarks", "bin", "gin_configs", "slac_tf"):
        shutil.copytree(ROOT / name, source / name)
    built = run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", place, source, cwd=place)
    assert built.returncode == 0, built.stderr
    (path,) = place.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the installed commands, and an empty one. The other packages are those that run the tests."""
    place = tmp_path_factory.mktemp("alone")
    venv.create(place / "venv", symlinks=True)
    python = place / "venv" / "bin" / "python"
    done = run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=place)
    assert done.returncode == 0, done.stderr
    # Afterwards, so that pip sees no slac_tf but its own. The .pth of an editable install is not read there.
    site = next((place / "venv" / "lib").glob("python*/site-packages"))
    (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    empty = place / "empty"
    empty.mkdir()
    where = run(python, "-c", "import slac_tf.commands; print(slac_tf.commands.__file__)", cwd=empty)
    assert where.stdout.startswith(str(site)), where.stdout + where.stderr
    return python.parent, empty


def test_what_is_shipped(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path.relative_to(ROOT) for path in (ROOT / "gin_configs").rglob("*.gin")]
    assert {f"slac_tf/{path}" for path in files} <= names
    assert {"slac_tf/requirements.lock", "slac_tf/py.typed", "slac_tf/benchmarks/parts/loop.py"} <= names
    assert {f"slac_tf/results/published/figure{number}.csv" for number in (4, 5, 6)} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "gin_configs")) or "pycache" in name]


def test_trains_and_plays(installed):
    folder, empty = installed
    files = ("--gin_file=cheetah_run.gin", "--gin_file=debug.gin")
    trained = run(folder / "slac_tf-train_eval", *files, "--root_dir=run", cwd=empty)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines()[-1].startswith("cheetah_run-debug: random ")
    policy = "--policy=run/policies/latest/greedy_policy"
    played = run(folder / "slac_tf-play", policy, "--episodes=1", cwd=empty)
    assert played.returncode == 0, played.stderr
    assert "mean return" in played.stdout


def test_own_file_that_includes_shipped_ones(installed, tmp_path):
    (tmp_path / "mine.gin").write_text(
        "include 'gin_configs/cheetah_run.gin'\ninclude 'slac.gin'\nbuild_slac.gama = 1\n"
    )
    refused = run(installed[0] / "slac_tf-train_eval", "--gin_file=mine.gin", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("train_eval: --gin_file=mine.gin: ")
    assert "'gama', expected gamma (mine.gin, line 3)" in refused.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_lists_its_flags(installed, name):
    shown = run(installed[0] / f"slac_tf-{name}", "--helpshort", cwd=installed[1])
    flag = {"benchmark": "--only", "play": "--policy", "results": "--runs"}.get(name, "--root_dir")
    assert flag in shown.stdout.replace("--[no]", "--"), shown.stdout + shown.stderr
    assert not shown.stderr
