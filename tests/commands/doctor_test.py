"""Each check by its ok line and its FAIL line; one run of the whole command."""

import importlib.metadata
import pathlib
import subprocess
import sys
import types

import psutil
import pytest
from absl import flags
from tf_agents.policies import policy_saver

from slac_tf.commands import doctor
from slac_tf.environments import rendering

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIB = 2**30


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


@pytest.mark.parametrize("machine, version", [("aarch64", (3, 10, 1)), ("x86_64", (3, 8, 18)), ("x86_64", (3, 12, 0))])
def test_platform(line, monkeypatch, machine, version):
    assert line(doctor.check_platform)[0]
    monkeypatch.setattr(doctor.platform, "machine", lambda: machine)
    monkeypatch.setattr(doctor.sys, "version_info", version)
    monkeypatch.setattr(doctor.platform, "python_version", lambda: ".".join(map(str, version)))
    passed, text = line(doctor.check_platform)
    assert not passed and f"Linux {machine}, Python {version[0]}.{version[1]}" in text
    assert "expected Linux x86_64, Python 3.9 to 3.11" in text and "fix: docker build" in text


def write_lock(tmp_path, *lines):
    path = tmp_path / "requirements.lock"
    path.write_text("# made by hand\n" + "".join(f"{line} \\\n    --hash=sha256:00\n    # via x\n" for line in lines))
    return path


def test_packages(line, tmp_path):
    lock = write_lock(
        tmp_path,
        f"numpy=={importlib.metadata.version('numpy')}",
        "numpy==0.1 ; python_full_version < '3.8'",  # another Python's
        "colorama==0.4.6 ; sys_platform == 'win32'",
    )
    assert line(doctor.check_packages, lock) == (True, "ok    name: all 1 as in requirements.lock")


def test_packages_that_differ(line, tmp_path):
    lock = write_lock(tmp_path, "numpy==0.1", "no-such-package==1.0", "absl-py==0.2", "six==0.3")
    passed, text = line(doctor.check_packages, lock)
    numpy = importlib.metadata.version("numpy")
    assert not passed and f"4 of 4 differ from requirements.lock, such as numpy {numpy}, expected ==0.1" in text
    assert "no-such-package not installed, expected ==1.0; absl-py" in text and "six" not in text
    assert text.endswith(f"--require-hashes -r {ROOT}/requirements.lock")


def test_export(line):
    passed, text = line(doctor.check_export)
    assert passed and "saved, loaded and played" in text


def test_export_with_a_newer_typing_extensions(line, monkeypatch):
    def fails(*_, **__):
        raise TypeError("this __dict__ descriptor does not\nsupport '_DictWrapper' objects")

    monkeypatch.setattr(policy_saver, "PolicySaver", fails)
    passed, text = line(doctor.check_export)
    assert not passed and "TypeError: this __dict__ descriptor does not support" in text
    assert "fix: " in text and "-m pip install" in text and text.endswith("requirements.lock")


def test_replay(line):
    passed, text = line(doctor.check_replay)
    assert passed and "2 sequences inserted, one sampled" in text


def test_replay_that_fails_or_hangs(line, monkeypatch):
    def stands_in(returncode, stderr):
        return lambda *_, **__: types.SimpleNamespace(returncode=returncode, stdout="", stderr=stderr)

    monkeypatch.setattr(doctor.subprocess, "run", stands_in(1, "Traceback\nImportError: undefined symbol\n"))
    passed, text = line(doctor.check_replay)
    assert not passed and "failed (ImportError: undefined symbol)" in text

    monkeypatch.setattr(doctor.subprocess, "run", stands_in(-11, ""))
    passed, text = line(doctor.check_replay)
    assert not passed and "exit code -11" in text

    def hangs(*_, **kwargs):
        raise subprocess.TimeoutExpired("python", kwargs["timeout"])

    monkeypatch.setattr(doctor.subprocess, "run", hangs)
    passed, text = line(doctor.check_replay)
    assert not passed and "no sample within 60 s" in text


def set_backends(monkeypatch, chosen, reasons):
    monkeypatch.setattr(rendering, "probe", reasons.get)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if chosen:
        monkeypatch.setenv("MUJOCO_GL", chosen)


