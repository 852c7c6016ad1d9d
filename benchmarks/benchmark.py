"""Measures speed, each part in a process of its own: `bin/benchmark [--only=train_step,loop] [--json=FILE]`."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from typing import Any, Dict, List

from absl import app, flags

from slac_tf.commands import command

PARTS = ("train_step", "environment", "replay", "policy", "loop", "planet", "dvrl")
_ONLY = flags.DEFINE_list("only", list(PARTS), f"Parts to measure, separated by commas: {', '.join(PARTS)}.")
_JSON = flags.DEFINE_string("json", None, "File to write all figures to.")
_PART = flags.DEFINE_string("part", None, "The one part to measure in this process.")
# Bounds of figures, shown beside them.
_LIMITS = {
    "train_step.float32.share_of_matmul_rate": "1 is the limit; 0.9 wanted",
    "train_step.bfloat16.share_of_matmul_rate": "1 is the limit",
    "train_step.bfloat16_to_float32": "0.5 is the limit; 0.63 wanted",
    "dvrl.share_of_matmul_rate": "1 is the limit",
    "planet.paper.train_step.share_of_matmul_rate": "1 is the limit; 0.6 wanted",
    "environment.fast_to_every_simulator_step_rendered": "5 wanted",
    "environment.default_to_every_simulator_step_rendered": "4 is the limit: one frame of four",
    "loop.fast.overlap.share_of_train_step": "1 is the limit; 0.9 wanted",
    "loop.default.overlap.share_of_train_step": "1 is the limit; 0.9 wanted",
}
_OUT = flags.DEFINE_string("out", None, "Where that part's figures go.")


def _measure(part: str, out: pathlib.Path) -> None:
    """One part, in this process."""
    command.configure_process()
    import importlib

    figures = importlib.import_module(f"parts.{part}").measure()
    figures["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    out.write_text(json.dumps(figures))


def _lines(figures: Dict[str, Any], prefix: str) -> List[str]:
    lines = []
    for name, value in figures.items():
        path = f"{prefix}.{name}"
        if isinstance(value, dict):
            lines += _lines(value, path)
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"  {path.partition('.')[2]:58s} {shown:10s} {_LIMITS.get(path, '')}".rstrip())
    return lines


def main(argv: List[str]) -> int:
    """Measures what was asked for.

    Args:
        argv: The command's name, and nothing else.

    Returns:
        0, 1 where a part failed, 2 after a user's mistake.
    """
    if _PART.value:
        _measure(_PART.value, pathlib.Path(str(_OUT.value)))
        return 0
    unknown = [*argv[1:], *(part for part in _ONLY.value if part not in PARTS)]
    if unknown:
        print(f"benchmark: {unknown[0]!r}, expected --only={','.join(PARTS)}, or some of them", file=sys.stderr)
        return 2
    results: Dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    print(f"{os.cpu_count()} cores, load {results['load_before']:.1f} before (measure on a quiet machine)")
    for part in _ONLY.value:
        with tempfile.TemporaryDirectory() as directory:
            out = pathlib.Path(directory) / "figures.json"
            command = [sys.executable, __file__, f"--part={part}", f"--out={out}"]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                print(
                    f"benchmark: {part} failed with exit code {done.returncode}, its output is above", file=sys.stderr
                )
                return 1
            results[part] = json.loads(out.read_text())
        print("\n".join([part, *_lines(results[part], part)]), flush=True)
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    app.run(main)
