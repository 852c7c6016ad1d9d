"""The commands, a module each: `python -m slac_tf.commands.NAME`, as bin/NAME runs it, or `slac_tf-NAME` of a wheel."""

import os
import runpy
import sys


def run_installed() -> None:
    """`slac_tf-NAME`, by the name that it was called with."""
    name = os.path.basename(sys.argv[0]).partition("-")[2]
    runpy.run_module(f"slac_tf.commands.{name}", run_name="__main__", alter_sys=True)
