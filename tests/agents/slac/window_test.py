"""Random shifts of the frames, and whom they reach."""

import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.utils import augmentation


def build(**settings):
    return small_agents.build("slac pixels", **settings).agent


def step(agent, method="train", batch_size=fakes.BATCH_SIZE):
    """All variables after a step, and its losses."""
    tf.random.set_seed(2)
    info = getattr(agent, method)(fakes.experience(batch_size=batch_size))
    return [v.numpy() for v in small_agents.all_variables(agent)], info


def reached_by(monkeypatch, no_shift, **settings):
    """Calls of the shift, and which losses of a step are others where it makes frames darker."""
    calls = []

    def darken(sequences, pixels, *, each_frame):
        calls.append((sequences.shape[0], pixels, each_frame))
        return sequences // 2

    with monkeypatch.context() as patched:
        patched.setattr(augmentation, "random_shift", darken)
        _, info = step(build(**settings))
    return calls, {name for name in ("model", "critic") if changed(info, no_shift, f"{name}_loss")}


def changed(info, other, name):
    return abs(float(info.extra[name]) - float(other.extra[name])) > 1e-4 * abs(float(other.extra[name]))


def test_a_shift_of_0_is_slac_to_the_bit(eagerly, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("no frame is to be shifted")

    plain, _ = step(build())
    with monkeypatch.context() as patched:
        patched.setattr(augmentation, "random_shift", refuse)
        none, _ = step(build(model_shift=0, critic_shift=0, shift_each_frame=True))
    for a, b in zip(plain, none):
        np.testing.assert_array_equal(a, b)
    shifted, _ = step(build(model_shift=1, critic_shift=1))
    assert any(np.any(a != b) for a, b in zip(plain, shifted))


def test_whom_a_shift_reaches(eagerly, no_noise, monkeypatch):
    _, plain = step(build())
    all_of_them, models = fakes.BATCH_SIZE, fakes.MODEL_BATCH_SIZE
    # Two equal numbers are one shift, of all sequences.
    expected = {
        (3, 3): ([(all_of_them, 3, False)], {"model", "critic"}),
        (3, 0): ([(models, 3, False)], {"model"}),
        (0, 3): ([(all_of_them, 3, False)], {"critic"}),
        (3, 4): ([(all_of_them, 4, False), (models, 3, False)], {"model", "critic"}),
    }
    for (model_shift, critic_shift), (calls, losses) in expected.items():
        found = reached_by(monkeypatch, plain, model_shift=model_shift, critic_shift=critic_shift)
        assert found == (calls, losses), (model_shift, critic_shift)
    calls, _ = reached_by(monkeypatch, plain, model_shift=3, shift_each_frame=True)
    assert calls == [(models, 3, True)]


@pytest.mark.parametrize(("model_shift", "shifts"), [(3, True), (0, False)])
def test_pretraining_shifts_what_the_model_sees(eagerly, no_noise, model_shift, shifts):
    _, plain = step(build(), "pretrain", fakes.MODEL_BATCH_SIZE)
    _, found = step(build(model_shift=model_shift, critic_shift=4), "pretrain", fakes.MODEL_BATCH_SIZE)
    assert changed(found, plain, "model_loss") == shifts


def test_pictures_are_not_shifted():
    experience = fakes.experience()
    videos = build(model_shift=5, critic_shift=5).report(experience)
    np.testing.assert_array_equal(videos["truth"], experience.observation["pixels"])


@pytest.mark.parametrize("name", ["model_shift", "critic_shift"])
def test_a_shift_that_leaves_nothing_is_refused(name):
    with pytest.raises(ValueError, match=rf"^build_slac\.{name}: 64, expected 0 to 63 pixels\n"):
        build(**{name: 64})
    with pytest.raises(ValueError, match=rf"^build_slac\.{name}: -1, expected an integer of at least 0\n"):
        build(**{name: -1})


def test_a_compiled_step_with_a_shift_trains_everything():
    agent = build(model_shift=4, critic_shift=4)
    before = small_agents.values(agent)
    for seed in range(2):
        info = agent.train(fakes.experience(seed))
    assert np.isfinite(info.loss) and int(agent.skipped_steps) == 0
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)
