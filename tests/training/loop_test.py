"""Whole runs on a counting environment, with an agent whose train step only counts."""

import dataclasses
import json
import math
import os
import shutil
import signal

import fakes
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.policies import random_tf_policy

from slac_tf import types
from slac_tf.environments import faults
from slac_tf.replay import rollout_replay, sequence_replay
from slac_tf.rollouts import rollout_driver
from slac_tf.runs import checkpoints, failures, finite, keeper, run_dir, signals, storage
from slac_tf.training import evaluation, experiment, loop, settings

SCHEDULE = settings.Schedule(
    num_env_steps=30, initial_collect_agent_steps=10, num_pretrain_steps=4, updates_per_agent_step=1
)


class Agent(tf.Module):
    """Its train steps count, and note at which agent step they came."""

    def __init__(self, environment, on_policy):
        super().__init__()
        self.train_step_counter = tf.Variable(0, dtype=tf.int64)
        self.pretrain_step_counter = tf.Variable(0, dtype=tf.int64)
        info = tf.TensorSpec([], tf.float32) if on_policy else ()
        self.collect_policy = random_tf_policy.RandomTFPolicy(*fakes.specs(), info_spec=info)
        self.collect_data_spec = self.collect_policy.trajectory_spec
        self.environment = environment
        self.updates_at = []
        self.batch_shapes = set()
        self.losses = {}  # by train step
        self.pretrain_loss = 2.0
        self.pretrain_hook = lambda step: None
        self.train_hook = lambda step: None

    def train(self, experience, weights):
        assert weights is None
        self.train_step_counter.assign_add(1)
        self.updates_at.append(self.environment.steps)
        self.batch_shapes.add(tuple(experience.reward.shape))
        self.train_hook(int(self.train_step_counter))
        critic = self.losses.get(int(self.train_step_counter), 0.5)
        return tf_agent.LossInfo(
            tf.constant(critic + 0.25), {"model": tf.constant(0.25), "critic": tf.constant(critic)}
        )

    def pretrain(self, experience):
        self.pretrain_step_counter.assign_add(1)
        self.batch_shapes.add(tuple(experience.reward.shape))
        self.pretrain_hook(int(self.pretrain_step_counter))
        return tf_agent.LossInfo(tf.constant(self.pretrain_loss), {"model": tf.constant(self.pretrain_loss)})


class Environment(fakes.CountingEnvironment):
    """Counts its agent steps over all episodes, and sends this process a signal at one of them."""

    def __init__(self, action_repeat=1, signal_at=None):
        super().__init__(length=5)
        self.action_repeat = action_repeat
        self.steps = 0
        self._signal_at = signal_at

    def _step(self, action):
        self.steps += 1
        if self.steps == self._signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super()._step(action)


class FaultyEnvironment(Environment):
    """Fails where it would answer an agent step, or reset after it."""

    def __init__(self, step=None, reset_after=None):
        super().__init__()
        self._fault_at, self._no_reset_after = step, reset_after

    def _reset(self):
        if self._no_reset_after is not None and self.steps >= self._no_reset_after:
            raise faults.FaultyEnvironmentError("counting: reset() raised KeyError")
        return super()._reset()

    def _step(self, action):
        if self.steps + 1 == self._fault_at:
            raise faults.FaultyEnvironmentError("counting: step() raised KeyError")
        return super()._step(action)


class Evaluator(evaluation.Evaluator):
    def __init__(self, signal_at=None):
        self.positions = []
        self._signal_at = signal_at

    def evaluate(self, position, replay, should_stop):
        if len(self.positions) == self._signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if should_stop():
            return None
        self.positions.append(dict(position))
        return {"greedy": 1.0, "stochastic": float(position["agent_step"])}


