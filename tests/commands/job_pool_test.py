import os
import pathlib
import signal
import stat
import sys
import threading
import time

import pytest

from slac_tf.commands import job_pool

# Stands for the training command: notes that it ran, then does what the seed asks for.
SCRIPT = """#!{python}
import os, pathlib, signal, sys, time
flags = dict(a.lstrip("-").split("=", 1) for a in sys.argv[3:])
place = pathlib.Path(flags["root_dir"])
place.mkdir(parents=True, exist_ok=True)
with (place / "ran").open("a") as file:
    file.write("x")
seed = int(flags["seed"])
threads = [os.environ["TF_NUM_" + kind + "OP_THREADS"] for kind in ("INTRA", "INTER")]
(place / "parent").write_text(os.environ["SLAC_TF_PARENT"])
(place / "cores").write_text(str(sorted(os.sched_getaffinity(0))) + " " + str(threads))
if seed == 8:
    print("I1125 progress.py:78] train 30/500 agent steps (6.0%) | upd 7 | eta 90s", flush=True)
    time.sleep(2)
if seed == 9:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    time.sleep(60)
sys.exit(3 if seed == 7 else 0)
"""


@pytest.fixture(autouse=True)
def training_command(monkeypatch, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(job_pool.sys, "executable", str(script))


def make_jobs(tmp_path, seeds, variants=("default",)):
    return job_pool.jobs(tmp_path / "runs", ["task.gin"], variants, ["a.b = 1"], seeds)


def test_jobs_are_variants_times_seeds(tmp_path):
    first, second, third, fourth = make_jobs(tmp_path, [0, 1], ["default", "latent_models/vae.gin"])
    assert [job.name for job in (first, second, third, fourth)] == [
        "default seed 0",
        "vae seed 0",
        "default seed 1",
        "vae seed 1",
    ]
    assert fourth.root_dir == tmp_path / "runs" / "vae" / "seed1"
    assert first.arguments == ["--gin_file=task.gin", "--gin_bindings=a.b = 1", "--seed=0"]
    assert second.arguments == [
        "--gin_file=task.gin",
        "--gin_file=latent_models/vae.gin",
        "--gin_bindings=a.b = 1",
        "--seed=0",
    ]


def test_variants_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="variants vae, vae, expected different ones"):
        make_jobs(tmp_path, [0], ["a/vae.gin", "b/vae.gin"])


def test_a_seed_that_is_given_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="seeds 1, 1, expected different ones"):
        make_jobs(tmp_path, [1, 1])


def test_tasks_times_variants_times_seeds(tmp_path):
    tasks = ["gin_configs/finger_spin.gin", "gin_configs/ant.gin"]
    all_jobs = job_pool.jobs(tmp_path, ["cpu.gin"], ["default", "agents/mpo.gin"], [], [0, 1], tasks)
    assert [str(job.root_dir.relative_to(tmp_path)) for job in all_jobs] == [
        f"{task}/{variant}/seed{seed}"
        for seed in (0, 1)
        for task in ("finger_spin", "ant")
        for variant in ("default", "mpo")
    ]
    assert all_jobs[3].name == "ant mpo seed 0"
    assert all_jobs[3].arguments == [
        "--gin_file=gin_configs/ant.gin",
        "--gin_file=cpu.gin",
        "--gin_file=agents/mpo.gin",
        "--seed=0",
    ]
    with pytest.raises(ValueError, match="tasks ant, ant, expected different ones"):
        job_pool.jobs(tmp_path, [], ["default"], [], [0], ["ant.gin", "neurips2020/ant.gin"])


@pytest.mark.parametrize("num_parallel", [1, 2])
def test_a_failed_run_does_not_stop_the_rest(tmp_path, num_parallel):
    all_jobs = make_jobs(tmp_path, [1, 7, 2])
    assert job_pool.run(all_jobs, num_parallel) == {"default seed 7": 3}
    assert all((job.root_dir / "ran").read_text() == "x" for job in all_jobs)
    assert all((job.root_dir / "parent").read_text() == str(os.getpid()) for job in all_jobs)  # it ends with it


def test_finished_runs_are_not_run_again_and_failed_ones_are(tmp_path):
    all_jobs = make_jobs(tmp_path, [1, 7])
    job_pool.run(all_jobs, 1)
    job_pool.run(all_jobs, 1)
    assert [(job.root_dir / "ran").read_text() for job in all_jobs] == ["x", "xx"]


def test_a_finished_run_with_other_arguments_is_run_again(tmp_path):
    (job,) = make_jobs(tmp_path, [1])
    job_pool.run([job], 1)
    job_pool.run([job._replace(arguments=[*job.arguments, "--gin_bindings=a.c = 2"])], 1)
    assert (job.root_dir / "ran").read_text() == "xx"


def test_a_signal_is_passed_on_and_nothing_more_is_started(tmp_path):
    all_jobs = make_jobs(tmp_path, [9, 1])
    started = all_jobs[0].root_dir / "ran"

    def interrupt():
        deadline = time.monotonic() + 30
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert job_pool.run(all_jobs, 1) == {"default seed 9": 143, "default seed 1": 130}
    assert not pathlib.Path(all_jobs[1].root_dir).exists()


@pytest.mark.parametrize(
    ("cores", "parallel", "expected"),
    [
        ([0, 1], 1, [[0, 1]]),
        ([0, 1], 2, [[0], [1]]),
        ([4, 5, 6], 2, [[4, 6], [5]]),
        ([2, 3], 3, [[2], [3], [2]]),
    ],
)
def test_shares_of_the_cores(cores, parallel, expected):
    assert job_pool.shares(cores, parallel) == expected


def test_each_run_has_its_share(tmp_path):
    all_jobs = make_jobs(tmp_path, [1, 2, 3])
    job_pool.run(all_jobs, 1)
    cores = sorted(os.sched_getaffinity(0))
    for job in all_jobs:
        assert (job.root_dir / "cores").read_text() == f"{cores} {[str(len(cores))] * 2}"


def test_progress_of_all_in_one_table(tmp_path, capsys):
    # One is done in no time, one says what it has left, one waits and is taken for as long as the longest.
    job_pool.run(make_jobs(tmp_path, [1, 8, 2]), 1, table_seconds=0.5)
    shown = capsys.readouterr().out
    assert "default seed 8  train 30/500 agent steps (6.0%) | upd 7 | eta 90s\n1 of 3 runs done, 3 min left" in shown
