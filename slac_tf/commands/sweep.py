"""Runs tasks x variants x seeds: `bin/sweep --gin_file=gin_configs/ant.gin --seeds=0,1,2 --jobs=2`."""

import pathlib

from absl import flags

from slac_tf.commands import command

_TASKS = flags.DEFINE_multi_string("task", [], "Gin file of a task, read before all others; one or several.")
_GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file that all runs read; several in their order.")
_VARIANTS = flags.DEFINE_multi_string(
    "variant", ["default"], "Gin file that some runs read after those; several are compared. `default` adds none."
)
_GIN_BINDINGS = flags.DEFINE_multi_string("gin_bindings", [], "One gin binding for all runs.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds, separated by commas.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Runs at a time.", lower_bound=1)
_ROOT_DIR = flags.DEFINE_string("root_dir", "logs/sweep", "Directory of the runs. The same goes on.")


def main() -> int:
    """Runs the sweep.

    Returns:
        0, 1 where runs failed or were stopped, 2 after a user's mistake.
    """
    from slac_tf.commands import job_pool

    if not (_TASKS.value or _GIN_FILES.value):
        return command.fail("expected --gin_file=gin_configs/TASK.gin or --task=…")
    try:
        seeds = [int(seed) for seed in _SEEDS.value]
        root_dir = pathlib.Path(_ROOT_DIR.value).absolute()
        jobs = job_pool.jobs(root_dir, _GIN_FILES.value, _VARIANTS.value, _GIN_BINDINGS.value, seeds, _TASKS.value)
    except ValueError as error:
        return command.fail(str(error))
    failed = job_pool.run(jobs, _JOBS.value)
    print(f"{len(jobs) - len(failed)} of {len(jobs)} runs done in {root_dir}")
    for name, code in failed.items():
        print(f"not done: {name} (exit code {code})")
    return 1 if failed else 0


if __name__ == "__main__":
    command.run(main)
