"""Flags that say what a command runs: configuration, seed and directory."""

import pathlib
from typing import List

from absl import flags

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; several are read in their order.")
GIN_BINDINGS = flags.DEFINE_multi_string(
    "gin_bindings", [], "One gin binding, for example --gin_bindings='Schedule.num_env_steps = 100000'."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the run.", lower_bound=0)
_ROOT_DIR = flags.DEFINE_string(
    "root_dir",
    None,
    "The run's directory; logs/<names of the gin files>/seed<seed> where not given. The same goes on.",
)


def name(prefix: str = "") -> str:
    """The gin files' names, joined.

    Args:
        prefix: Before them.
    """
    return prefix + "-".join(pathlib.Path(file).stem for file in GIN_FILES.value)


def root_dir(prefix: str = "") -> pathlib.Path:
    """The run's directory.

    Args:
        prefix: Of its name where none was given.
    """
    return pathlib.Path(_ROOT_DIR.value or f"logs/{name(prefix)}/seed{SEED.value}").expanduser().absolute()


def mistake() -> str:
    """What is wrong with these flags, or nothing."""
    return "" if GIN_FILES.value else "no --gin_file given, expected for example --gin_file=gin_configs/cheetah_run.gin"


def arguments() -> List[str]:
    """These flags as a command line has them, for other processes of the same run."""
    files = [f"--gin_file={file}" for file in GIN_FILES.value]
    bindings = [f"--gin_bindings={binding}" for binding in GIN_BINDINGS.value]
    return [*files, *bindings, f"--seed={SEED.value}", f"--root_dir={root_dir()}"]
