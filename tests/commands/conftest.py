"""Runs commands in this process."""

import importlib
import os
import sys

import pytest
from absl import flags

import slac_tf.commands
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
        take_flags()
        for own in ("run_flags", name):  # which define the flags anew
            sys.modules.pop(f"slac_tf.commands.{own}", None)
            monkeypatch.delattr(slac_tf.commands, own, raising=False)
        module = importlib.import_module(f"slac_tf.commands.{name}")
        monkeypatch.setattr(sys, "argv", [f"/somewhere/{name}.py", *arguments])
        capsys.readouterr()
        try:
            command_lib._parse_flags(sys.argv)
            code = module.main()
        except SystemExit as ended:  # of a mistake in the flags
            code = ended.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield call
    take_flags()
    for name in ("run_flags", "train_eval", "export", "play"):
        sys.modules.pop(f"slac_tf.commands.{name}", None)
    for name, flag in before.items():
        FLAGS[name] = flag