class Fixture:
    """One process's run of the directory: built as `experiment` does it, and restored where there is a checkpoint."""

    def __init__(
        self,
        root,
        pretraining=True,
        environment=None,
        evaluator=None,
        overlap=False,
        interval_env_steps=1000,
        checkpoint_seconds=1000,
        summary_train_steps=1,
        on_policy=False,
        **schedule,
    ):
        self.directory = run_dir.RunDir(root)
        self.environment = environment or Environment()
        self.agent = Agent(self.environment, on_policy)
        self.evaluator = evaluator or Evaluator()
        self.evaluator._settings = settings.EvaluationSettings(interval_env_steps=interval_env_steps)
        built = types.BuiltAgent(
            agent=self.agent,
            policies={},
            sequence_length=2,
            batch_size=4,
            on_policy=on_policy,
            pretraining=types.Pretraining(self.agent.pretrain, 3, self.agent.pretrain_step_counter)
            if pretraining
            else None,
        )
        found = checkpoints.newest(self.directory.checkpoints)
        if on_policy:
            self.replay = rollout_replay.RolloutReplay(self.agent.collect_data_spec, sequence_length=2)
        else:
            self.replay = sequence_replay.SequenceReplay(
                self.agent.collect_data_spec,
                sequence_length=2,
                capacity=100,
                directory=self.directory.replay,
                restore_from=None if found is None else found.replay,
            )
        self.directory.config.touch()
        self.replay_size_before = self.replay.size
        self.keeper = keeper.Keeper(
            self.directory,
            built,
            self.replay,
            seed=7,
            action_repeat=self.environment.action_repeat,
            checkpoint_seconds=checkpoint_seconds,
            log_seconds=1000,
            summary_train_steps=summary_train_steps,
        )
        self.saver = self.keeper.saver
        record = failures.Record(self.directory)
        observers = [lambda step: self.keeper.counters.observe(step), self.replay.add]
        self.driver = rollout_driver.RolloutDriver(self.environment, observers=observers, overlap=overlap)
        self._experiment = experiment.Experiment(
            schedule=dataclasses.replace(SCHEDULE, **schedule),
            seed=7,
            environment=self.environment,
            built=built,
            train=self.agent.train,
            driver=self.driver,
            replay=self.replay,
            evaluator=self.evaluator,
            guard=finite.FiniteGuard(record, self.saver, lambda: self.agent.trainable_variables, self.keeper.where),
            keeper=self.keeper,
            record=record,
            stop=signals.StopRequest(),
        )
        if found is None:
            self.keeper.begin()
        else:
            self.keeper.restore(found)
            self.environment.steps = found.state["agent_step"]

    def run(self):
        return loop.run(self._experiment)

    @property
    def state(self):
        return self.saver.newest().state

    def lines(self, kind):
        lines = [json.loads(line) for line in self.directory.metrics.read_text().splitlines()]
        return [line for line in lines if line["kind"] == kind]


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def make(tmp_path):
    return lambda **kwargs: Fixture(tmp_path, **kwargs)


def test_a_whole_run(make):
    run = make()
    result = run.run()
    # Episodes of 5 steps with rewards 1 to 5.
    assert result == loop.Result(random_return=15.0, greedy_return=1.0, stochastic_return=30.0, exit_code=0)
    assert run.environment.steps == 30
    assert int(run.agent.pretrain_step_counter) == 4
    assert run.agent.updates_at == list(range(11, 31))
    assert run.agent.batch_shapes == {(3, 3), (4, 3)}  # [B, T+1]: pretraining, training
    assert [position["agent_step"] for position in run.evaluator.positions] == [10, 30]
    assert [position["train_step"] for position in run.evaluator.positions] == [0, 20]
    state = run.state
    assert (state["agent_step"], state["train_step"], state["pretrain_step"], state["seed"]) == (30, 20, 4, 7)
    assert [line["pretrain_step"] for line in run.lines("pretrain")] == [1, 2, 3, 4]
    lines = run.lines("train")
    assert [line["train_step"] for line in lines] == list(range(1, 21))
    assert [line["env_step"] for line in lines] == list(range(11, 31))
    assert {line["loss"] for line in lines} == {0.75}
    assert {line["critic"] for line in lines} == {0.5}


@pytest.mark.parametrize("ratio, updates", [(0.5, 10), (1, 20), (3, 60), (0.15, 3), (0, 0)])
def test_updates_of_20_agent_steps(make, ratio, updates):
    run = make(updates_per_agent_step=ratio, num_pretrain_steps=0)
    run.run()
    assert int(run.agent.train_step_counter) == updates
    assert run.environment.steps == 30
    if ratio == 0.5:
        assert run.agent.updates_at == list(range(12, 31, 2))
    if ratio == 3:
        assert run.agent.updates_at == [step for step in range(11, 31) for _ in range(3)]


