"""What this machine's processor can do, and how many of its threads TensorFlow takes."""

import os
import pathlib

import tensorflow as tf
from absl import logging

_CPUINFO = pathlib.Path("/proc/cpuinfo")


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 matrices (AVX-512 BF16 or AMX)."""
    flags = next((line.split() for line in _CPUINFO.read_text().splitlines() if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


def take_threads(intra_op: int) -> None:
    """Sets how TensorFlow shares its work among this process' cores, which it can only before its first operation.

    Args:
        intra_op: Threads of one operation, at least 1. As many operations as there are cores run at a time.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
        tf.config.threading.set_inter_op_parallelism_threads(len(os.sched_getaffinity(0)))
    except RuntimeError:
        logging.warning("TensorFlow runs in this process already: its threads stay as they are")
