"""Runs commands in this process."""

import importlib
import os
import sys

import gin
import pytest
from absl import flags

from slac_tf.commands import command as command_lib

FLAGS = flags.FLAGS


def take_flags():
    """Takes away the flags of all commands: two of them may have flags of one name."""
    taken = {}
    for name in list(FLAGS):
        if str(FLAGS.find_module_defining_flag(name)).startswith("slac_tf.commands."):
            taken[name] = FLAGS[name]
            delattr(FLAGS, name)
    return taken


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command's main in this process; gives its exit code and what it printed."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"))
    before = take_flags()

    def call(name, *arguments):
        module_name = f"slac_tf.commands.{name}"
        sys.modules.pop(module_name, None)
        take_flags()
        module = importlib.import_module(module_name)
        monkeypatch.setattr(sys, "argv", [f"/somewhere/{name}.py", *arguments])
        capsys.readouterr()
        try:
            code = module.main(command_lib._parse_flags(sys.argv))
        except SystemExit as ended:  # of a mistake in the flags
            code = ended.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield call
    take_flags()
    for name in ("train_eval", "export", "play"):
        sys.modules.pop(f"slac_tf.commands.{name}", None)
    for name, flag in before.items():
        FLAGS[name] = flag
    gin.clear_config()
