"""The update ratio and the windows of whole runs, as an outsider sees them."""

import launched
import numbered_point
import pytest
from tf_agents.policies import random_py_policy
from tf_agents.specs import tensor_spec

from slac_tf.replay import server, tables, writer
from slac_tf.rollouts import rollout_driver

TOTAL = 400


def check(tmp_path, collectors, updates, *, lead=launched.LEAD, more=()):
    root = tmp_path / "run"
    bindings = (f"Schedule.updates_per_agent_step = {updates}", f"Schedule.num_env_steps = {TOTAL}", *more)
    with launched.Launch(root, collectors, bindings) as launch:
        assert launch.exit_code(400) == 0, launch.log[-5000:]
    train_steps, state = launched.train_steps_in_checkpoint(root)
    assert (train_steps, state["agent_step"]) == (updates * (TOTAL - launched.INITIAL), TOTAL)
    inserted = launched.seen(root)[-1]["second"]["inserted"]
    assert inserted <= TOTAL + lead
    observations = launched.check_ratio(root, updates)
    windows = launched.check_windows(launched.windows_seen(root))
    print(f"{collectors} collectors, u {updates}: {train_steps} train steps, {inserted} agent steps inserted, ", end="")
    print(f"{observations} observations within the bounds, {windows} windows")
    assert observations > 5 and windows > 100


def test_two_collectors(tmp_path):
    check(tmp_path, 2, 1)


@pytest.mark.expensive
@pytest.mark.parametrize(("collectors", "updates"), [(1, 3), (3, 0.2)])
def test_other_ratios_and_numbers_of_collectors(tmp_path, collectors, updates):
    check(tmp_path, collectors, updates)


@pytest.mark.expensive
def test_without_the_brake_collectors_run_away(tmp_path):
    with pytest.raises(AssertionError):
        check(tmp_path, 2, 1, lead=10**6, more=("Distributed.max_lead_agent_steps = 1000000",))


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
