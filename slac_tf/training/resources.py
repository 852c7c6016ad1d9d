"""What a run takes of its machine."""

import os
import resource
from typing import Dict

import psutil


def used() -> Dict[str, int]:
    """What this process has in use now.

    Returns:
        `rss_bytes` of memory, `peak_rss_bytes` since it began, `open_files` (descriptors, sockets among
        them) and `threads`.
    """
    process = psutil.Process()
    rss = process.memory_info().rss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {
        "rss_bytes": rss,
        "peak_rss_bytes": max(rss, peak),  # the kernel brings its peak up to date a little late
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": process.num_threads(),
    }
