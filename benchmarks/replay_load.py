"""The load that many collectors put on one replay server; on loopback alone, and only for some seconds.

`python benchmarks/replay_load.py --collectors=50`: fake collectors insert windows of 9 frames at a fixed pace, and a
reader samples batches of 256 of them. Prints agent steps inserted, how long an insertion takes, and the server's
processor time and memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
import reverb
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import reader, server, tables, writer

SEQUENCE_LENGTH = 8
ACTION_SIZE = 6
CAPACITY = 20_000
BATCH_SIZE = 256
COLLECTORS_OF_A_PROCESS = 25


def data_spec() -> trajectory_lib.Trajectory:
    """One step of what is stored."""
    flag, number = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
    pixels, action = tf.TensorSpec([64, 64, 3], tf.uint8), tf.TensorSpec([ACTION_SIZE], tf.float32)
    return trajectory_lib.Trajectory(flag, {"pixels": pixels}, action, (), flag, number, number)


def serve(arguments: argparse.Namespace) -> None:
    """The server, until its standard input is closed."""
    with tempfile.TemporaryDirectory() as directory:
        served = server.ReplayServer(
            data_spec(),
            sequence_length=SEQUENCE_LENGTH,
            capacity=CAPACITY,
            directory=pathlib.Path(directory) / "replay",
            more_tables=[tables.steps(10**9)],
        )
        print(served.address, flush=True)
        sys.stdin.read()


def collect(arguments: argparse.Namespace) -> None:
    """Some collectors in one process, each with a writer of its own; prints how long each step took to insert."""
    frames = np.zeros([50, 64, 64, 3], np.uint8)
    if arguments.frames == "random":
        frames = np.random.randint(0, 256, frames.shape).astype(np.uint8)
    else:  # a bright square that moves: compresses as a rendered frame does, or better
        for number, frame in enumerate(frames):
            frame[number : number + 9, number : number + 9] = 255
    writers = [
        writer.WindowWriter(arguments.address, data_spec(), sequence_length=SEQUENCE_LENGTH, count_steps=True)
        for _ in range(arguments.collectors)
    ]
    one, zero, action = np.int32(1), np.float32(0), np.zeros([ACTION_SIZE], np.float32)
    took, begin = [], time.monotonic()
    for number in range(int(arguments.seconds * arguments.rate)):
        time.sleep(max(0.0, begin + number / arguments.rate - time.monotonic()))
        step = trajectory_lib.Trajectory(one, {"pixels": frames[number % 50]}, action, (), one, zero, zero)
        for each in writers:
            before = time.monotonic()
            each.add(step)
            took.append(time.monotonic() - before)
    print(json.dumps(took))


def load(arguments: argparse.Namespace) -> None:
    """Starts server and collectors, samples, and prints what came of it."""
    this = [sys.executable, __file__, f"--rate={arguments.rate}", f"--frames={arguments.frames}"]
    this.append(f"--seconds={arguments.seconds}")
    pipe = subprocess.PIPE
    serving = subprocess.Popen([*this, "--role=server"], stdin=pipe, stdout=pipe, text=True)
    address = serving.stdout.readline().strip()
    sizes = [
        min(COLLECTORS_OF_A_PROCESS, arguments.collectors - first)
        for first in range(0, arguments.collectors, COLLECTORS_OF_A_PROCESS)
    ]
    own = ["--role=collectors", f"--address={address}"]
    collecting = [subprocess.Popen([*this, *own, f"--collectors={size}"], stdout=pipe, text=True) for size in sizes]
    batches = reader.BatchReader(address, data_spec()).batches(BATCH_SIZE)
    process, waits, sampled = psutil.Process(serving.pid), [], 0
    next(batches)  # the first windows have come
    counter = reverb.Client(address)

    def inserted() -> int:
        return counter.server_info()[tables.STEPS].rate_limiter_info.insert_stats.completed

    begin, first, used = time.monotonic(), inserted(), sum(process.cpu_times()[:2])
    while time.monotonic() - begin < 0.8 * arguments.seconds:
        time.sleep(max(0.0, begin + sampled / arguments.batches_per_second - time.monotonic()))
        before = time.monotonic()
        next(batches)
        waits.append(time.monotonic() - before)
        sampled += 1
    seconds, cores = time.monotonic() - begin, sum(process.cpu_times()[:2]) - used
    steps, memory = inserted() - first, process.memory_info().rss
    took = np.concatenate([json.loads(each.communicate()[0]) for each in collecting])
    serving.stdin.close()
    serving.wait()
    print(
        f"{arguments.collectors} collectors, {arguments.frames} frames: {steps / seconds:.0f} agent steps/s of "
        f"{arguments.collectors * arguments.rate:.0f}, an insertion {1000 * np.median(took):.2f} ms, p99 "
        f"{1000 * np.percentile(took, 99):.1f} ms | {sampled / seconds:.1f} batches/s, a batch "
        f"{1000 * np.median(waits):.0f} ms | server {cores / seconds:.2f} cores, {memory / 2**30:.2f} GiB"
    )


def main() -> None:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, default=50)
    parser.add_argument("--rate", type=float, default=25.0, help="agent steps a second of each")
    parser.add_argument("--batches_per_second", type=float, default=1.0)
    parser.add_argument("--frames", choices=("plain", "random"), default="plain")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--role", choices=("all", "server", "collectors"), default="all", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    {"all": load, "server": serve, "collectors": collect}[arguments.role](arguments)


if __name__ == "__main__":
    main()
