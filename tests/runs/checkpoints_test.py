import os
import re
import shutil

import pytest
import tensorflow as tf

from slac_tf.runs import checkpoints as checkpoints_lib
from slac_tf.runs import run_dir, storage


class Agent(tf.Module):
    def __init__(self, value=0.0, size=2, extra=False):
        super().__init__()
        self.weight = tf.Variable(tf.fill([size], value))
        self.optimizer = tf.keras.optimizers.legacy.Adam(0.1)
        if extra:
            self.more = tf.Variable(0.0)

    def step(self):
        self.optimizer.apply_gradients([(tf.ones_like(self.weight), self.weight)])


class Replay:
    """Writes a name; breaks off in the middle when told."""

    def __init__(self, name="windows", error=None):
        self._name, self._error = name, error

    def save(self, directory):
        directory.mkdir()
        (directory / self._name).write_text(self._name)
        if self._error is not None:
            raise self._error


class Crash(BaseException):
    """What no handler catches, as a killed process is not asked."""


def state(pretrain_step=0, **values):
    return {"pretrain_step": pretrain_step, **values}


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_save_and_restore(tmp_path):
    agent = Agent(1.0)
    agent.step()
    saver = checkpoints_lib.Checkpoints(tmp_path / "checkpoints", agent)
    assert saver.newest() is None
    place = saver.save(12, state(3, counters={"agent_step": 12}), Replay())
    assert place == tmp_path / "checkpoints" / "checkpoint-000000012-000000003"
    weight = agent.weight.numpy()

    other = Agent(5.0)
    other.step()
    saver = checkpoints_lib.Checkpoints(tmp_path / "checkpoints", other)
    found = saver.newest()
    assert found.directory == place
    assert found.state == {"pretrain_step": 3, "counters": {"agent_step": 12}}
    assert (found.replay / "windows").read_text() == "windows"
    saver.restore(found)
    assert other.weight.numpy().tolist() == weight.tolist()
    agent.step()
    other.step()  # with the optimizer's moments: both go on alike
    assert other.weight.numpy().tolist() == agent.weight.numpy().tolist()
    assert int(other.optimizer.iterations) == 2


def test_the_newest_by_agent_steps_then_by_pretraining(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent(), keep=9)
    for agent_step, pretrain_step in [(9, 9000), (10, 0), (10, 2000)]:
        saver.save(agent_step, state(pretrain_step), Replay())
    assert checkpoints_lib.newest(tmp_path).directory.name == "checkpoint-000000010-000002000"
    saver.save(1000, state(2000), Replay())
    assert checkpoints_lib.newest(tmp_path).directory.name == "checkpoint-000001000-000002000"