@pytest.mark.parametrize("overlap", [False, True])
def test_updates_at_the_ends_of_episodes(tmp_path, overlap):
    run = Fixture(tmp_path / "run", overlap=overlap, updates_per_episode=4, num_pretrain_steps=0)
    run.run()
    assert int(run.agent.train_step_counter) == 16
    if not overlap:  # else the environment goes on meanwhile
        assert run.agent.updates_at == [step for step in (15, 20, 25, 30) for _ in range(4)]  # episodes of 5 steps


def test_random_steps_by_episodes(make):
    run = make(initial_collect_episodes=3, num_pretrain_steps=2)
    result = run.run()
    assert [position["agent_step"] for position in run.evaluator.positions] == [15, 30]  # episodes of 5 steps
    assert len(run.agent.updates_at) == 15
    assert result.random_return == np.mean([1 + 2 + 3 + 4 + 5] * 3)


def test_stopped_between_gradient_steps(make):
    settings = dict(updates_per_episode=4, num_pretrain_steps=0, interval_env_steps=20)
    first = make(**settings)
    first.agent.train_hook = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 6 else None
    assert first.run().exit_code == 130
    assert (first.state["agent_step"], first.state["train_step"]) == (20, 6)
    assert first.state["counters"]["updates_owed"] == 2

    second = make(**settings)
    second.run()
    assert int(second.agent.train_step_counter) == 16
    assert second.agent.updates_at[:2] == [20, 20]  # before the next step
    evaluated = [(position["agent_step"], position["train_step"]) for position in second.evaluator.positions]
    assert evaluated == [(20, 8), (30, 16)]  # after the train steps that were owed


def test_the_last_checkpoint_waits_for_no_iterator_to_close(make):
    run = make()
    sample, last_at_the_close = run.replay.sample, []

    def watched(batch_size):
        try:
            yield from sample(batch_size)
        finally:
            last_at_the_close.append(run.saver.last())

    run.replay.sample = watched
    run.agent.train_hook = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 6 else None
    assert run.run().exit_code == 143
    assert len(last_at_the_close) == 2 and None not in last_at_the_close  # of pretraining and of training


def test_stopped_before_the_last_gradient_step(make):
    first = make(updates_per_episode=4, num_pretrain_steps=0)
    first.agent.train_hook = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 15 else None
    first.run()
    second = make(updates_per_episode=4, num_pretrain_steps=0)
    second.run()
    assert (int(second.agent.train_step_counter), second.environment.steps) == (16, 30)


@pytest.mark.parametrize("ratio", [0.5, 1, 3])
def test_overlap_changes_no_count(tmp_path, ratio):
    runs = [
        Fixture(tmp_path / str(overlap), overlap=overlap, updates_per_agent_step=ratio, interval_env_steps=7)
        for overlap in (False, True)
    ]
    results = [run.run() for run in runs]
    assert results[0] == results[1]
    for get in (
        lambda run: [{**line, "time": 0, "wall_seconds": 0} for line in run.lines("train")],
        lambda run: [{**position, "wall_seconds": 0} for position in run.evaluator.positions],
        lambda run: [run.state[key] for key in ("agent_step", "train_step", "counters")],
        lambda run: run.environment.steps,
        lambda run: counts_in_replay(run),
    ):
        assert get(runs[0]) == get(runs[1])
    # The step after is under way while a train step is made; the last train steps have none beside them.
    assert runs[1].agent.updates_at[-1] == 30


def counts_in_replay(run):
    """Frame numbers of all windows in replay."""
    batches = run.replay.sample(32)
    seen = [fakes.counts(next(batches).experience.observation["pixels"].numpy()) for _ in range(20)]
    return sorted({tuple(row) for batch in seen for row in batch.tolist()})


