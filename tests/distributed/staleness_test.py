"""How old the policy is that collectors act with, read from the actions in replay."""

import json
import time

import launched
import numbered_point
import observer
import point_task
import pytest
import reverb

pytestmark = [pytest.mark.expensive, pytest.mark.long]

SECONDS = 25
LONGEST_INTERVAL = 1.0  # between two times that weights are sent, or received; a twentieth of it on a quiet machine


def highest_lag(tmp_path, *bindings):
    """Train steps that the learner was ahead at most, as replay and as the run's own metrics say; train steps a second.

    Replay says it too high by what is trained in a tenth of a second.
    """
    root = tmp_path / "run"
    counts, acted_with = [], {}
    with launched.Launch(
        root, 1, bindings, "--noevaluator", observed=False, gin_file="tests/distributed/step.gin"
    ) as launch:
        client = reverb.Client(launch.wait_for(lambda: launch.state() and launch.state()["replay_address"]))

        def trains():
            try:
                found = observer.read(client)["progress"]
            except (reverb.ReverbError, RuntimeError):  # it is not up yet
                return False
            return found and found[observer.TRAIN_STEP] > 50

        launch.wait_for(trains)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            found = observer.read(client)
            counts.append((time.monotonic(), found["inserted"], found["progress"][observer.TRAIN_STEP]))
            for sample in client.sample("sequences", 20, emit_timesteps=False):
                step_types, pixels, actions = sample.data[:3]
                if step_types[0] != 2 and actions[0][0] == actions[0][1]:  # no reset, and not at random
                    _, episode, step = numbered_point.numbers(pixels[:1])[0]
                    acted_with[episode * point_task.EPISODE_STEPS + step + 1] = actions[0][0] * 1e6
            time.sleep(0.05)
        lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    (begin, _, first), (now, inserted, last) = counts[0], counts[-1]
    lags = []
    for agent_step, known in acted_with.items():
        if counts[0][1] < agent_step <= inserted:
            lags.append(next(trained for _, so_far, trained in counts if so_far >= agent_step) - known)
    assert len(lags) > 100
    said = max(line["staleness_max"] for line in lines if "staleness_max" in line)
    return max(lags), said, (last - first) / (now - begin)


def test_weights_are_as_old_as_two_intervals_at_most(tmp_path):
    lag, said, rate = highest_lag(tmp_path)
    print(f"{lag:.0f} train steps behind at most, {said:.0f} by the run's metrics; {rate:.1f} train steps/s")
    assert 0 < lag <= (2 * LONGEST_INTERVAL + 1) * rate
    assert 0.5 * lag <= said <= lag + 0.2 * rate


def test_weights_that_are_rarely_sent_are_noticed(tmp_path):
    lag, _, rate = highest_lag(tmp_path, "build_step_agent.publish_seconds = 8.0")
    assert lag > (2 * LONGEST_INTERVAL + 1) * rate
