import re
import types

import psutil
import pytest
import windows

from slac_tf.replay import memory


def test_memory_check(monkeypatch):
    spec = windows.data_spec()
    # A step: 64 * 64 * 3 bytes, 2 actions, reward and discount of 4 bytes, two step types of 4: 12312.
    assert memory.memory_estimate(spec, 1) == int(12312 * 0.65) == 8002
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=2**30))
    memory.check_memory(spec, 100_000)
    with pytest.raises(ValueError, match=r"ReplaySettings\.capacity: 200000 sequences") as error:
        memory.check_memory(spec, 200_000)
    fits = int(re.search(r"at most (\d+)$", str(error.value)).group(1))
    memory.check_memory(spec, fits)
    assert memory.memory_estimate(spec, fits + 2) > 2**30