@pytest.mark.parametrize("ratio, before, after", [(0.5, 1, 9), (1, 3, 17), (3, 9, 51)])
def test_a_resumed_run_makes_up_for_nothing(make, ratio, before, after):
    first = make(updates_per_agent_step=ratio, num_env_steps=13)
    first.run()
    assert int(first.agent.train_step_counter) == before

    second = make(updates_per_agent_step=ratio)
    assert int(second.agent.train_step_counter) == before
    # A reset between the 5th and the 6th step, a fresh environment after the 10th, a reset after the next 5th:
    # 11 steps have 9 windows of 3, of which one ends with a reset; 3 steps have 1.
    assert second.replay_size_before == 9
    result = second.run()
    assert len(second.agent.updates_at) == after  # of 17 agent steps, and the half that was owed
    assert int(second.agent.train_step_counter) == before + after
    assert int(second.agent.pretrain_step_counter) == 4  # not done again
    assert max(np.bincount(second.agent.updates_at)) <= max(ratio, 1)
    assert second.environment.steps == 30
    assert result.random_return == 15.0
    assert [line["train_step"] for line in second.lines("train")] == list(range(1, before + after + 1))
    # The last evaluation of the first process is not repeated by the second one.
    assert [position["agent_step"] for position in first.evaluator.positions] == [10, 13]
    assert [position["agent_step"] for position in second.evaluator.positions] == [30]


@pytest.mark.parametrize("survivor", [None, "train"])
def test_a_deleted_directory_is_not_made_anew(tmp_path, survivor):
    run = Fixture(tmp_path / "run", checkpoint_seconds=0)

    def delete(step):
        for path in run.directory.root.iterdir():
            if path.name != survivor:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if survivor is None:
            run.directory.root.rmdir()

    run.agent.pretrain_hook = delete
    with pytest.raises(storage.StorageError, match=r"could not be written: No such file or directory$"):
        run.run()
    assert run.directory.root.exists() == (survivor is not None)
    assert not run.directory.config.exists()
    assert int(run.agent.pretrain_step_counter) == 1  # noticed by the next checkpoint
    assert survivor is None or run.state["pretrain_step"] == 0


def test_a_finished_run_has_nothing_left_to_do(make):
    first = make()
    result = first.run()
    lines = first.directory.metrics.read_bytes()
    second = make()
    assert second.run() == result
    assert second.environment.steps == 30
    assert not second.agent.updates_at
    assert not second.evaluator.positions
    assert second.directory.metrics.read_bytes() == lines
    assert {**second.state, "wall_seconds": 0} == {**first.state, "wall_seconds": 0}


def test_wall_seconds_go_on(make):
    first = make(num_env_steps=13)
    first.run()
    before = first.state["wall_seconds"]
    second = make()
    second.keeper._start -= 1000.0  # as if it had begun that long ago
    second.run()
    assert second.state["wall_seconds"] >= before + 1000.0


@pytest.mark.parametrize(
    "repeat, interval, num_env_steps, expected",
    [
        (1, 8, 30, [10, 16, 24, 30]),
        (1, 10, 30, [10, 20, 30]),
        (1, 7, 30, [10, 14, 21, 28, 30]),
        (3, 10, 75, [30, 42, 51, 60, 72, 75]),  # the first multiples of 3 that reach 40, 50, 60, 70
        (4, 1, 60, [40, 44, 48, 52, 56, 60]),
    ],
)
def test_when_it_is_evaluated(make, repeat, interval, num_env_steps, expected):
    run = make(
        environment=Environment(action_repeat=repeat),
        interval_env_steps=interval,
        num_env_steps=num_env_steps,
        num_pretrain_steps=0,
    )
    run.run()
    assert [position["env_step"] for position in run.evaluator.positions] == expected


def test_env_steps_count_the_action_repeat(make):
    run = make(environment=Environment(action_repeat=4), num_env_steps=50)
    run.run()
    assert run.environment.steps == 13  # 50 / 4, rounded up
    assert run.state["env_step"] == 52
    assert run.lines("train")[-1]["env_step"] == 52


def test_a_run_that_ends_with_the_random_phase(make):
    run = make(num_env_steps=10)
    run.run()
    assert not run.agent.updates_at
    assert [position["agent_step"] for position in run.evaluator.positions] == [10]


def test_an_agent_without_pretraining(make):
    run = make(pretraining=False)
    result = run.run()
    assert int(run.agent.pretrain_step_counter) == 0
    assert run.state["pretrain_step"] == 0
    assert not run.lines("pretrain")
    assert result.exit_code == 0


