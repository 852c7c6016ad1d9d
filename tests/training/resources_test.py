import threading

import numpy as np

from slac_tf.training import resources


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
