"""Each check by its ok line and its FAIL line; one run of the whole command."""

import importlib.metadata
import pathlib
import subprocess
import sys
import types

import gin
import psutil
import pytest
from tf_agents.policies import policy_saver

from slac_tf.commands import doctor
from slac_tf.environments import rendering

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIB = 2**30


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


@pytest.fixture
def line(capsys):
    """Runs a check as the command does; gives whether it passed and the line it printed."""

    def call(check, *arguments):
        passed = doctor.report("name", lambda: check(*arguments))
        output = capsys.readouterr()
        lines = output.out.splitlines()
        assert len(lines) == 1 and not output.err
        assert lines[0].startswith("ok    name: " if passed else "FAIL  name: ")
        assert passed or "; fix: " in lines[0]
        return passed, lines[0]

    return call


def test_platform(line, monkeypatch):
    assert line(doctor.check_platform)[0]
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    passed, text = line(doctor.check_platform)
    assert not passed and "Linux aarch64" in text and "expected Linux x86_64" in text


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 12, 0)])
def test_python_without_wheels(line, monkeypatch, version):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    monkeypatch.setattr(doctor.platform, "python_version", lambda: ".".join(map(str, version)))
    passed, text = line(doctor.check_platform)
    assert not passed and f"Python {version[0]}.{version[1]}" in text and "expected Python 3.9 to 3.11" in text


def write_lock(tmp_path, *lines):
    path = tmp_path / "requirements.lock"
    path.write_text("# made by hand\n" + "".join(f"{line} \\\n    --hash=sha256:00\n    # via x\n" for line in lines))
    return path


def test_packages(line, tmp_path):
    numpy = importlib.metadata.version("numpy")
    lock = write_lock(
        tmp_path,
        f"numpy=={numpy}",
        "numpy==0.1 ; python_full_version < '3.8'",  # another Python's
        "colorama==0.4.6 ; sys_platform == 'win32'",
    )
    assert line(doctor.check_packages, lock) == (True, "ok    name: all 1 as in requirements.lock")


def test_packages_that_differ(line, tmp_path):
    lock = write_lock(tmp_path, "numpy==0.1", "no-such-package==1.0", "absl-py==0.2", "six==0.3", "pillow==0.4")
    passed, text = line(doctor.check_packages, lock)
    assert not passed
    numpy = importlib.metadata.version("numpy")
    assert f"5 of 5 differ from requirements.lock: numpy {numpy}, expected ==0.1; no-such-package not installed" in text
    assert "absl-py" in text and "six" not in text and "and 2 more" in text
    assert text.endswith(f"-m pip install --no-deps --require-hashes -r {lock}")


def test_packages_without_a_lock(line, tmp_path):
    passed, text = line(doctor.check_packages, tmp_path / "requirements.lock")
    assert passed and "skipped, there is no" in text


def test_setuptools(line, monkeypatch):
    passed, text = line(doctor.check_setuptools)
    assert passed and "has pkg_resources" in text
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "82.0.0")
    passed, text = line(doctor.check_setuptools)
    assert not passed and "setuptools 82.0.0 has no pkg_resources" in text
    assert text.endswith("-m pip install 'setuptools<82'")


def test_export(line):
    passed, text = line(doctor.check_export)
    assert passed and "saved, loaded and played" in text


def test_export_with_a_newer_typing_extensions(line, monkeypatch):
    def fails(*_, **__):
        raise TypeError("this __dict__ descriptor does not support '_DictWrapper' objects")

    monkeypatch.setattr(policy_saver, "PolicySaver", fails)
    passed, text = line(doctor.check_export)
    assert not passed and "_DictWrapper" in text and text.endswith("-m pip install typing-extensions==4.5.0")


def test_exported_policy_that_acts_otherwise(line, monkeypatch):
    monkeypatch.setattr(doctor, "_export_and_play", lambda: 0.25)
    passed, text = line(doctor.check_export)
    assert not passed and "acts 0.25, expected 0.5" in text


def test_replay(line):
    passed, text = line(doctor.check_reverb)
    assert passed and "2 sequences inserted, one sampled" in text


def test_replay_that_fails_or_hangs(line, monkeypatch):
    def stands_in(returncode, stderr):
        return lambda *_, **__: types.SimpleNamespace(returncode=returncode, stdout="", stderr=stderr)

    monkeypatch.setattr(doctor.subprocess, "run", stands_in(1, "Traceback\nImportError: undefined symbol\n"))
    passed, text = line(doctor.check_reverb)
    assert not passed and "failed (ImportError: undefined symbol)" in text

    monkeypatch.setattr(doctor.subprocess, "run", stands_in(-11, ""))
    passed, text = line(doctor.check_reverb)
    assert not passed and "exit code -11" in text

    def hangs(*_, **kwargs):
        raise subprocess.TimeoutExpired("python", kwargs["timeout"])

    monkeypatch.setattr(doctor.subprocess, "run", hangs)
    passed, text = line(doctor.check_reverb)
    assert not passed and "no sample within 60 s" in text


def set_backends(monkeypatch, chosen, reasons):
    monkeypatch.setattr(rendering, "probe", reasons.get)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if chosen:
        monkeypatch.setenv("MUJOCO_GL", chosen)


