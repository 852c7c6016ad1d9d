"""Says whether this machine can train: `bin/doctor`. One line a check; the output can be pasted into an issue."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Callable, Dict, Tuple

from slac_tf.commands import command
from slac_tf.config import shipped

_LOCK = shipped.ROOT / "requirements.lock"
_INSTALL = f"{sys.executable} -m pip install --force-reinstall --no-deps --require-hashes -r {_LOCK}"


class CheckError(Exception):
    """A check that did not pass: what was found, what was expected, and the one command that mends it."""

    def __init__(self, message: str, fix: str = _INSTALL):
        super().__init__(message)
        self.fix = fix


def check_platform() -> str:
    """Operating system and Python, for which dm-reverb needs a wheel. Each check returns what it found, or raises."""
    found = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if not (platform.system(), platform.machine()) == ("Linux", "x86_64") or not (3, 9) <= sys.version_info < (3, 12):
        expected = "expected Linux x86_64, Python 3.9 to 3.11: dm-reverb is built for no other"
        raise CheckError(f"{found}, {expected}", "docker build --platform linux/amd64 -t slac_tf .")
    return found


def check_packages(lock: pathlib.Path = _LOCK) -> str:
    """Every installed version against the lock file, as far as its markers apply here."""
    from packaging import requirements

    pins = [line.rstrip("\\ ") for line in lock.read_text().splitlines() if line and line[0] not in "# -"]
    pinned = [pin for pin in map(requirements.Requirement, pins) if pin.marker is None or pin.marker.evaluate()]
    wrong = []
    for pin in pinned:
        try:
            version = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        if not pin.specifier.contains(version, prereleases=True):
            wrong.append(f"{pin.name} {version}, expected {pin.specifier}")
    if wrong:
        raise CheckError(f"{len(wrong)} of {len(pinned)} differ from {lock.name}, such as {'; '.join(wrong[:3])}")
    return f"all {len(pinned)} as in {lock.name}"


def check_devices() -> str:
    """Cores that this process may use, and GPUs that TensorFlow sees."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return f"{len(os.sched_getaffinity(0))} CPU cores, {', '.join(names) or 'no GPU: training on the CPU'}"


def check_export() -> str:
    """A real SavedModel of a tiny policy, written and played: what fails with another typing-extensions."""
    import numpy as np
    import tensorflow as tf
    from tf_agents.policies import random_tf_policy
    from tf_agents.specs import tensor_spec
    from tf_agents.trajectories import time_step as ts

    from slac_tf.export import player, saved_model

    policy = random_tf_policy.RandomTFPolicy(
        ts.time_step_spec({"state": tf.TensorSpec([1], tf.float32)}),  # a dict: that is what it fails on
        tensor_spec.BoundedTensorSpec([1], tf.float32, -1.0, 1.0),
    )
    with tempfile.TemporaryDirectory() as directory:
        place = saved_model.Exporter({"tiny": policy}).export({}, {"env_step": 0}, pathlib.Path(directory), keep=1)
        exported = player.ExportedPolicy(place / "tiny_policy")
        first = player.TimeStep(0, reward=0.0, discount=1.0, observation={"state": np.ones([1], np.float32)})
        action = exported.action(first, exported.get_initial_state()).action
    return f"a policy was saved, loaded and played: its action is {action[0]:.2f}"


def check_replay() -> str:
    """A replay server that takes data and gives it back, in a process that is ended if it hangs."""
    with tempfile.TemporaryDirectory() as directory:
        code = f"from slac_tf.commands import doctor; doctor.use_replay({directory!r})"
        try:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired as error:
            message = "no sample within 60 s, expected one: a proxy may stand before localhost"
            raise CheckError(message, "env -u http_proxy -u https_proxy -u grpc_proxy bin/doctor") from error
    if not done.returncode:
        return done.stdout.strip()
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "ListeningError: " in last:
        fix = '--gin_file=quickstart.gin --gin_bindings="ReplaySettings.reachable_from_network = True"'
        raise CheckError(last.split("ListeningError: ", 1)[1], f"bin/train_eval {fix}")
    raise CheckError(f"the replay server failed ({last.strip()}), expected one sample")


def use_replay(directory: str) -> None:
    """Runs a server below a directory, writes three steps, samples a window, prints a line and ends the process."""
    command.configure_process()
    import numpy as np
    import tensorflow as tf
    from tf_agents.trajectories import trajectory as trajectory_lib

    from slac_tf.replay import sequence_replay

    number, flag = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
    spec = trajectory_lib.Trajectory(flag, {"state": number}, number, (), flag, number, number)
    place = pathlib.Path(directory) / "replay"
    replay = sequence_replay.SequenceReplay(spec, sequence_length=1, capacity=10, directory=place, timeout_seconds=20)
    for kind in (0, 1, 1):  # FIRST, MID, MID
        one = np.float32(1)
        replay.add(trajectory_lib.Trajectory(np.int32(kind), {"state": one}, one, (), np.int32(1), one, one))
    next(replay.sample(1))
    print(f"server up, {replay.size} sequences inserted, one sampled", flush=True)
    os._exit(0)  # a server with a reader takes seconds to shut down


