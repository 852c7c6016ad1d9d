"""What a run takes of its machine."""

import ctypes
import os
import pathlib
import re
from typing import Dict

import numpy as np
import psutil
import tensorflow as tf

from slac_tf import types

# Fitted to the peaks of gin_configs/quickstart.gin and cheetah_run.gin on a CPU; docs/reliability.md has the figures.
_FIXED_BYTES = 0.45 * 2**30  # traced functions, evaluation, exports
_COPIES_OF_A_BATCH = 7  # as float32: batches ahead, activations, gradients


def give_back_freed_memory() -> None:
    """Gives the system what glibc keeps in pieces; for use after evaluations and checkpoints, which leave much."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def peak_estimate(built: types.BuiltAgent, replay_bytes: int) -> int:
    """Memory that a run will have in use at most, for a machine without GPU.

    Args:
        built: The agent, built, nothing of it traced yet.
        replay_bytes: What the full replay takes.

    Returns:
        Bytes.
    """
    specs = tf.nest.flatten(built.agent.collect_data_spec)
    step_bytes = 4 * sum(int(np.prod(spec.shape.as_list(), dtype=np.int64)) for spec in specs)
    pretraining_batch = 0 if built.pretraining is None else built.pretraining.batch_size
    batch_bytes = (built.batch_size + pretraining_batch) * (built.sequence_length + 1) * step_bytes
    return int(used()["rss_bytes"] + _FIXED_BYTES + replay_bytes + _COPIES_OF_A_BATCH * batch_bytes)


def used() -> Dict[str, int]:
    """What this process has in use now.

    Returns:
        `rss_bytes` of memory, `peak_rss_bytes` since it began, `open_files` (descriptors, sockets among
        them) and `threads`.
    """
    process = psutil.Process()
    rss = process.memory_info().rss
    # Not getrusage's ru_maxrss: a process begins with the peak of the one that started it.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = max(1024 * int(kib) for kib in re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE))
    return {
        "rss_bytes": rss,
        "peak_rss_bytes": max(rss, peak),  # the kernel brings its peak up to date a little late
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": process.num_threads(),
    }
