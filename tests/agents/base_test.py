"""What holds of all agents."""

import functools

import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from tf_agents.train import learner

from slac_tf.losses import categorical, sac

kinds = pytest.mark.parametrize("kind", small_agents.ALL_KINDS)
one_of_each = pytest.mark.parametrize("kind", small_agents.ONE_OF_EACH)
EXTRA = {
    "slac": {"frame_log_prob", "reward_log_prob", "kl_z1", "q_mean", "q_target_mean", "alpha", "entropy"},
    "sac": {"q_mean", "q_target_mean", "alpha", "entropy"},
    "mpo": {"q_mean", "q_target_mean", "temperature", "e_step_kl", "kl_mean", "kl_std", "policy_std"}
    | {"alpha_mean", "alpha_std"},
    "d4pg": {"q_mean", "q_target_mean", "critic_kl", "target_at_ends"},
    "planet": {"frame_log_prob", "reward_log_prob", "kl"},
}
OBJECTIVES = {
    "slac": ("model", "critic", "actor", "alpha"),
    "sac": ("critic", "actor", "alpha"),
    "mpo": ("critic", "policy", "dual"),
    "d4pg": ("critic", "actor"),
    "planet": ("model",),
}


@functools.cache
def compiled(kind):
    """One agent of a kind for all tests that run its compiled train step: tracing it takes seconds."""
    return small_agents.build(kind).agent


def assert_infos_agree(found, expected):
    assert set(found.extra) >= set(expected.extra)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    for name, value in expected.extra.items():
        np.testing.assert_allclose(found.extra[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@kinds
def test_the_groups_are_all_trainable_variables(kind):
    agent = compiled(kind)
    listed = [v.ref() for variables in small_agents.groups(agent).values() for v in variables]
    assert len(listed) == len(set(listed))
    assert set(listed) == {v.ref() for v in agent.trainable_variables}


@kinds
def test_each_optimizer_trains_its_variables_and_no_others(kind):
    agent = compiled(kind)
    for name, expected in small_agents.trained_by(agent).items():
        agent.initialize()  # else targets would go on towards the critics
        small_agents.set_learning_rates(agent, **{name: 1e-2})
        before = small_agents.values(agent)
        agent.train(small_agents.experience(agent))
        follows = {"target"} if name == "critic" and hasattr(agent, "_target_update_tau") else set()
        assert small_agents.changed(before, small_agents.values(agent)) == expected | follows, name


@kinds
def test_each_losss_gradient_reaches_its_variables_and_no_others(kind):
    agent = compiled(kind)
    losses = agent._losses(small_agents.experience(agent), tf.constant(1.0))
    for objective, expected in zip(losses.objectives, small_agents.trained_by(agent).values()):
        of_groups = objective.tape.gradient(objective.loss, small_agents.groups(agent))
        for name, gradients in of_groups.items():
            assert all((gradient is not None) == (name in expected) for gradient in gradients), name
        trained = {v.ref() for name in expected for v in small_agents.groups(agent)[name]}
        assert {v.ref() for v in objective.variables} == trained


@kinds
def test_the_train_step(kind):
    agent = compiled(kind)
    small_agents.set_learning_rates(agent, 1e-2)
    before, steps, skipped = small_agents.values(agent), int(agent.train_step_counter), int(agent.skipped_steps)
    for seed in range(3):
        info = agent.train(small_agents.experience(agent, seed=seed))
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert int(agent.train_step_counter) == steps + 3
    moved = {name for name, variables in before.items() if variables and (name != "target" or "ac " in kind)}
    assert small_agents.changed(before, small_agents.values(agent)) == moved
    name = kind.split()[0]
    of_objectives = {f"{which}_{what}" for which in OBJECTIVES[name] for what in ("loss", "gradient_norm")}
    assert set(info.extra) == EXTRA[name] | of_objectives | {"skipped_steps"}
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))
    np.testing.assert_allclose(info.loss, sum(info.extra[f"{which}_loss"] for which in OBJECTIVES[name]), rtol=1e-5)
    assert int(info.extra["skipped_steps"]) == skipped


@pytest.mark.parametrize("kind", ["slac pixels", "sac pixels", "sac state"])
def test_targets_follow_the_critics_by_tau(kind):
    agent = compiled(kind)
    small_agents.set_learning_rates(agent, 1e-2)
    before = small_agents.values(agent)
    agent.train(small_agents.experience(agent))
    after = small_agents.values(agent)
    for old, new, critic in zip(before["target"], after["target"], after["critic"]):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * critic, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["mpo pixels", "mpo state", "d4pg pixels", "d4pg state"])
