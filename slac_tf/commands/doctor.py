"""Says whether this machine can train: `bin/doctor`. One line a check; the output can be pasted into an issue."""

import importlib.metadata
import importlib.util
import inspect
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Callable, List, Optional, Sequence, Tuple

from slac_tf.commands import command

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PYTHON_VERSIONS = ((3, 9), (3, 12))  # from the first to below the second, as dm-reverb 0.14 has wheels
_REVERB_SECONDS = 60
_MISMATCHES_SHOWN = 3
_CHECKPOINTS_ON_DISK = 3  # two are kept while the next is written
_PIP = f"{sys.executable} -m pip install"
_REBUILD = "make clean .venv"


class CheckError(Exception):
    """A check that did not pass.

    Attributes:
        fix: The command that mends it.
    """

    def __init__(self, message: str, fix: str):
        """Constructor.

        Args:
            message: What was found and what was expected.
            fix: One command.
        """
        super().__init__(message)
        self.fix = fix


# Each check returns what it found, or raises: CheckError, or whatever the library under test raises.


def check_platform() -> str:
    """Operating system and Python, for which dm-reverb must have a wheel."""
    found = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CheckError(
            f"{found}, expected Linux x86_64: dm-reverb is built for no other",
            "docker build --platform linux/amd64 -t slac_tf .",
        )
    low, high = _PYTHON_VERSIONS
    if not low <= sys.version_info[:2] < high:
        raise CheckError(f"{found}, expected Python 3.9 to 3.11", "make clean .venv PYTHON=/path/to/python3.11")
    return found


def check_packages(lock: pathlib.Path) -> str:
    """Every installed version against the lock file, as far as its markers apply here.

    Args:
        lock: A requirements file with hashes.
    """
    if not lock.is_file():
        return f"skipped, there is no {lock}"
    from packaging import requirements

    count, wrong = 0, []
    for line in lock.read_text().splitlines():
        if not line or line.startswith(("#", " ", "-")):
            continue
        requirement = requirements.Requirement(line.rstrip("\\ "))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} not installed, expected {requirement.specifier}")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, expected {requirement.specifier}")
    if wrong:
        more = f"; and {len(wrong) - _MISMATCHES_SHOWN} more" if len(wrong) > _MISMATCHES_SHOWN else ""
        raise CheckError(
            f"{len(wrong)} of {count} differ from {lock.name}: {'; '.join(wrong[:_MISMATCHES_SHOWN])}{more}",
            f"{_PIP} --no-deps --require-hashes -r {lock}",
        )
    return f"all {count} as in {lock.name}"


def check_setuptools() -> str:
    """pkg_resources, which TensorBoard 2.15 imports and setuptools 82 dropped."""
    version = importlib.metadata.version("setuptools")
    if importlib.util.find_spec("pkg_resources") is None:
        raise CheckError(
            f"setuptools {version} has no pkg_resources, expected setuptools below 82: TensorBoard needs it",
            f"{_PIP} 'setuptools<82'",
        )
    return f"setuptools {version} has pkg_resources"


def check_export() -> str:
    """A real SavedModel of a tiny policy, written and played: what fails with a newer typing-extensions."""
    version = importlib.metadata.version("typing-extensions")
    try:
        action = _export_and_play()
    except TypeError as error:
        if "_DictWrapper" not in str(error):
            raise
        raise CheckError(
            f"PolicySaver fails ({_one_line(error)}): typing-extensions {version}, expected 4.5.0",
            f"{_PIP} typing-extensions==4.5.0",
        ) from error
    if action != 0.5:
        raise CheckError(f"the exported policy acts {action}, expected 0.5", _REBUILD)
    return f"a policy was saved, loaded and played; typing-extensions {version}"


def _export_and_play() -> float:
    import numpy as np
    import tensorflow as tf
    from tf_agents.policies import tf_policy
    from tf_agents.trajectories import policy_step
    from tf_agents.trajectories import time_step as ts

    from slac_tf.export import player, saved_model

    class Policy(tf_policy.TFPolicy):
        """Acts half of what it sees; its state is a dict, as HistoryPolicy's."""

        def _variables(self) -> list:
            return []

        def _action(self, time_step: ts.TimeStep, policy_state: dict, seed: object) -> policy_step.PolicyStep:
            return policy_step.PolicyStep(0.5 * time_step.observation["state"], policy_state, ())

        def _distribution(self, time_step: ts.TimeStep, policy_state: dict) -> policy_step.PolicyStep:
            raise NotImplementedError

    spec = tf.TensorSpec([1], tf.float32)
    policy = Policy(ts.time_step_spec({"state": spec}), spec, policy_state_spec={"actions": spec})
    with tempfile.TemporaryDirectory() as directory:
        place = saved_model.Exporter({"tiny": policy}).export({}, {"env_step": 0}, pathlib.Path(directory), keep=1)
        exported = player.ExportedPolicy(place / "tiny_policy")
        observation = {"state": np.ones([1], np.float32)}
        first = player.TimeStep(step_type=0, reward=0.0, discount=1.0, observation=observation)
        return float(exported.action(first, exported.get_initial_state()).action[0])


