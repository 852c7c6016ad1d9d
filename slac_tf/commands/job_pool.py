"""Many runs as processes: one directory each, a few at a time; what is finished is not run again."""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Dict, List, NamedTuple, Sequence

from slac_tf.distributed import liveness

DONE = "DONE"
_PROGRESS = re.compile(r"\b(?:random|pretrain|train) \d+/\d+ .*")  # as runs/progress.py writes it
_LEFT = re.compile(r"train .* eta (\d+)s")


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
    tasks: Sequence[str] = (),
) -> List[Job]:
    """All runs: each task and variant with each seed, in `root_dir/<task>/<variant>/seed<N>`.

    Args:
        root_dir: Of the sweep.
        gin_files: What all have in common.
        variants: One more gin file each, read after those; `default` stands for none.
        bindings: What all have in common, after the files.
        seeds: Seeds.
        tasks: One gin file each, read before all others; where there is none `gin_files` begin with the task's, and
            the folder is `root_dir/<variant>/seed<N>`.

    Returns:
        The runs, seeds first: an interrupted sweep has compared all variants on some seeds.

    Raises:
        ValueError: If two variants, tasks or seeds have the same name.
    """
    for kind, given in (("variants", variants), ("tasks", tasks), ("seeds", seeds)):
        names = [pathlib.Path(str(each)).stem for each in given]
        if len(set(names)) != len(names):
            raise ValueError(f"{kind} {', '.join(sorted(names))}, expected different ones: they name the directories")
    result = []
    for seed, task, variant in itertools.product(seeds, tasks or [""], variants):
        files = [*([task] if task else []), *gin_files, *([] if variant == "default" else [variant])]
        names = [pathlib.Path(file).stem for file in (task, variant) if file]
        arguments = [*(f"--gin_file={file}" for file in files), *(f"--gin_bindings={binding}" for binding in bindings)]
        place = root_dir.joinpath(*names, f"seed{seed}")
        result.append(Job(f"{' '.join(names)} seed {seed}", place, [*arguments, f"--seed={seed}"]))
    return result


def run(all_jobs: Sequence[Job], num_parallel: int, table_seconds: float = 60.0) -> Dict[str, int]:
    """Runs what is not finished, each run on its own share of this process' cores.

    SIGINT and SIGTERM are passed on, and the runs get SIGTERM if this process is killed; they write a checkpoint and
    the same sweep goes on from there.

    Args:
        all_jobs: The runs.
        num_parallel: How many at a time.
        table_seconds: Between tables of what is running.

    Returns:
        The exit codes that are not 0, by the names of the runs. A run that was not started has 130.
    """
    pool = _Pool(all_jobs, shares(sorted(os.sched_getaffinity(0)), num_parallel))
    before = {number: signal.signal(number, pool.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with concurrent.futures.ThreadPoolExecutor(num_parallel) as threads:
            futures = {job.name: threads.submit(pool.work, job) for job in all_jobs}
            shown = time.monotonic()
            while not all(future.done() for future in futures.values()):
                concurrent.futures.wait(futures.values(), timeout=1)  # signals are handled between waits
                if time.monotonic() - shown >= table_seconds:
                    shown = time.monotonic()
                    print(pool.table(), flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return {name: future.result() for name, future in futures.items() if future.result() != 0}


def shares(cores: Sequence[int], num_parallel: int) -> List[List[int]]:
    """Divides cores among runs.

    Args:
        cores: Their numbers.
        num_parallel: Runs at a time.

    Returns:
        The cores of each; where there are fewer cores than runs, several have the same one.
    """
    return [list(cores[i::num_parallel]) or [cores[i % len(cores)]] for i in range(num_parallel)]


class _Running(NamedTuple):
    """A run's process, its cores, and when it began."""

    process: subprocess.Popen
    cores: List[int]
    log: pathlib.Path
    begin: float


class _Pool:
    """Processes, and the shares of cores that are free."""

    def __init__(self, all_jobs: Sequence[Job], cores: Sequence[List[int]]):
        self._total = self._waiting = len(all_jobs)
        self._free = list(cores)
        self._parallel = len(cores)
        self._running: Dict[str, _Running] = {}
        self._seconds: List[float] = []  # of the runs that were finished by this process
        self._done = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def stop(self, number: int, frame: object) -> None:
        """Ends what runs, as a signal's handler."""
        del number, frame
        self._stopped.set()
        for running in list(self._running.values()):
            running.process.send_signal(signal.SIGTERM)

    def work(self, job: Job) -> int:
        """Runs a job to its end.

        Args:
            job: The run.

        Returns:
            Its exit code.
        """
        done = job.root_dir / DONE
        arguments = "\n".join(job.arguments) + "\n"
        if done.exists() and done.read_text() == arguments:
            with self._lock:
                self._waiting -= 1
                self._done += 1
            return 0
        job.root_dir.parent.mkdir(parents=True, exist_ok=True)
        log = job.root_dir.with_name(job.root_dir.name + ".log")
        with log.open("a") as file:
            with self._lock:
                if self._stopped.is_set():
                    return 130
                running = self._start(job, file, log)
            if self._stopped.is_set():  # the signal came between start and registration
                running.process.send_signal(signal.SIGTERM)
            code = running.process.wait()
        if code == 0:
            done.write_text(arguments)
        with self._lock:
            del self._running[job.name]
            self._free.append(running.cores)
            if code == 0:
                self._done += 1
                self._seconds.append(time.monotonic() - running.begin)
        print(f"{job.name}: {'done' if code == 0 else f'exit code {code}, see {log}'}", flush=True)
        return code

    def _start(self, job: Job, file: IO[str], log: pathlib.Path) -> _Running:
        self._waiting -= 1
        cores = self._free.pop(0)
        number = str(len(cores))
        print(f"{job.name}: starts on core {', '.join(map(str, cores))}", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "slac_tf.commands.train_eval", *job.arguments, f"--root_dir={job.root_dir}"],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={
                **os.environ,
                liveness.PARENT: str(os.getpid()),
                "TF_NUM_INTRAOP_THREADS": number,
                "TF_NUM_INTEROP_THREADS": number,
            },
        )
        with contextlib.suppress(ProcessLookupError):  # it has failed already
            os.sched_setaffinity(process.pid, cores)
        self._running[job.name] = _Running(process, cores, log, time.monotonic())
        return self._running[job.name]

    def table(self) -> str:
        """A line for each run that goes on, and one for all."""
        now = time.monotonic()
        with self._lock:
            rows = [(name, now - running.begin, _last_progress(running.log)) for name, running in self._running.items()]
            waiting, lengths = self._waiting, list(self._seconds)
        width = max((len(name) for name, *_ in rows), default=0)
        lines = [f"{name:{width}s}  {progress}" for name, _, progress in rows]
        said = [_LEFT.fullmatch(progress) for *_, progress in rows]
        lengths += [passed + float(each[1]) for (_, passed, _), each in zip(rows, said) if each]
        left = "unknown time"
        if lengths:
            longest = max(lengths)  # a run that went on from a checkpoint says little of one that did not
            seconds = [float(each[1]) if each else max(0.0, longest - row[1]) for row, each in zip(rows, said)]
            left = f"{(sum(seconds) + longest * waiting) / self._parallel / 60:.0f} min"
        return "\n".join([*lines, f"{self._done} of {self._total} runs done, {left} left"])


def _last_progress(log: pathlib.Path) -> str:
    """The newest line of progress in a run's log, from its phase on."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 8192, 0))
        lines = _PROGRESS.findall(file.read().decode(errors="replace"))
    return lines[-1] if lines else "begins"