def test_targets_are_copied_each_period_and_exactly(eagerly, kind):
    agent = small_agents.build(kind, target_update_period=3).agent
    variables, copies = (small_agents.all_of(nets) for nets in (agent._networks, agent._target))
    held = [v.numpy() for v in variables]  # they start as copies
    for step in range(1, 7):
        agent.train(small_agents.experience(agent, seed=step))
        assert any(np.any(a != b) for a, b in zip(variables, held))
        if step % 3 == 0:  # of the weights after the step
            held = [v.numpy() for v in variables]
        assert len(copies) == len(held)
        for variable, value in zip(copies, held):
            np.testing.assert_array_equal(variable, value)


@kinds
def test_experience_of_another_length_is_refused(kind):
    agent = compiled(kind)
    length = agent.train_sequence_length
    longer = small_agents.experience(agent)
    longer = tf.nest.map_structure(lambda x: tf.concat([x, x[:, :1]], axis=1), longer)
    message = rf"experience: sequences of {length + 1} steps, expected sequence_length \+ 1 = {length}"
    with pytest.raises(ValueError, match=message):
        agent.train(longer)


@kinds
def test_save_and_restore_bring_back_everything(kind, tmp_path):
    agent = compiled(kind)
    small_agents.set_learning_rates(agent, 1e-2)
    agent.train(small_agents.experience(agent))
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    saved = [v.numpy() for v in small_agents.all_variables(agent)]

    other = small_agents.build(kind, seed=9).agent
    fresh = small_agents.all_variables(other)
    # Weights, counters, and of each optimizer its iterations and two moments of all that it trains.
    assert [v.shape for v in fresh] == [v.shape for v in saved]
    for name, of in small_agents.trained_by(other).items():
        number = sum(len(small_agents.groups(other)[group]) for group in of)
        assert len(small_agents.optimizers(other)[name].variables()) == 1 + 2 * number
    assert np.mean([bool(np.any(a.numpy() != b)) for a, b in zip(fresh, saved)]) > 0.6
    assert int(other.train_step_counter) == 0
    tf.train.Checkpoint(agent=other).read(path).assert_consumed()
    for a, b in zip(fresh, saved):
        np.testing.assert_array_equal(a, b)
    assert int(other.train_step_counter) == int(agent.train_step_counter) > 0


# Uses of TF-Agents


@one_of_each
def test_it_has_a_name_and_a_loss(eagerly, no_noise, kind):
    agent = small_agents.build(kind).agent
    assert agent.name == f"{kind.split()[0]}_agent"
    experience = small_agents.experience(agent)
    before = [v.numpy() for v in small_agents.all_variables(agent)]
    info = agent.loss(experience)
    for a, b in zip(small_agents.all_variables(agent), before):
        np.testing.assert_array_equal(a, b)
    trained = agent.train(experience)
    assert_infos_agree(trained, info)
    norms = {f"{name}_gradient_norm" for name in OBJECTIVES[kind.split()[0]]}
    assert set(trained.extra) - set(info.extra) == norms | {"skipped_steps"}


@pytest.mark.parametrize(
    ("kind", "setting", "clipped"),
    [
        ("slac pixels", "model_clip_norm", {"model"}),
        ("sac pixels", None, set()),
        ("mpo pixels", "clip_norm", {"critic", "policy"}),
        ("d4pg pixels", "clip_norm", {"critic", "actor"}),
    ],
)
def test_gradients_and_their_norms_by_hand(eagerly, no_noise, kind, setting, clipped):
    limit = 1e-4
    agent = small_agents.build(kind, **({setting: limit} if setting else {})).agent
    experience = small_agents.experience(agent)
    expected = []
    for objective in agent._losses(experience, tf.constant(1.0)).objectives:
        gradients = objective.tape.gradient(objective.loss, objective.variables)
        norm = np.sqrt(sum(np.sum(np.square(gradient.numpy().astype(np.float64))) for gradient in gradients))
        assert norm > 2 * limit
        expected.append((objective, gradients, norm))
    extra = agent.train(experience).extra
    for objective, gradients, norm in expected:
        assert float(extra[f"{objective.name}_gradient_norm"]) == pytest.approx(norm, rel=1e-4)  # before clipping
        scale = limit / norm if objective.name in clipped else 1.0
        for variable, gradient in zip(objective.variables, gradients):
            # Adam's first moment after a step: (1 - 0.9) times the gradient, all clipped by one factor.
            moment = objective.optimizer.get_slot(variable, "m")
            np.testing.assert_allclose(moment, 0.1 * scale * gradient, rtol=1e-3, atol=1e-5 * scale * norm)