def check_reverb() -> str:
    """A replay server that takes data and gives it back, in a process that is ended if it hangs."""
    with tempfile.TemporaryDirectory() as directory:
        code = f"from slac_tf.commands import doctor; doctor.use_replay({directory!r})"
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            result = subprocess.run(
                [sys.executable, "-c", code],
                env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)),
                capture_output=True,
                text=True,
                timeout=_REVERB_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckError(
                f"no sample within {_REVERB_SECONDS} s, expected one: a proxy or firewall may stand before localhost",
                "env -u http_proxy -u https_proxy -u grpc_proxy bin/doctor",
            ) from error
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        if "ListeningError: " in lines[-1]:
            raise CheckError(
                lines[-1].split("ListeningError: ", 1)[1],
                "bin/train_eval --gin_file=gin_configs/quickstart.gin "
                '--gin_bindings="train_eval.replay_reachable_from_network = True"',
            )
        raise CheckError(
            f"the replay server failed ({lines[-1].strip()}), expected one sample; "
            f"dm-reverb {_version('dm-reverb')}, tensorflow {_version('tensorflow')}",
            f"{_PIP} dm-reverb==0.14.0 tensorflow==2.15.1",
        )
    return result.stdout.strip()


def use_replay(directory: str) -> None:
    """Runs a server, writes three steps, samples a window, prints a line and ends the process.

    Args:
        directory: For the server's files.
    """
    command.configure_process()
    import numpy as np
    import tensorflow as tf
    from tf_agents.trajectories import trajectory as trajectory_lib

    from slac_tf.replay import sequence_replay

    number, flag = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
    spec = trajectory_lib.Trajectory(flag, {"state": number}, number, (), flag, number, number)
    replay = sequence_replay.SequenceReplay(
        spec, sequence_length=1, capacity=10, directory=pathlib.Path(directory) / "replay", timeout_seconds=20
    )
    for step in range(3):
        kind = np.int32(min(step, 1))  # FIRST, MID, MID
        value = np.float32(step)
        replay.add(trajectory_lib.Trajectory(kind, {"state": value}, value, (), np.int32(1), value, value))
    window = next(replay.sample(1)).experience.observation["state"].numpy()[0]
    if window[1] - window[0] != 1:
        raise ValueError(f"a window holds the steps {window}, expected two that follow each other")
    print(f"server up, {replay.size} sequences inserted, one sampled; dm-reverb {_version('dm-reverb')}", flush=True)
    os._exit(0)  # a server with a reader takes seconds to shut down


def check_rendering() -> str:
    """One frame with each GL backend, and which one a run will take."""
    from slac_tf.environments import rendering

    chosen = os.environ.get("MUJOCO_GL")
    backends = [*rendering.BACKENDS] if not chosen else [chosen, *(b for b in rendering.BACKENDS if b != chosen)]
    reasons = {backend: rendering.probe(backend) for backend in backends}
    working = [backend for backend, reason in reasons.items() if reason is None]
    failed = ", ".join(f"{backend} does not ({reason})" for backend, reason in reasons.items() if reason)
    if chosen and chosen not in working and working:  # a run would take it nevertheless
        raise CheckError(
            f"MUJOCO_GL={chosen} is set and draws nothing ({reasons[chosen]}), expected one of {working}",
            "unset MUJOCO_GL",
        )
    if not working:
        raise CheckError(f"no GL backend draws, expected egl or osmesa: {failed}", "apt-get install libegl1 libosmesa6")
    draw = "draws" if len(working) == 1 else "draw"
    because = " (MUJOCO_GL is set)" if chosen else ""
    return f"{' and '.join(working)} {draw}{failed and ', ' + failed}; {working[0]} will be used{because}"


def check_devices() -> str:
    """Cores that this process may use, and GPUs that TensorFlow sees."""
    import tensorflow as tf

    cores, gpus = len(os.sched_getaffinity(0)), tf.config.list_physical_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return f"{cores} CPU cores, " + (f"{len(gpus)} GPUs: {', '.join(names)}" if gpus else "no GPU: training on the CPU")


def replay_bytes(gin_file: str) -> Tuple[int, int]:
    """The replay of a configuration, without building its agent: frames are nearly all of it.

    Args:
        gin_file: As `bin/train_eval` takes it.

    Returns:
        Capacity in sequences, and the bytes that they take.
    """
    import gin
    import tensorflow as tf
    from tf_agents.trajectories import trajectory as trajectory_lib

    from slac_tf.config import configuration
    from slac_tf.replay import memory
    from slac_tf.training import train_eval

    configuration.load([gin_file], [])
    try:
        capacity = gin.query_parameter("train_eval.replay_capacity")
    except ValueError:  # not bound
        capacity = inspect.signature(train_eval.train_eval).parameters["replay_capacity"].default
    frame = tf.TensorSpec([64, 64, 3], tf.uint8)
    spec = trajectory_lib.Trajectory((), {"pixels": frame}, (), (), (), (), ())
    return capacity, memory.memory_estimate(spec, capacity)


