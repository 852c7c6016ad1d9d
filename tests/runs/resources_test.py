import subprocess
import sys
import threading

import numpy as np

from slac_tf.runs import resources


def test_used(tmp_path):
    before = resources.used()
    assert 0 < before["rss_bytes"] <= before["peak_rss_bytes"]
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    memory = np.ones(2**25)  # 256 MiB
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        during = resources.used()
    wait.set()
    thread.join()
    assert during["open_files"] == before["open_files"] + 2
    assert during["threads"] == before["threads"] + 1
    assert during["rss_bytes"] - before["rss_bytes"] > 0.9 * memory.nbytes


def test_freed_memory_is_given_back():
    pieces = [bytes(10_000) for _ in range(20_000)]  # 200 MB, each too small for a mapping of its own
    kept = pieces[::100]
    full = resources.used()["rss_bytes"]
    del pieces
    resources.give_back_freed_memory()
    assert resources.used()["rss_bytes"] < full - 100e6
    assert len(kept) == 200


def test_peak_is_not_that_of_the_process_that_started_this_one():
    show = (
        "import resource; from slac_tf.runs import resources; "
        "print(resources.used()['peak_rss_bytes'], 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    memory = np.ones(2**27)  # 1 GiB
    shown = subprocess.run([sys.executable, "-c", show], check=True, capture_output=True, text=True).stdout
    peak, inherited = map(int, shown.split())
    assert peak < memory.nbytes < inherited
