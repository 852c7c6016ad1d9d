"""Five minutes of every part of a run, over and over: memory, open files and threads stay what they are."""

import signal
import statistics
import time

import pytest
from processes import Process, check_files, lines, newest

_SECONDS = 300


@pytest.mark.expensive
@pytest.mark.long
def test_nothing_grows(tmp_path):
    root = tmp_path / "run"
    more = (
        "ReplaySettings.capacity = 200",  # full before the middle
        "Schedule.updates_per_agent_step = 1",
        "EvaluationSettings.interval_env_steps = 400",
        "Intervals.checkpoint_seconds = 10",
    )
    with Process(root, tmp_path, more=more) as process:
        estimate = float(process.wait_for_line(r"when full, ([\d.]+) GiB in all").group(1))
        process.wait_for_line(r"\btrain \d+/500000 ")
        begin = time.monotonic()
        process.wait_for(lambda: time.monotonic() - begin > _SECONDS, seconds=2 * _SECONDS)
        process.send(signal.SIGTERM)
        assert process.exit_code(30) == 143
    newest(root)
    check_files(root)
    used = lines(root, "resources")
    used = [line for line in used if line["train_step"]]
    assert len(lines(root, "eval")) > 5
    middle, end = used[2 * len(used) // 5 : 3 * len(used) // 5], used[4 * len(used) // 5 :]
    before, after = (
        {name: statistics.median(line[name] for line in part) for name in ("rss_bytes", "open_files", "threads")}
        for part in (middle, end)
    )
    print(f"soak: {len(used)} samples, middle {before}, end {after}, estimate {estimate} GiB")
    assert after["rss_bytes"] < 1.03 * before["rss_bytes"]
    assert after["open_files"] <= before["open_files"] + 2
    assert after["threads"] <= before["threads"] + 2
    assert used[-1]["peak_rss_bytes"] / 2**30 == pytest.approx(estimate, rel=0.2)
