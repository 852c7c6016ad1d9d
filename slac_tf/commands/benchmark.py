"""Measures speed: `bin/benchmark --only=train_step,loop`. The benchmarks are outside of the package."""

import runpy

from slac_tf.config import shipped

if __name__ == "__main__":
    runpy.run_path(str(shipped.ROOT / "benchmarks" / "benchmark.py"), run_name="__main__")
