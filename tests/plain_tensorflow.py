"""What a user does with an exported policy, in a Python that has TensorFlow but no other package of the project."""

import subprocess
import sys
import textwrap

_BEFORE = """
import sys

class Blocked:
    NAMES = ("tf_agents", "tensorflow_probability", "gin", "reverb", "dm_control", "gymnasium", "slac_tf", "fakes")

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.NAMES:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())

import collections
import numpy as np
import tensorflow as tf

TimeStep = collections.namedtuple("TimeStep", ["step_type", "reward", "discount", "observation"])
"""
_AFTER = """
assert not set(Blocked.NAMES) & set(sys.modules)
"""


def run(program, *arguments):
    """Runs a program that has `np`, `tf`, `sys` and `TimeStep`; gives what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", _BEFORE + textwrap.dedent(program) + _AFTER, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout
