"""The directory of one run: who may use it, and what is where in it."""

import fcntl
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Collection, Optional, Union

_VERSIONED = (
    "tensorflow",
    "tensorflow-probability",
    "tf-agents",
    "dm-reverb",
    "gin-config",
    "dm-control",
    "mujoco",
    "gymnasium",
    "numpy",
    "slac-tf",
)
_LOCK = "lock"
_MOST_SHOWN = 3  # differing bindings in a message
_OF_0_1 = "train_eval.num_env_steps"  # bound in each of its runs, and in none since
# What a run that ended at its very start may have left, and what other processes than the one that trains have there.
_BEFORE_CONFIG = (_LOCK, "config.gin.tmp", "replay", "collectors", "launch.json")


class RunDirectoryError(ValueError):
    """A directory cannot be this run's; the message says why."""


class RunDir:
    """Paths inside a run's directory, with TF-Agents' names where it has one.

    Attributes:
        root: The directory.
    """

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.train = root / "train"
        self.eval = root / "eval"
        self.policies = root / "policies"
        self.videos = root / "videos"
        self.checkpoints = root / "train" / "checkpoints"
        self.replay = root / "train" / "replay"
        self.config = root / "config.gin"
        self.metrics = root / "metrics.jsonl"
        self.eval_csv = root / "eval.csv"
        self.failure = root / "failure.txt"
        self.failed_batch = root / "failed_batch.npz"

    def open(self, config: str, operative_config: str, seed: int, may_change: Collection[str] = ()) -> None:
        """Takes the directory for a run, or takes up the run that is there.

        Args:
            config: All gin bindings as text.
            operative_config: The bindings in effect, defaults among them, as text.
            seed: The run's.
            may_change: Settings that a run may be resumed with another value of.

        Raises:
            RunDirectoryError: If it holds a run of another configuration or seed, is in use, or cannot be
                written; the message names what differs.
        """
        config = with_seed(config, seed)
        try:
            self._check(config, may_change)
            self.root.mkdir(parents=True, exist_ok=True)
            self._take()
            write_atomically(self.config, config)
            write_atomically(self.root / "operative_config.gin", operative_config)
            write_atomically(self.root / "versions.txt", versions())
            with (self.root / "command.txt").open("a") as file:
                file.write(shlex.join([f"bin/{pathlib.Path(sys.argv[0]).stem}", *sys.argv[1:]]) + "\n")
        except OSError as error:
            raise RunDirectoryError(
                f"{error.filename or self.root}: {error.strerror}: a run needs a directory that it can write to: mend "
                "this one, or choose another --root_dir"
            ) from error

    def _check(self, config: str, may_change: Collection[str]) -> None:
        """Refuses a directory that holds something else than this run."""
        if self.config.exists():
            before = self.config.read_text()
            if _OF_0_1 in before:
                raise RunDirectoryError(
                    f"{self.root} holds a run of slac_tf 0.1, whose settings have other names and whose checkpoints "
                    "hold other variables: finish it with the commit in its versions.txt, or choose another --root_dir"
                )
            differences = differences_of(before, config, may_change)
            if differences:
                raise RunDirectoryError(
                    f"{self.root} holds a run of another configuration: {differences}: set that back, or choose "
                    "another --root_dir"
                )
        elif self.root.exists() and any(path.name not in _BEFORE_CONFIG for path in self.root.iterdir()):
            raise RunDirectoryError(
                f"{self.root} is not empty and holds no run (no config.gin): choose another --root_dir"
            )

    def close(self) -> None:
        """Gives the directory to others."""
        self._lock.close()

    def _take(self) -> None:
        """Locks the directory until it is closed or this process ends, however it ends."""
        self._lock = (self.root / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunDirectoryError(
                f"{self.root} is in use by another process: wait until it ends, or choose another --root_dir"
            ) from error


def with_seed(config: str, seed: int) -> str:
    """The text of `config.gin`, from all gin bindings and the seed."""
    return f"# seed = {seed}\n{config}"


def versions() -> str:
    """Versions of Python, the libraries and this code, one a line."""
    lines = [f"python {platform.python_version()}", f"git {git_commit() or 'unknown'}"]
    for name in _VERSIONED:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} not installed")
    return "\n".join(lines) + "\n"


def git_commit() -> Optional[str]:
    """The commit of this code, with `+changes` where files differ from it; None outside a repository."""
    here = pathlib.Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def write_atomically(path: pathlib.Path, content: Union[str, bytes]) -> None:
    """Replaces a file, which at any moment is the old one or the new one.

    Args:
        path: The file.
        content: Its content.

    Raises:
        OSError: If that fails; nothing is left over then.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def differences_of(before: str, now: str, may_change: Collection[str] = ()) -> str:
    """What differs between two configurations.

    Args:
        before: All gin bindings as text, the seed's line above them.
        now: Same.
        may_change: Settings that do not count.

    Returns:
        The first few differences, both sides of each; empty where there are none.
    """

    def bindings(text: str) -> "dict[str, str]":
        found, key = {}, ""
        for line in text.splitlines():
            if line.startswith("# seed") or (line and not line.startswith(("#", " ", "import")) and " = " in line):
                key = line.split(" = ")[0]
                found[key] = line
            elif line.startswith(" "):
                found[key] += " " + line.strip()
        return {k: v for k, v in found.items() if k not in may_change}

    old, new = bindings(before), bindings(now)
    found = [
        f"there {old.get(key, f'(no {key})')!r}, now {new.get(key, f'(no {key})')!r}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    more = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
    return "; ".join([*found[:_MOST_SHOWN], *more])