def test_two_are_kept(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    for step in (1, 2, 3, 4):
        saver.save(step, state(), Replay())
    assert names(tmp_path) == ["checkpoint-000000003-000000000", "checkpoint-000000004-000000000"]


def test_the_same_step_is_replaced(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    saver.save(1, state(try_="first"), Replay("first"))
    saver.save(1, state(try_="second"), Replay("second"))
    found = saver.newest()
    assert found.state["try_"] == "second"
    assert names(found.replay) == ["second"]
    assert names(tmp_path) == ["checkpoint-000000001-000000000-001"]
    saver.save(1, state(try_="third"), Replay("third"))
    assert saver.newest().state["try_"] == "third"
    assert names(tmp_path) == ["checkpoint-000000001-000000000-002"]


def test_an_interrupted_save_leaves_the_one_before(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    saver.save(1, state(), Replay())
    with pytest.raises(KeyboardInterrupt):
        saver.save(2, state(), Replay(error=KeyboardInterrupt()))
    assert saver.newest().directory.name == "checkpoint-000000001-000000000"
    assert names(tmp_path) == ["checkpoint-000000001-000000000", "incomplete-checkpoint-000000002-000000000"]
    saver.save(3, state(), Replay())
    assert names(tmp_path) == ["checkpoint-000000001-000000000", "checkpoint-000000003-000000000"]


def test_a_save_that_fails_leaves_the_one_before_and_nothing_else(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path / "checkpoints", Agent())
    with pytest.raises(storage.StorageError):
        saver.save(1, state(), Replay(error=OSError("disk full")))
    assert saver.newest() is None
    assert saver.kept() == "there is no checkpoint yet"
    place = saver.save(1, state(), Replay())
    with pytest.raises(storage.StorageError, match=r"-000000002-000000000 could not be written: disk full$"):
        saver.save(2, state(), Replay(error=OSError("disk full")))
    assert names(tmp_path / "checkpoints") == ["checkpoint-000000001-000000000"]
    assert saver.kept() == f"{place} is kept"


# Damage, found by content.


@pytest.fixture
def warnings(monkeypatch):
    """What is said."""
    found = []
    monkeypatch.setattr(checkpoints_lib.logging, "warning", lambda text, *values: found.append(text % values))
    return found


def truncate(place):
    os.truncate(place / "replay" / "windows", 3)


def flip_a_bit(place):
    path = place / "agent.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def delete_half(place):
    shutil.rmtree(place / "replay")
    (place / "agent.index").unlink()


def delete_digests(place):
    (place / "digests.json").unlink()


def break_digests(place):
    (place / "digests.json").write_text('{"agent.index": "12')


def add_a_file(place):
    (place / "replay" / "more").write_text("")


DAMAGES = {
    truncate: "replay/windows is 3 bytes, .*, expected 7 bytes",
    flip_a_bit: "agent.data-00000-of-00001 is .* blake2b .*, expected .* blake2b",
    delete_half: "agent.index is missing, expected",
    delete_digests: "digests.json cannot be read",
    break_digests: "digests.json cannot be read",
    add_a_file: "replay/more is 0 bytes, .*, expected no such file",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, warnings, damage):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    saver.save(1, state(), Replay())
    damaged = saver.save(3, state(), Replay())
    damage(damaged)
    found = saver.newest()
    assert found.directory.name == "checkpoint-000000001-000000000"
    (line,) = warnings
    assert re.search(rf"^damaged: {damaged}: {DAMAGES[damage]}", line), line
    assert line.endswith(f"using {found.directory}, the one before")
    # The run goes on from there; what is damaged is put aside and never deletes what is whole.
    checkpoints_lib.take_up(tmp_path, found)
    for step in (2, 4):
        saver.save(step, state(), Replay())
        assert names(tmp_path) == [
            f"checkpoint-00000000{step // 2}-000000000",
            f"checkpoint-00000000{step}-000000000",
            "damaged-checkpoint-000000003-000000000",
        ]
        assert saver.newest().directory.name == f"checkpoint-00000000{step}-000000000"


@pytest.mark.parametrize("first", [False, True])
def test_what_another_process_wrote_meanwhile_is_not_overtaken(tmp_path, first):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    if not first:
        saver.save(1, state(), Replay())
    found = saver.newest()
    checkpoints_lib.take_up(tmp_path, found)
    newer = saver.save(2, state(), Replay())
    with pytest.raises(run_dir.RunDirectoryError, match=f"{newer} was written meanwhile"):
        checkpoints_lib.take_up(tmp_path, found)
    assert saver.newest().directory == newer


def test_all_damaged(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    for step in (1, 2):
        truncate(saver.save(step, state(), Replay()))
    before = names(tmp_path)
    with pytest.raises(checkpoints_lib.DamagedError) as error:
        saver.newest()
    message = str(error.value)
    assert message.startswith("no whole checkpoint: ")
    assert message.count("replay/windows is 3 bytes") == 2
    assert "\n" not in message
    assert names(tmp_path) == before


@pytest.mark.parametrize("step", [2, 3])  # in the newest's place, or beside it, when the oldest goes
@pytest.mark.parametrize("survived", range(6))
def test_whole_wherever_it_crashes(tmp_path, monkeypatch, step, survived):
    """Crashes in the n-th renaming or deletion, half of the folder being deleted by then."""
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent())
    saver.save(1, state(save=1), Replay())
    saver.save(2, state(save=2), Replay())
    left = [survived]

    def crash_when_due(action):
        def call(path, *args, **kwargs):
            if left[0] == 0:
                if action is shutil_rmtree and os.path.isdir(path):
                    os.unlink(os.path.join(path, "state.json"))
                raise Crash
            left[0] -= 1
            return action(path, *args, **kwargs)

        return call

    shutil_rmtree = shutil.rmtree
    monkeypatch.setattr(checkpoints_lib.shutil, "rmtree", crash_when_due(shutil.rmtree))
    monkeypatch.setattr(checkpoints_lib.os, "rename", crash_when_due(os.rename))
    crashed = False
    try:
        saver.save(step, state(save=3), Replay())
    except Crash:
        crashed = True
    monkeypatch.undo()
    assert crashed == (survived < 5)

    found = saver.newest()
    assert found.state["save"] in (1, 2, 3)
    if step == 3 or not crashed:
        assert found.state["save"] >= 2
    saver.restore(found)
    assert names(found.replay) == ["windows"]
    saver.save(4, state(save=4), Replay())
    assert saver.newest().state["save"] == 4
    assert not [name for name in names(tmp_path) if name.startswith("incomplete")]


@pytest.mark.parametrize("saved, restored", [(False, True), (True, False)])
def test_other_variables_are_refused(tmp_path, saved, restored):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent(extra=saved))
    saver.save(1, state(), Replay())
    other = checkpoints_lib.Checkpoints(tmp_path, Agent(extra=restored))
    with pytest.raises(AssertionError):
        other.restore(other.newest())


def test_another_size_is_refused(tmp_path):
    saver = checkpoints_lib.Checkpoints(tmp_path, Agent(size=2))
    saver.save(1, state(), Replay())
    other = checkpoints_lib.Checkpoints(tmp_path, Agent(size=3))
    with pytest.raises(ValueError):
        other.restore(other.newest())
