"""A run of processes of which one is asked to end now and then: what each of them holds stays what it is."""

import collections
import os
import random
import signal
import statistics
import time

import launched
import psutil
import pytest
from processes import check_files, lines

# SLAC_TF_SOAK_SECONDS=3600 makes it an hour.
SECONDS = int(os.environ.get("SLAC_TF_SOAK_SECONDS", "180"))
BETWEEN_RESTARTS = min(60, SECONDS / 6)
GROWN_UP_SECONDS = 20  # a younger process still traces its functions
BINDINGS = (
    "load_numbered_point.sleep_seconds = 0.05",
    "Schedule.num_env_steps = 10000000",
    "Schedule.updates_per_agent_step = 0.2",
    "ReplaySettings.capacity = 200",  # full before the middle
    "EvaluationSettings.interval_env_steps = 500",
)


def held(process):
    with process.oneshot():
        memory, files, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
        return {"MB": memory / 1e6, "open files": files, "threads": threads}


@pytest.mark.expensive
@pytest.mark.long
def test_nothing_grows_while_processes_are_restarted(tmp_path):
    root, seed = tmp_path / "run", random.randrange(10**6)
    print(f"random.Random({seed})")
    generator, samples, restarts = random.Random(seed), collections.defaultdict(list), 0
    with launched.Launch(root, 3, BINDINGS, observed=False) as launch:
        launch.wait_for(lambda: lines(root, "eval") if (root / "metrics.jsonl").exists() else None, seconds=200)
        begin = last = time.monotonic()
        while time.monotonic() - begin < SECONDS:
            time.sleep(2)
            assert launch.process.poll() is None, launch.log[-5000:]
            for name, child in launch.state()["children"].items():
                if child["pid"] is None:
                    continue
                try:
                    process = psutil.Process(child["pid"])
                    if time.time() - process.create_time() > GROWN_UP_SECONDS:
                        samples[name.split()[0]].append(held(process))
                except psutil.NoSuchProcess:
                    continue
            if time.monotonic() - last > BETWEEN_RESTARTS:
                last = time.monotonic()
                name = generator.choice(sorted(launch.state()["children"]))
                os.kill(launch.wait_for(lambda name=name: launch.pid(name)), signal.SIGTERM)
                restarts += 1
        launch.process.send_signal(signal.SIGTERM)
        assert launch.exit_code(60) == 143
        assert "Traceback" not in launch.log
    check_files(root)
    assert restarts >= 4 and set(samples) == {"collect", "evaluator", "learner", "replay_server"}
    for name, found in samples.items():
        middle, end = (
            {what: statistics.median(sample[what] for sample in part) for what in found[0]}
            for part in (found[len(found) // 3 : 2 * len(found) // 3], found[2 * len(found) // 3 :])
        )
        print(f"{name}: {len(found)} samples, middle {middle}, end {end}")
        assert end["MB"] < 1.05 * middle["MB"]
        assert end["open files"] <= middle["open files"] + 2
        assert end["threads"] <= middle["threads"] + 2
    print(f"soak: {SECONDS} s, {restarts} restarts, {len(lines(root, 'eval'))} evaluations")