@pytest.mark.parametrize(
    ("chosen", "reasons", "expected"),
    [
        (None, {}, "egl and osmesa can draw; egl will be used"),
        (None, {"osmesa": "no library"}, "egl can draw, osmesa does not (no library); egl will be used"),
        (None, {"egl": "no device"}, "osmesa can draw, egl does not (no device); osmesa will be used"),
        ("osmesa", {}, "osmesa and egl can draw; osmesa will be used"),
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
    assert not passed and "MUJOCO_GL=glfw draws nothing (no display), expected ['egl']" in text
    assert text.endswith("fix: unset MUJOCO_GL")


def test_devices(line):
    passed, text = line(doctor.check_devices)
    assert passed and "CPU cores" in text


@pytest.fixture
def room(line, monkeypatch):
    """Runs the check of a gin file and a directory where so much memory and disk are free."""

    def call(gin_file, root_dir, memory=10 * GIB, disk=10 * GIB):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=memory))
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=disk))
        return line(doctor.check_room, gin_file, root_dir)

    return call


def test_room(room, tmp_path):
    # 100000 frames of 12288 bytes, of which Reverb's compression leaves 65 %: 0.74 GiB.
    passed, text = room("cheetah_run.gin", tmp_path / "not" / "yet", disk=3 * GIB)
    assert passed and "10.0 GiB of memory for the replay of about 0.7 (100000 sequences)" in text
    assert "3.0 GiB in" in text and "at most about 2.2" in text  # three times 0.74
    passed, text = room("cheetah_run.gin", tmp_path, memory=100_000 * 12288 * 0.65 / 4)
    assert not passed and text.endswith('--gin_bindings="ReplaySettings.capacity = 25000"')
    passed, text = room("cheetah_run.gin", tmp_path, disk=2 * GIB)
    assert not passed and text.endswith("--gin_file=cheetah_run.gin --root_dir=/on/a/larger/disk")
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_room_of_a_file_that_sets_no_capacity_or_is_missing(room, tmp_path):
    (tmp_path / "own.gin").write_text("Schedule.num_env_steps = 3\n")
    assert "(100000 sequences)" in room(str(tmp_path / "own.gin"), tmp_path)[1]
    passed, text = room("no_such.gin", tmp_path)
    assert not passed and "--gin_file=no_such.gin: no such file; gin_configs/ holds ant.gin" in text


def test_directory_that_cannot_be_written(room, tmp_path):
    (tmp_path / "file").touch()
    passed, text = room("cheetah_run.gin", tmp_path / "file")
    assert not passed and f"{tmp_path}/file cannot be written" in text


def test_exit_code(monkeypatch, capsys):
    for name in [name for name in vars(doctor) if name.startswith("check_")]:
        monkeypatch.setattr(doctor, name, lambda *_: "fine")
    monkeypatch.setattr(
        flags, "FLAGS", types.SimpleNamespace(gin_file="cheetah_run.gin", root_dir="logs", replay_address=None)
    )
    assert doctor.main() == 0

    def fails(*_):
        raise doctor.CheckError("broken, expected whole", "mend it")

    monkeypatch.setattr(doctor, "check_export", fails)
    capsys.readouterr()
    assert doctor.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and sum(text.startswith("ok    ") for text in lines) == 6
    assert "FAIL  export: broken, expected whole; fix: mend it" in lines


@pytest.mark.expensive
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "slac_tf.commands.doctor", f"--root_dir={tmp_path}/logs"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 7 and all(text.startswith("ok    ") for text in lines)
    assert "Traceback" not in result.stderr


def test_a_server_that_would_be_open_to_the_network_has_a_remedy_of_its_own(monkeypatch):
    stderr = "Traceback\nslac_tf.replay.listening.ListeningError: the replay server on port 1 cannot be tied\n"
    ended = subprocess.CompletedProcess([], 1, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(doctor.CheckError, match="the replay server on port 1 cannot be tied") as error:
        doctor.check_replay()
    assert "ReplaySettings.reachable_from_network = True" in error.value.fix