@pytest.mark.parametrize(
    ("chosen", "reasons", "expected"),
    [
        (None, {}, "egl and osmesa draw; egl will be used"),
        (None, {"osmesa": "no library"}, "egl draws, osmesa does not (no library); egl will be used"),
        (None, {"egl": "no device"}, "osmesa draws, egl does not (no device); osmesa will be used"),
        ("osmesa", {}, "osmesa and egl draw; osmesa will be used (MUJOCO_GL is set)"),
    ],
)
def test_rendering(line, monkeypatch, chosen, reasons, expected):
    set_backends(monkeypatch, chosen, reasons)
    assert line(doctor.check_rendering) == (True, f"ok    name: {expected}")


def test_rendering_that_fails(line, monkeypatch):
    set_backends(monkeypatch, None, {"egl": "no device", "osmesa": "no library"})
    passed, text = line(doctor.check_rendering)
    assert not passed and "egl does not (no device), osmesa does not (no library)" in text
    assert text.endswith("fix: apt-get install libegl1 libosmesa6")


def test_rendering_with_a_choice_that_fails(line, monkeypatch):
    set_backends(monkeypatch, "glfw", {"glfw": "no display", "osmesa": "no library"})
    passed, text = line(doctor.check_rendering)
    assert not passed and "MUJOCO_GL=glfw is set and draws nothing (no display), expected one of ['egl']" in text
    assert text.endswith("fix: unset MUJOCO_GL")


def test_devices(line, monkeypatch):
    passed, text = line(doctor.check_devices)
    assert passed and "CPU cores" in text

    def fails(_):
        raise OSError("no\nsuch call")

    monkeypatch.setattr(doctor.os, "sched_getaffinity", fails)
    assert line(doctor.check_devices) == (False, "FAIL  name: OSError: no such call; fix: make clean .venv")


def test_memory(line, monkeypatch):
    def free(count):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=count))

    # 100000 frames of 12288 bytes, of which Reverb's compression leaves 65 %: 0.74 GiB.
    free(2 * GIB)
    passed, text = line(doctor.check_memory, "gin_configs/cheetah_run.gin")
    assert passed and "2.0 GiB free, the replay of gin_configs/cheetah_run.gin grows to about 0.7 GiB (100000" in text
    free(100_000 * 12288 * 0.65 / 4)
    passed, text = line(doctor.check_memory, "gin_configs/cheetah_run.gin")
    assert not passed and text.endswith('--gin_bindings="ReplaySettings.capacity = 25000"')


def test_memory_of_a_file_that_sets_no_capacity(line, tmp_path):
    path = tmp_path / "own.gin"
    path.write_text("import slac_tf.training.experiment\nSchedule.num_env_steps = 3\n")
    assert "(100000 sequences)" in line(doctor.check_memory, str(path))[1]


def test_memory_of_a_missing_file(line):
    passed, text = line(doctor.check_memory, "no_such.gin")
    assert not passed and "--gin_file=no_such.gin: no such file; gin_configs/ holds ant.gin" in text


def test_disk(line, monkeypatch, tmp_path):
    asked = []

    def free(count):
        def usage(path):
            asked.append(path)
            return types.SimpleNamespace(free=count)

        monkeypatch.setattr(doctor.shutil, "disk_usage", usage)

    free(3 * GIB)
    passed, text = line(doctor.check_disk, "gin_configs/cheetah_run.gin", tmp_path / "not" / "yet")
    assert passed and "3.0 GiB free" in text and "at most about 2.2 GiB" in text  # three times 0.74
    free(2 * GIB)
    passed, text = line(doctor.check_disk, "gin_configs/cheetah_run.gin", tmp_path)
    assert not passed and "--root_dir=/on/a/larger/disk" in text
    assert asked == [tmp_path, tmp_path]


def test_root_dir(line, tmp_path):
    passed, text = line(doctor.check_root_dir, tmp_path / "logs")
    assert passed and f"{tmp_path}/logs can be written" in text
    assert not list(tmp_path.iterdir())  # nothing is left behind
    occupied = tmp_path / "file"
    occupied.touch()
    passed, text = line(doctor.check_root_dir, occupied)
    assert not passed and f"{occupied} cannot be written" in text


def test_exit_code(monkeypatch, capsys, tmp_path):
    for name in [name for name in vars(doctor) if name.startswith("check_")]:
        monkeypatch.setattr(doctor, name, lambda *_: "fine")
    assert doctor.run_checks("cheetah_run.gin", tmp_path) == 0

    def fails(*_):
        raise doctor.CheckError("broken, expected whole", "mend it")

    monkeypatch.setattr(doctor, "check_export", fails)
    capsys.readouterr()
    assert doctor.run_checks("cheetah_run.gin", tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and sum(text.startswith("ok    ") for text in lines) == 9
    assert "FAIL  export: broken, expected whole; fix: mend it" in lines


@pytest.mark.expensive
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "slac_tf.commands.doctor", f"--root_dir={tmp_path}/logs"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 10 and all(text.startswith("ok    ") for text in lines)
    assert "Traceback" not in result.stderr


def test_a_server_that_would_be_open_to_the_network_has_a_remedy_of_its_own(monkeypatch):
    stderr = "Traceback\nslac_tf.replay.listening.ListeningError: the replay server on port 1 cannot be tied\n"
    ended = subprocess.CompletedProcess([], 1, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(doctor.CheckError, match="the replay server on port 1 cannot be tied") as error:
        doctor.check_reverb()
    assert "ReplaySettings.reachable_from_network = True" in error.value.fix
