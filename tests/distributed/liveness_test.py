import subprocess
import sys
import time

CHILD = """
import os, time
from slac_tf.distributed import liveness
liveness.end_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys
from slac_tf.distributed import liveness
subprocess.run([sys.executable, "-c", {CHILD!r}], env={{**os.environ, liveness.PARENT: str(os.getpid())}})
"""


def test_a_process_ends_with_the_one_that_started_it():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline()
        begin = time.monotonic()
        parent.kill()
        assert parent.stdout.read() == b""  # the pipe is the child's, too
        assert time.monotonic() - begin < 30
