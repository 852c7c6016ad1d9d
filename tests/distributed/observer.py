"""An outsider that looks at a run's replay server with Reverb alone: what processes say of themselves is no evidence.

`python observer.py ADDRESS OUT WINDOWS`: every tenth of a second a line with the server's counts and what it holds of
the learner's progress; and windows, of which each is written once.
"""

import json
import pathlib
import pickle
import sys
import time

import reverb

PHASE, GENERATION, TRAIN_STEP, AGENT_STEP = range(4)


def main(address, out, windows_out):
    client, windows = reverb.Client(address), {}
    with open(out, "a") as file:
        while True:
            try:
                first = read(client)
                if first["windows"]:
                    for sample in client.sample("sequences", 50, emit_timesteps=False):
                        pixels, step_types = sample.data[1], sample.data[0]
                        key = sample.info.key
                        if key not in windows:
                            flat = pixels.reshape(len(pixels), -1)[:, :24].copy()
                            windows[key] = (flat.view("int64"), step_types)
                time.sleep(0.2)
                second = read(client)
            except (reverb.ReverbError, RuntimeError) as error:
                first, second = None, None
                print(str(error)[:200], file=sys.stderr)
            now = time.time()
            file.write(json.dumps({"time": now, "first": first, "second": second}) + "\n")
            file.flush()
            pathlib.Path(windows_out + ".tmp").write_bytes(pickle.dumps(windows))
            pathlib.Path(windows_out + ".tmp").rename(windows_out)


def read(client):
    """Counts, then progress: None where nothing is published."""
    info = client.server_info(timeout=3)
    limiter = info["steps"].rate_limiter_info
    progress = None
    if info["progress"].current_size:
        (sample,) = client.sample("progress", 1, emit_timesteps=False)
        progress = [value[0].item() for value in sample.data]
    return {
        "inserted": limiter.insert_stats.completed,
        "taken": limiter.sample_stats.completed,
        "windows": info["sequences"].current_size,
        "progress": progress,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