def check_distributed(address: str) -> str:
    """A replay server of a distributed run: whether it answers, and where its run is."""
    import reverb

    from slac_tf.distributed import protocol
    from slac_tf.replay import tables

    client = reverb.Client(address)
    try:
        info = client.server_info(timeout=10)
    except reverb.ReverbError as error:
        host, _, port = address.partition(":")
        fix = f"ssh -N -L {port}:localhost:{port} REPLAY_HOST, or bin/replay_server --port={port}"
        raise CheckError(
            f"nothing answered at {host} port {port} within 10 s, expected a replay server", fix
        ) from error
    records = protocol.newest(client, info, protocol.RUN) if protocol.RUN in info else []
    if not records:
        raise CheckError(f"{address} is a Reverb server, but of no run of bin/launch", "bin/replay_server")
    record = protocol.decoded(records[0][0])
    held, made = info[tables.SEQUENCES].current_size, info[tables.STEPS].rate_limiter_info.insert_stats.completed
    learner = "no learner yet"
    for item in protocol.newest(client, info, protocol.PROGRESS):
        progress = protocol.Progress(*(value.item() for value in item))
        learner = f"its learner is at agent step {progress.agent_step}, train step {progress.train_step}"
        learner += f", and collectors have the policy of train step {progress.policy_step}"
    seed = record["config"].splitlines()[0].strip("# ")
    return f"{address} answers: protocol {record['version']}, {seed}, {held} sequences, {made} agent steps; {learner}"


def check_rendering() -> str:
    """One frame with each GL backend, and which one a run will take."""
    from slac_tf.environments import rendering

    chosen = os.environ.get("MUJOCO_GL")
    backends = list(dict.fromkeys([*filter(None, [chosen]), *rendering.BACKENDS]))
    reasons = {backend: rendering.probe(backend) for backend in backends}
    working = [backend for backend, reason in reasons.items() if reason is None]
    failed = ", ".join(f"{backend} does not ({reason})" for backend, reason in reasons.items() if reason)
    if not working:
        raise CheckError(f"no GL backend draws, expected egl or osmesa: {failed}", "apt-get install libegl1 libosmesa6")
    if chosen and chosen not in working:  # a run would take it nevertheless
        raise CheckError(f"MUJOCO_GL={chosen} draws nothing ({reasons[chosen]}), expected {working}", "unset MUJOCO_GL")
    return f"{' and '.join(working)} can draw{failed and ', ' + failed}; {working[0]} will be used"


def _replay_bytes(gin_file: str) -> Tuple[int, int]:
    """A configuration's replay, in sequences and bytes; frames are nearly all of it."""
    import tensorflow as tf
    from tf_agents.trajectories import trajectory as trajectory_lib

    from slac_tf.config import configuration
    from slac_tf.replay import memory
    from slac_tf.training import settings

    try:
        configuration.load([gin_file], [])
    except configuration.ConfigurationError as error:
        raise CheckError(str(error), "ls gin_configs") from error
    capacity = settings.ReplaySettings().capacity
    spec = trajectory_lib.Trajectory((), tf.TensorSpec([64, 64, 3], tf.uint8), (), (), (), (), ())
    return capacity, memory.memory_estimate(spec, capacity)


def check_room(gin_file: str, root_dir: pathlib.Path) -> str:
    """Free memory against the replay of a configuration, and free disk, which must be writable, against checkpoints."""
    import psutil

    again = f"bin/train_eval --gin_file={gin_file}"
    place = root_dir.expanduser().absolute()
    place = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise CheckError(f"{root_dir} cannot be written: {error}", f"{again} --root_dir=$HOME/slac_tf") from error
    capacity, replay = _replay_bytes(gin_file)
    memory, disk, checkpoints = psutil.virtual_memory().available, shutil.disk_usage(place).free, 3 * replay
    found = (
        f"{memory / 2**30:.1f} GiB of memory for the replay of about {replay / 2**30:.1f} ({capacity} sequences), "
        f"{disk / 2**30:.1f} GiB in {root_dir} for checkpoints of at most about {checkpoints / 2**30:.1f}"
    )
    if memory < replay:
        binding = f"ReplaySettings.capacity = {int(capacity * memory / replay)}"
        raise CheckError(f"{found}, expected more memory", f'{again} --gin_bindings="{binding}"')
    if disk < checkpoints:  # two are kept while the next is written
        raise CheckError(f"{found}, expected more disk", f"{again} --root_dir=/on/a/larger/disk")
    return found


def report(name: str, check: Callable[[], str]) -> bool:
    """Runs a check, prints its line, and returns whether it passed."""
    try:
        print(f"ok    {name}: {check()}", flush=True)
        return True
    except CheckError as error:
        message, fix = str(error), error.fix
    except Exception as error:  # a broken library may raise anything, and must not hide the other checks
        message, fix = f"{type(error).__name__}: {error}", _INSTALL
    print(f"FAIL  {name}: {' '.join(message.split())}; fix: {fix}", flush=True)
    return False


def main() -> int:
    """Checks everything, the cheap first; returns 0, 1 where a check failed, 2 after a user's mistake."""
    from absl import flags

    with contextlib.suppress(ImportError):  # the packages' line names what is missing
        command.configure_process()
    checks: Dict[str, Callable[[], str]] = {
        "platform": check_platform,
        "packages": check_packages,
        "devices": check_devices,
        "export": check_export,
        "replay": check_replay,
        "rendering": check_rendering,
        "room": lambda: check_room(flags.FLAGS.gin_file, pathlib.Path(flags.FLAGS.root_dir)),
    }
    if flags.FLAGS.replay_address:
        checks["distributed"] = lambda: check_distributed(flags.FLAGS.replay_address)
    return int(not all([report(name, check) for name, check in checks.items()]))


if __name__ == "__main__":
    if importlib.util.find_spec("absl") is None:  # without it there are no flags either
        sys.exit(not report("packages", check_packages))
    from absl import flags

    flags.DEFINE_string("gin_file", "gin_configs/cheetah_run.gin", "The configuration whose replay must fit.")
    flags.DEFINE_string("root_dir", "logs", "Where runs are to be written.")
    flags.DEFINE_string("replay_address", None, "Of a distributed run's replay server, to ask it too.")
    command.run(main)