def test_summary_interval(make):
    run = make(summary_train_steps=3)
    run.run()
    assert [line["pretrain_step"] for line in run.lines("pretrain")] == [3]
    assert [line["train_step"] for line in run.lines("train")] == [3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite(make, value):
    run = make()
    run.agent.losses = {5: value}
    with pytest.raises(finite.NonFiniteError) as caught:
        run.run()
    assert str(caught.value).startswith(f"critic is {value} at train step 5, env step 15, expected a finite number")
    assert "there is no checkpoint yet" in str(caught.value)
    assert run.saver.newest() is None
    assert [line["train_step"] for line in run.lines("train")] == [1, 2, 3, 4]


def test_the_checkpoint_before_a_bad_loss_is_kept(make):
    run = make(checkpoint_seconds=0)  # one after each step
    run.agent.losses = {5: math.nan}
    with pytest.raises(finite.NonFiniteError, match=r"checkpoint-000000014-000000004 is kept"):
        run.run()
    assert run.state["train_step"] == 4

    resumed = make()
    assert resumed.run().exit_code == 0
    assert resumed.agent.updates_at == list(range(15, 31))


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("faulty", "steps"),
    [
        ({"step": 1}, 0),
        ({"step": 2}, 1),
        ({"step": 7}, 6),  # random
        ({"reset_after": 5}, 5),
        ({"step": 17}, 16),  # training
        ({"reset_after": 20}, 20),  # an episode ends there: with overlap the next step's action asks for the reset
        ({"step": 30}, 29),
    ],
)
def test_an_environment_that_fails_and_then_the_rest(make, overlap, faulty, steps):
    first = make(environment=FaultyEnvironment(**faulty), overlap=overlap)
    with pytest.raises(failures.EnvironmentFailedError) as caught:
        first.run()
    first.driver.close()
    assert first.state["agent_step"] == steps
    line = str(caught.value)
    assert "raised KeyError at train step " in line and f", env step {steps}; " in line
    assert f"{first.saver.newest().directory} is written, and the same command resumes there" in line
    assert "Traceback" in first.directory.failure.read_text()

    second = make()
    result = second.run()
    assert second.environment.steps == 30
    assert (result.exit_code, result.random_return) == (0, 15.0)
    assert int(second.agent.train_step_counter) == 20  # none is lost, none is made twice
    assert [line["train_step"] for line in second.lines("train")] == list(range(1, 21))


def test_an_evaluation_that_fails_is_made_again(make):
    evaluator = Evaluator()
    evaluate = evaluator.evaluate

    def fails(*_):
        raise faults.FaultyEnvironmentError("counting: step() raised KeyError")

    evaluator.evaluate = fails
    first = make(evaluator=evaluator)
    with pytest.raises(failures.EnvironmentFailedError, match="env step 10"):
        first.run()
    assert (first.state["agent_step"], first.state["pretrain_step"]) == (10, 4)
    evaluator.evaluate = evaluate
    second = make(evaluator=evaluator)
    second.run()
    assert [position["agent_step"] for position in evaluator.positions] == [10, 30]


def test_a_fault_of_the_next_step_does_not_hide_a_bad_loss(make):
    run = make(environment=FaultyEnvironment(step=16), overlap=True)
    run.agent.losses = {5: math.nan}  # made while the environment takes step 16
    with pytest.raises(finite.NonFiniteError, match="critic is nan"):
        run.run()
    run.driver.close()


def test_a_bad_loss_of_pretraining(make):
    run = make()
    run.agent.pretrain_loss = math.inf
    with pytest.raises(finite.NonFiniteError, match=r"model is inf at pretrain step 1, .*reward [0-5] to [0-5], .*npz"):
        run.run()
    with np.load(run.directory.failed_batch) as batch:
        assert batch["experience/observation/pixels"].shape == (3, 3, 64, 64, 3)


def test_weights_that_are_not_finite_are_not_kept(make):
    run = make()
    run.agent.trainable = tf.Variable([math.nan], name="kernel")
    with pytest.raises(finite.NonFiniteError, match=r"kernel:0 is not finite at train step 20, env step 30, .*npz"):
        run.run()
    assert run.saver.newest() is None
    assert run.directory.failed_batch.exists()


