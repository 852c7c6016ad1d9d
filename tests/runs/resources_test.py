import json
import subprocess
import sys

import numpy as np

from slac_tf.runs import resources


def _in_its_own_process(script, *arguments):
    """What `script` prints; in this process what other tests left behind may end meanwhile."""
    return subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True).stdout


_USE_MORE = """
import json, sys, threading
import numpy as np
from slac_tf.runs import resources

before = resources.used()
wait = threading.Event()
thread = threading.Thread(target=wait.wait)
thread.start()
memory = np.ones(2**25)  # 256 MiB
with open(sys.argv[1], "w"), open(sys.argv[1], "a"):
    during = resources.used()
wait.set()
thread.join()
print(json.dumps([before, during]))
"""


def test_used(tmp_path):
    before, during = json.loads(_in_its_own_process(_USE_MORE, str(tmp_path / "file")))
    assert 0 < before["rss_bytes"] <= before["peak_rss_bytes"]
    assert during["open_files"] == before["open_files"] + 2
    assert during["threads"] == before["threads"] + 1
    assert during["rss_bytes"] - before["rss_bytes"] > 0.9 * 2**28


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
    peak, inherited = map(int, _in_its_own_process(show).split())
    assert peak < memory.nbytes < inherited
