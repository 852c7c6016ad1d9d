"""Many runs as processes: one directory each, a few at a time; what is finished is not run again."""

import concurrent.futures
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Dict, List, NamedTuple, Sequence

DONE = "DONE"


class Job(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: What it is called in messages.
        root_dir: Its run directory.
        arguments: Of `bin/train_eval`, without `--root_dir`.
    """

    name: str
    root_dir: pathlib.Path
    arguments: List[str]


def jobs(
    root_dir: pathlib.Path,
    gin_files: Sequence[str],
    variants: Sequence[str],
    bindings: Sequence[str],
    seeds: Sequence[int],
) -> List[Job]:
    """All runs: each variant with each seed, in `root_dir/<variant>/seed<N>`.

    Args:
        root_dir: Of the sweep.
        gin_files: What all have in common.
        variants: One more gin file each; `default` stands for none.
        bindings: What all have in common, after the files.
        seeds: Seeds.

    Returns:
        The runs, seeds first: an interrupted sweep has compared all variants on some seeds.

    Raises:
        ValueError: If two variants have the same name.
    """
    names = [pathlib.Path(variant).stem for variant in variants]
    if len(set(names)) != len(names):
        raise ValueError(f"variants {sorted(names)}, expected different file names: they name the directories")
    common = [f"--gin_file={file}" for file in gin_files]
    result = []
    for seed in seeds:
        for name, variant in zip(names, variants):
            own = [] if variant == "default" else [f"--gin_file={variant}"]
            bound = [f"--gin_bindings={binding}" for binding in bindings]
            place = root_dir / name / f"seed{seed}"
            result.append(Job(f"{name} seed {seed}", place, [*common, *own, *bound, f"--seed={seed}"]))
    return result


def run(all_jobs: Sequence[Job], num_parallel: int) -> Dict[str, int]:
    """Runs what is not finished.

    SIGINT and SIGTERM are passed on; the runs write a checkpoint and the same sweep goes on from there.

    Args:
        all_jobs: The runs.
        num_parallel: How many at a time.

    Returns:
        The exit codes that are not 0, by the names of the runs. A run that was not started has 130.
    """
    running: Dict[str, subprocess.Popen] = {}
    stopped = threading.Event()
    lock = threading.Lock()

    def stop(number: int, _: object) -> None:
        stopped.set()
        for process in list(running.values()):
            process.send_signal(signal.SIGTERM)

    def work(job: Job) -> int:
        done = job.root_dir / DONE
        arguments = "\n".join(job.arguments) + "\n"
        if done.exists() and done.read_text() == arguments:
            return 0
        job.root_dir.parent.mkdir(parents=True, exist_ok=True)
        log = job.root_dir.with_name(job.root_dir.name + ".log")
        command = [sys.executable, "-m", "slac_tf.commands.train_eval", *job.arguments, f"--root_dir={job.root_dir}"]
        with log.open("a") as file:
            with lock:
                if stopped.is_set():
                    return 130
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
                )
                running[job.name] = process
            if stopped.is_set():  # the signal came between start and registration
                process.send_signal(signal.SIGTERM)
            code = process.wait()
            del running[job.name]
        if code == 0:
            done.write_text(arguments)
        print(f"{job.name}: {'done' if code == 0 else f'exit code {code}, see {log}'}", flush=True)
        return code

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with concurrent.futures.ThreadPoolExecutor(num_parallel) as pool:
            futures = {job.name: pool.submit(work, job) for job in all_jobs}
            while not all(future.done() for future in futures.values()):
                concurrent.futures.wait(futures.values(), timeout=1)  # signals are handled between waits
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return {name: future.result() for name, future in futures.items() if future.result() != 0}
