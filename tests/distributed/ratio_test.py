"""The update ratio and the windows of whole runs, as an outsider sees them."""

import time

import launched
import numbered_point
import pytest
from tf_agents.policies import random_py_policy
from tf_agents.specs import tensor_spec

from slac_tf.replay import server, tables, writer
from slac_tf.rollouts import rollout_driver

TOTAL = 400
SECONDS = 10


def run(root, collectors, updates, *more):
    bindings = (f"Schedule.updates_per_agent_step = {updates}", f"Schedule.num_env_steps = {TOTAL}", *more)
    with launched.Launch(root, collectors, bindings) as launch:
        assert launch.exit_code(400) == 0, launch.log[-5000:]


def check(root, collectors, updates):
    run(root, collectors, updates)
    train_steps, state = launched.train_steps_in_checkpoint(root)
    assert (train_steps, state["agent_step"]) == (updates * (TOTAL - launched.INITIAL), TOTAL)
    inserted = launched.seen(root)[-1]["second"]["inserted"]
    assert inserted <= TOTAL + launched.LEAD
    observations = launched.check_ratio(root, updates)
    windows = launched.check_windows(launched.windows_seen(root))
    print(f"{collectors} collectors, u {updates}: {train_steps} train steps, {inserted} agent steps inserted, ", end="")
    print(f"{observations} observations within the bounds, {windows} windows")
    assert observations > 5 and windows > 100


def test_two_collectors(tmp_path):
    check(tmp_path / "run", 2, 1)


@pytest.mark.expensive
@pytest.mark.parametrize(("collectors", "updates"), [pytest.param(1, 3, marks=pytest.mark.long), (3, 0.2)])
def test_other_ratios_and_numbers_of_collectors(tmp_path, collectors, updates):
    check(tmp_path / "run", collectors, updates)


@pytest.mark.expensive
@pytest.mark.long
def test_without_the_brake_collectors_run_away(tmp_path):
    run(tmp_path / "run", 2, 1, "Distributed.max_lead_agent_steps = 1000000")
    with pytest.raises(AssertionError):
        launched.check_ratio(tmp_path / "run", 1)


@pytest.mark.expensive
def test_goes_on_with_a_run_of_train_eval_but_not_the_other_way_round(tmp_path):
    root = tmp_path / "run"

    def train_eval(total):
        arguments = launched.command("train_eval", root, (f"Schedule.num_env_steps = {total}",))
        with launched.Process(arguments, tmp_path / "train_eval.log") as process:
            return process.exit_code(200), process.log

    code, log = train_eval(150)
    assert code == 0, log
    with launched.Launch(root, 1, ("Schedule.num_env_steps = 220",), "--environments=2") as launch:
        assert launch.exit_code(300) == 0, launch.log[-5000:]
    train_steps, state = launched.train_steps_in_checkpoint(root)
    assert (train_steps, state["agent_step"]) == (120, 220)
    assert launched.seen(root)[0]["first"]["windows"] >= 148  # streams of 100 and 50 steps
    code, log = train_eval(230)
    assert code == 2
    assert f"{root} holds a run of bin/launch" in log.splitlines()[-1]


SLEEPS = "load_numbered_point.sleep_seconds = 0.05"


def rate(tmp_path, collectors, lead, *more, binding=SLEEPS, gin_file=launched.GIN_FILE):
    """Agent steps a second, as the observer counts them, with an environment that takes 50 ms a step, or another."""
    bindings = (
        binding,
        "Schedule.updates_per_agent_step = 0.05",
        "Schedule.num_env_steps = 1000000",
        f"Distributed.max_lead_agent_steps = {lead}",
    )
    root = tmp_path / "-".join([str(collectors), str(lead), *more]) / "run"
    with launched.Launch(root, collectors, bindings, "--noevaluator", *more, gin_file=gin_file) as launch:

        def trains():
            lines = launched.seen(root)
            return bool(lines) and (lines[-1]["first"]["progress"] or [0, 0, 0])[2] > 5

        launch.wait_for(trains, 300)
        begin = len(launched.seen(root))
        time.sleep(SECONDS)
        lines = launched.seen(root)
    first, last = lines[begin], lines[-1]
    return (last["first"]["inserted"] - first["first"]["inserted"]) / (last["time"] - first["time"])


@pytest.mark.expensive
@pytest.mark.long
def test_throughput_grows_with_collectors_and_environments(tmp_path):
    one, two, four = (rate(tmp_path, collectors, 200) for collectors in (1, 2, 4))
    print(f"{one:.1f} agent steps/s with one collector, {two:.1f} with two, {four:.1f} with four")
    assert one >= 14
    assert two >= 1.8 * one
    assert four >= 3.2 * one
    several = rate(tmp_path, 1, 200, "--environments=8")
    print(f"{several:.1f} with eight environments in one")
    assert several >= 6 * one


@pytest.mark.expensive
@pytest.mark.long
def test_rendering_takes_a_process_for_each_core(tmp_path):
    # Mesa rasterises one frame at a time in a process, whatever its threads.
    quality = "RENDER_QUALITY = 'default'"
    one, in_one, in_two = (
        rate(tmp_path, collectors, 200, *more, binding=quality, gin_file="tests/distributed/rendered.gin")
        for collectors, more in ((1, ()), (1, ("--environments=8",)), (2, ("--environments=4",)))
    )
    print(f"{one:.1f} agent steps/s rendered with one environment, {in_one:.1f} with eight, ", end="")
    print(f"{in_two:.1f} with four in each of two collectors")
    assert in_two >= 1.6 * one
    assert in_one < 1.6 * one


@pytest.mark.expensive
@pytest.mark.long
def test_a_lead_of_one_makes_collectors_wait_for_each_other(tmp_path):
    found = rate(tmp_path, 2, 1)
    print(f"{found:.1f} agent steps/s with two collectors and a lead of 1")
    assert found < 25


def write(tmp_path, shared):
    """The windows of two collectors, each with a writer of its own or both with one."""
    environments = [numbered_point.load_numbered_point(seed=seed) for seed in (1, 2)]
    specs = environments[0].time_step_spec(), environments[0].action_spec()
    spec = tensor_spec.from_spec(random_py_policy.RandomPyPolicy(*specs).trajectory_spec)._replace(policy_info=())
    served = server.ReplayServer(
        spec, sequence_length=3, capacity=1000, directory=tmp_path / "server", more_tables=[tables.steps(1000)]
    )
    writers = [writer.WindowWriter(served.address, spec, sequence_length=3, count_steps=True) for _ in environments]
    drivers = [
        rollout_driver.RolloutDriver(environment, observers=[writers[0 if shared else i].add], overlap=False)
        for i, environment in enumerate(environments)
    ]
    for driver in drivers:
        driver.begin(random_py_policy.RandomPyPolicy(*specs))
    for _ in range(50):
        for driver in drivers:
            driver.run()
    for each in writers:
        each.flush()
    info = served.client.server_info()
    assert info[tables.STEPS].current_size == 100
    found = {}
    for sample in served.client.sample(tables.SEQUENCES, 2000, emit_timesteps=False):
        found[sample.info.key] = (numbered_point.numbers(sample.data[1]), sample.data[0])
    return list(found.values())


def test_windows_of_two_collectors(tmp_path):
    # Two resets each make two steps more and leave two windows out.
    assert launched.check_windows(write(tmp_path, shared=False), length=4, trained_step=2) == 2 * (50 - 3)


def test_a_writer_shared_by_two_collectors_is_noticed(tmp_path):
    with pytest.raises(AssertionError):
        launched.check_windows(write(tmp_path, shared=True), length=4, trained_step=2)
