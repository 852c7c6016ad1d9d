import logging
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from slac_tf.utils import processor


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f", False), ("avx512f avx512_bf16 x", True), ("amx_bf16", True), ("not_amx_bf16_at_all", False)],
)
def test_what_the_processor_says(flags, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: none\n")
    assert processor.multiplies_bfloat16() == expected


def test_no_flags_are_no_instructions(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert not processor.multiplies_bfloat16()


def test_threads_before_the_first_operation():
    code = (
        "from slac_tf.utils import processor; processor.take_threads(1); import tensorflow as tf; tf.ones([2]) + 1.0; "
    )
    code += "t = tf.config.threading; print(t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["1", str(len(os.sched_getaffinity(0)))]


def test_threads_after_it(caplog):
    tf.ones([2]) + 1.0
    with caplog.at_level(logging.WARNING):
        processor.take_threads(1 + tf.config.threading.get_intra_op_parallelism_threads())
    assert "its threads stay as they are" in caplog.text
