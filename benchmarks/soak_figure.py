"""Draws what a run took of its machine, from the `resources` lines of its metrics.jsonl."""

import json
import pathlib
from typing import List

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from absl import app, flags

_METRICS = flags.DEFINE_string("metrics", None, "A run's metrics.jsonl.", required=True)
_ESTIMATE = flags.DEFINE_float("estimate", None, "GiB that the run's first log line gave.", required=True)
_OUT = flags.DEFINE_string("out", None, "The picture to write.", required=True)


def main(argv: List[str]) -> None:
    """Draws memory, open files and threads over the minutes of a run.

    Args:
        argv: The command's name.
    """
    del argv
    lines = [json.loads(line) for line in pathlib.Path(_METRICS.value).read_text().splitlines()]
    used = [line for line in lines if line["kind"] == "resources"]
    minutes = [line["wall_seconds"] / 60 for line in used]
    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7, 6), layout="constrained")
    axes[0].plot(minutes, [line["rss_bytes"] / 2**30 for line in used], label="in use")
    axes[0].axhline(_ESTIMATE.value, color="gray", linestyle="--", label="estimate at start")
    axes[0].set_ylabel("memory (GiB)")
    axes[0].legend(loc="lower right")
    for axis, name in zip(axes[1:], ("open_files", "threads")):
        axis.plot(minutes, [line[name] for line in used])
        axis.set_ylabel(name.replace("_", " "))
    for axis in axes:
        axis.set_ylim(bottom=0)
    axes[2].set_xlabel("minutes")
    figure.savefig(_OUT.value, dpi=120)


if __name__ == "__main__":
    app.run(main)