def test_nor_after_a_fault(make):
    run = make(environment=FaultyEnvironment(step=17))
    run.agent.trainable = tf.Variable([math.nan], name="kernel")
    with pytest.raises(failures.EnvironmentFailedError, match=r"KeyError.*no checkpoint could be written .*kernel:0"):
        run.run()
    assert run.saver.newest() is None


def test_no_checkpoint_before_it_is_due(make):
    run = make()
    saved = []
    save = run.saver.save
    run.saver.save = lambda *args: saved.append(args[0]) or save(*args)
    run.run()
    assert saved == [30]


# In the random phase, with its last step, in training.
@pytest.mark.parametrize("signal_at", [4, 10, 17])
def test_a_signal_and_then_the_rest(make, signal_at):
    first = make(environment=Environment(signal_at=signal_at))
    result = first.run()
    assert result.exit_code == 128 + signal.SIGTERM
    assert first.environment.steps == signal_at
    assert math.isnan(result.random_return) == (signal_at < 10)
    assert first.state["agent_step"] == signal_at
    assert first.state["train_step"] == max(0, signal_at - 10)

    second = make()
    result = second.run()
    assert second.environment.steps == 30
    assert (result.exit_code, result.random_return) == (0, 15.0)
    assert first.agent.updates_at + second.agent.updates_at == list(range(11, 31))
    positions = first.evaluator.positions + second.evaluator.positions
    assert [position["agent_step"] for position in positions] == [10, 30]


def test_a_signal_in_pretraining(make):
    first = make()
    first.agent.pretrain_hook = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 2 else None
    result = first.run()
    assert result.exit_code == 130
    assert result.random_return == 15.0
    assert (first.state["agent_step"], first.state["pretrain_step"]) == (10, 2)
    assert not first.evaluator.positions

    second = make()
    second.run()
    assert int(second.agent.pretrain_step_counter) == 4
    assert [line["pretrain_step"] for line in second.lines("pretrain")] == [1, 2, 3, 4]
    assert second.environment.steps == 30


@pytest.mark.parametrize("signal_at, expected", [(0, [10, 30]), (1, [30])])
def test_an_evaluation_that_a_signal_stopped_is_made_again(make, signal_at, expected):
    first = make(evaluator=Evaluator(signal_at=signal_at))
    assert first.run().exit_code == 143
    assert first.environment.steps == (10 if signal_at == 0 else 30)
    second = make()
    second.run()
    assert [position["agent_step"] for position in second.evaluator.positions] == expected
    assert second.environment.steps == 30


def test_lines_after_the_checkpoint_are_written_again(make):
    first = make(num_env_steps=13)
    first.run()
    with first.directory.metrics.open("a") as file:
        file.write('{"kind": "train", "train_step": 4}\n{"kind": "tr')  # killed after the checkpoint
    second = make()
    second.run()
    assert [line["train_step"] for line in second.lines("train")] == list(range(1, 21))


def test_an_agent_on_its_own_steps_trains_when_a_window_is_full(make):
    run = make(on_policy=True, overlap=True, pretraining=False, updates_per_agent_step=7, num_env_steps=32)
    assert run.run().exit_code == 0
    # Steps 11 to 32 are the policy's; an episode of five is followed by a reset, which is a step, too. The window
    # ends with the third, sixth (a reset, so that the next episode's first step, which came with it, is left out) …
    first, updates, held = 11, [], 0
    for step in range(first, 33):
        begins_later = (step - first) % 5 == 0 and step > first
        held = min(3, held + begins_later)
        held = min(3, held + 1)
        if held == 3:
            updates.append(step)
            held = 0
    assert run.agent.updates_at == updates
    assert run.agent.batch_shapes == {(1, 3)}
    assert int(run.agent.train_step_counter) == len(updates)


def test_an_agent_on_its_own_steps_needs_no_random_ones_and_resumes(make):
    settings = dict(on_policy=True, pretraining=False, initial_collect_agent_steps=0)
    assert make(num_env_steps=5, **settings).run().exit_code == 0  # two steps of a window are lost
    resumed = make(num_env_steps=11, **settings)
    assert resumed.run().exit_code == 0
    assert resumed.agent.updates_at == [8, 11]  # the reset after step 10 comes with step 11
    assert int(resumed.agent.train_step_counter) == 3
