import re

import pytest
import windows

from slac_tf.replay import memory


def test_memory_check():
    spec = windows.data_spec()
    # A step: 64 * 64 * 3 bytes, 2 actions, reward and discount of 4 bytes, two step types of 4: 12312.
    assert memory.memory_estimate(spec, 1) == int(12312 * 0.65) == 8002
    assert memory.check_memory(spec, 100_000, available=2**30) == int(100_000 * 12312 * 0.65)

    with pytest.raises(ValueError, match=r"ReplaySettings\.capacity: 200000 sequences") as error:
        memory.check_memory(spec, 200_000, available=2**30)
    fits = int(re.search(r"at most (\d+)$", str(error.value)).group(1))
    assert memory.check_memory(spec, fits, available=2**30) <= 2**30
    assert memory.memory_estimate(spec, fits + 2) > 2**30
    with pytest.raises(ValueError, match=r"take about 7\d+\.\d GiB"):
        memory.check_memory(spec, 10**8)  # what this machine has free