@one_of_each
def test_it_trains_in_a_function(no_noise, kind):
    alone, inside = (small_agents.build(kind).agent for _ in range(2))
    batches = [small_agents.experience(alone, seed) for seed in range(2)]
    train = tf.function(inside.train)
    found = [train(experience) for experience in batches]
    assert train.experimental_get_tracing_count() == 1
    assert int(inside.train_step_counter) == 2
    tf.config.run_functions_eagerly(True)  # spares tracing the other one
    expected = [alone.train(experience) for experience in batches]
    tf.config.run_functions_eagerly(False)
    for info, other in zip(found, expected):
        assert_infos_agree(info, other)
    for a, b in zip(small_agents.all_variables(inside), small_agents.all_variables(alone)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_it_trains_with_tf_agents_learner(tmp_path):
    agent = small_agents.build("slac pixels").agent

    def dataset():
        data = tf.data.Dataset.from_tensor_slices(small_agents.experience(agent, batch_size=8)).repeat()
        return data.batch(fakes.BATCH_SIZE, drop_remainder=True).map(lambda experience: (experience, ()))

    before = small_agents.values(agent)
    trained = learner.Learner(
        str(tmp_path), agent.train_step_counter, agent, experience_dataset_fn=dataset, summary_interval=1
    ).run(iterations=2)
    assert int(agent.train_step_counter) == 2
    assert np.isfinite(trained.loss)
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)


# Steps that are not finite


def state(agent):
    """All that a step changes but the counters of steps."""
    counters = [agent.train_step_counter, agent.skipped_steps, getattr(agent, "pretrain_step_counter", None)]
    counters = {counter.ref() for counter in counters if counter is not None}
    return [v.numpy() for v in small_agents.all_variables(agent) if v.ref() not in counters]


def assert_skipped(agent, train, counter, experience, named):
    """Holds that a step changes nothing, is counted, and that of its losses and norms the named are not finite."""
    before, steps, skipped = state(agent), int(counter), int(agent.skipped_steps)
    extra = train(experience).extra
    for a, b in zip(state(agent), before):
        np.testing.assert_array_equal(a, b)
    assert int(counter) == steps + 1
    assert int(agent.skipped_steps) == int(extra["skipped_steps"]) == skipped + 1
    watched = {name for name in extra if name.endswith(("_loss", "_gradient_norm"))}
    assert {name for name in watched if not np.isfinite(extra[name])} == named


def assert_trains(agent, train, experience):
    before, skipped = state(agent), int(agent.skipped_steps)
    train(experience)
    assert int(agent.skipped_steps) == skipped
    assert sum(np.any(a != b) for a, b in zip(state(agent), before)) > 0.2 * len(before)


def with_nan_reward(experience):
    reward = experience.reward.numpy()
    reward[1] = np.nan
    return experience._replace(reward=tf.constant(reward))


@one_of_each
def test_a_reward_that_is_not_a_number(kind):
    agent = compiled(kind)
    small_agents.set_learning_rates(agent, 1e-2)
    experience = small_agents.experience(agent)
    spoilt = ("model", "critic") if "slac" in kind else ("critic",)
    named = {f"{which}_{what}" for which in spoilt for what in ("loss", "gradient_norm")}
    for _ in range(2):
        assert_skipped(agent, agent.train, agent.train_step_counter, with_nan_reward(experience), named)
    assert_trains(agent, agent.train, experience)


@pytest.mark.parametrize(
    ("kind", "module"),
    [("slac pixels", sac), ("sac pixels", sac), ("mpo pixels", sac), ("d4pg pixels", categorical)],
)
def test_a_gradient_that_is_not_finite(eagerly, monkeypatch, kind, module):
    agent = small_agents.build(kind).agent
    experience = small_agents.experience(agent)
    right = module.critic_loss

    def with_root_of_zero(*args):
        loss = right(*args)
        return loss + tf.sqrt(0.0 * loss)  # whose derivative is infinite

    with monkeypatch.context() as patched:
        patched.setattr(module, "critic_loss", with_root_of_zero)
        assert_skipped(agent, agent.train, agent.train_step_counter, experience, {"critic_gradient_norm"})
    assert_trains(agent, agent.train, experience)


@pytest.mark.parametrize("what", ["train", "pretrain"])
def test_a_frame_that_is_decoded_to_what_is_not_a_number(eagerly, monkeypatch, what):
    agent = small_agents.build("slac pixels").agent
    experience = small_agents.experience(agent)
    train, counter = getattr(agent, what), getattr(agent, f"{what}_step_counter")
    decode = agent._model.decode

    def with_nan(latents):
        frames = decode(latents)
        return frames * tf.tensor_scatter_nd_update(tf.ones_like(frames), [[0, 1, 5, 5, 0]], [np.nan])

    with monkeypatch.context() as patched:
        patched.setattr(agent._model, "decode", with_nan)
        assert_skipped(agent, train, counter, experience, {"model_loss", "model_gradient_norm"})
    assert_trains(agent, train, experience)


def test_pretraining_on_a_reward_that_is_not_a_number():
    agent = compiled("slac pixels")
    small_agents.set_learning_rates(agent, 1e-2)
    experience = small_agents.experience(agent)
    named = {"model_loss", "model_gradient_norm"}
    assert_skipped(agent, agent.pretrain, agent.pretrain_step_counter, with_nan_reward(experience), named)
    assert_trains(agent, agent.pretrain, experience)