def check_memory(gin_file: str) -> str:
    """Free memory against the replay of a configuration.

    Args:
        gin_file: The configuration.
    """
    import psutil

    capacity, needed = replay_bytes(gin_file)
    free = psutil.virtual_memory().available
    found = f"{_gib(free)} free, the replay of {gin_file} grows to about {_gib(needed)} ({capacity} sequences)"
    if free < needed:
        fits = int(capacity * free / needed)
        raise CheckError(
            f"{found}, expected it to fit",
            f'bin/train_eval --gin_file={gin_file} --gin_bindings="train_eval.replay_capacity = {fits}"',
        )
    return found


def check_disk(gin_file: str, root_dir: pathlib.Path) -> str:
    """Free disk against the checkpoints of a configuration.

    Args:
        gin_file: The configuration.
        root_dir: Where runs are written.
    """
    _, replay = replay_bytes(gin_file)
    needed = _CHECKPOINTS_ON_DISK * replay
    free = shutil.disk_usage(_existing(root_dir)).free
    found = f"{_gib(free)} free for {root_dir}, checkpoints of {gin_file} take at most about {_gib(needed)}"
    if free < needed:
        raise CheckError(
            f"{found}, expected them to fit", f"bin/train_eval --gin_file={gin_file} --root_dir=/on/a/larger/disk"
        )
    return found


def check_root_dir(root_dir: pathlib.Path) -> str:
    """Whether runs can be written, by a file that is gone afterwards.

    Args:
        root_dir: Where runs are written.
    """
    place = _existing(root_dir)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    except OSError as error:
        raise CheckError(
            f"{root_dir} cannot be written ({_one_line(error)}), expected a directory of yours",
            "bin/train_eval --gin_file=gin_configs/quickstart.gin --root_dir=$HOME/slac_tf/quickstart",
        ) from error
    return f"{root_dir.absolute()} can be written"


def _existing(path: pathlib.Path) -> pathlib.Path:
    """The nearest that exists of a path and its parents."""
    path = path.expanduser().absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def report(name: str, check: Callable[[], str], fix: str = _REBUILD) -> bool:
    """Runs one check and prints its line.

    Args:
        name: What is checked.
        check: Returns what was found, or raises.
        fix: For what a check did not foresee.

    Returns:
        Whether it passed.
    """
    try:
        print(f"ok    {name}: {check()}", flush=True)
        return True
    except CheckError as error:
        message, fix = _one_line(error), error.fix
    except Exception as error:  # a broken library may raise anything, and must not hide the other checks
        message = f"{type(error).__name__}: {_one_line(error)}"
    print(f"FAIL  {name}: {message}; fix: {fix}", flush=True)
    return False


def run_checks(gin_file: str, root_dir: pathlib.Path) -> int:
    """Runs all checks, the cheap ones first.

    Args:
        gin_file: The configuration whose replay must fit.
        root_dir: Where runs are written.

    Returns:
        0 where all passed, else 1.
    """
    try:
        command.configure_process()
    except ImportError:
        pass  # the packages' line names what is missing
    checks: List[Tuple[str, Callable[[], str], Optional[str]]] = [
        ("platform", check_platform, None),
        ("packages", lambda: check_packages(_ROOT / "requirements.lock"), None),
        ("setuptools", check_setuptools, None),
        ("devices", check_devices, None),
        ("export", check_export, None),
        ("replay", check_reverb, None),
        ("rendering", check_rendering, None),
        ("memory", lambda: check_memory(gin_file), "ls gin_configs"),
        ("disk", lambda: check_disk(gin_file, root_dir), "ls gin_configs"),
        ("root_dir", lambda: check_root_dir(root_dir), None),
    ]
    return int(not all([report(name, check, fix or _REBUILD) for name, check, fix in checks]))


def main(argv: Sequence[str]) -> int:
    """Checks everything.

    Args:
        argv: The command's name, and nothing else.

    Returns:
        0 where all is well, 1 where a check failed, 2 after a user's mistake.
    """
    from absl import flags

    if argv[1:]:
        return command.fail(f"{argv[1]!r} is no flag, expected for example --gin_file=gin_configs/ant.gin")
    return run_checks(flags.FLAGS.gin_file, pathlib.Path(flags.FLAGS.root_dir))


def define_flags() -> None:
    """Defines the command's flags; not at import, because absl itself may be what is missing."""
    from absl import flags

    flags.DEFINE_string("gin_file", "gin_configs/cheetah_run.gin", "The configuration whose replay must fit.")
    flags.DEFINE_string("root_dir", "logs", "Where runs are to be written.")


if __name__ == "__main__":
    if importlib.util.find_spec("absl") is None:
        print("FAIL  packages: absl-py is not installed, expected what requirements.lock lists; fix: make .venv")
        sys.exit(1)
    define_flags()
    command.run(main)
