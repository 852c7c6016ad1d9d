import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.train import learner

from slac_tf.agents.slac import agent as slac_agent
from slac_tf.latent_models import heads

LEARNING_RATES = {"model": 1e-2, "critic": 3e-3, "actor": 3e-3, "alpha": 3e-3}
TAU = 0.25


def build(**kwargs):
    rates = {f"{name}_learning_rate": rate for name, rate in LEARNING_RATES.items()}
    return fakes.build_agent(**{**rates, "target_update_tau": TAU, **kwargs})


@pytest.fixture(scope="module")
def agent():
    """One agent for all tests that run the compiled train step: tracing it takes seconds."""
    return build().agent


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def no_noise(monkeypatch):
    """Latents are their means (TensorFlow Probability draws the actions from another function)."""
    monkeypatch.setattr(heads, "_noise", tf.zeros)


def groups(agent):
    """All variables, by what trains them."""
    return {
        "encoder": agent._model.encoder.trainable_variables,
        "model": [
            v
            for v in agent._model.trainable_variables
            if v.ref() not in {e.ref() for e in agent._model.encoder.trainable_variables}
        ],
        "critics": [v for critic in agent._critics for v in critic.variables],
        "targets": [v for critic in agent._target_critics for v in critic.variables],
        "actor": agent._actor.variables,
        "alpha": [agent._log_alpha],
    }


def values(agent):
    return {name: [v.numpy() for v in variables] for name, variables in groups(agent).items()}


def changed(before, after):
    """Names of the groups in which every kernel changed; fails where a group changed in part."""
    names = set()
    for name in before:
        moved = [bool(np.any(a != b)) for a, b in zip(before[name], after[name])]
        if any(moved):
            names.add(name)
            for value, did_move in zip(before[name], moved):
                assert did_move or value.ndim == 1, name  # dead ReLUs may leave a bias where it is
    return names


def set_learning_rates(agent, **rates):
    for name in LEARNING_RATES:
        getattr(agent._optimizers, name).learning_rate = rates.get(name, 0.0)


def test_the_groups_are_all_trainable_variables(agent):
    listed = [v.ref() for variables in groups(agent).values() for v in variables]
    assert len(listed) == len(set(listed))
    assert set(listed) == {v.ref() for v in agent.trainable_variables}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("model", {"model", "encoder"}),
        ("critic", {"critics", "targets"}),
        ("actor", {"actor"}),
        ("alpha", {"alpha"}),
    ],
)
def test_each_loss_trains_its_variables_and_no_others(agent, loss, expected):
    agent._move_targets(1.0)  # else they would go on towards the critics
    set_learning_rates(agent, **{loss: 1e-2})
    before = values(agent)
    agent.train(fakes.experience())
    assert changed(before, values(agent)) == expected


def test_targets_follow_the_critics_by_tau(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    before = values(agent)
    agent.train(fakes.experience())
    after = values(agent)
    assert changed(before, after) == set(before)
    for old, new, critic in zip(before["targets"], after["targets"], after["critics"]):
        np.testing.assert_allclose(new, (1 - TAU) * old + TAU * critic, rtol=1e-5, atol=1e-7)


def test_pretraining_trains_the_model_alone_and_learns(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    experience = fakes.experience(seed=1)
    before = values(agent)
    train_steps, pretrain_steps = int(agent.train_step_counter), int(agent.pretrain_step_counter)
    losses = [float(agent.pretrain(experience).loss) for _ in range(30)]
    assert changed(before, values(agent)) == {"model", "encoder"}
    assert int(agent.train_step_counter) == train_steps
    assert int(agent.pretrain_step_counter) == pretrain_steps + 30
    # Random frames: what there is to learn is their mean, 128 ± 74, where the decoder began near 0.
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_the_train_step_is_traced_once(agent):
    set_learning_rates(agent, **LEARNING_RATES)
    steps = int(agent.train_step_counter)
    for seed in range(3):
        info = agent.train(fakes.experience(seed=seed))
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    assert int(agent.train_step_counter) == steps + 3
    assert set(info.extra) == {
        *("model_loss", "frame_log_prob", "reward_log_prob", "kl_z1"),
        *("critic_loss", "q_mean", "q_target_mean", "actor_loss", "alpha_loss", "alpha", "entropy"),
    }
    assert all(np.isfinite(value) and value.shape == () for value in tf.nest.flatten(info))


def test_save_and_restore_bring_back_everything(agent, tmp_path):
    def all_variables(agent):
        optimizers = [w for optimizer in agent._optimizers for w in optimizer.variables()]
        return [*agent.variables, *optimizers]

    set_learning_rates(agent, **LEARNING_RATES)
    agent.train(fakes.experience())
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    saved = [v.numpy() for v in all_variables(agent)]

    other = build(seed=9).agent
    fresh = all_variables(other)
    assert len(fresh) == len(saved)
    assert [v.shape for v in fresh] == [v.shape for v in saved]
    # Weights, both Adam moments of each that is trained, counters: nearly all differ before.
    different = [bool(np.any(a.numpy() != b)) for a, b in zip(fresh, saved)]
    assert np.mean(different) > 0.8
    assert int(other.train_step_counter) == 0
    tf.train.Checkpoint(agent=other).read(path).assert_consumed()
    for a, b in zip(all_variables(other), saved):
        np.testing.assert_array_equal(a, b)
    assert int(other._optimizers.critic.iterations) == int(agent._optimizers.critic.iterations) > 0
    number = len(groups(agent)["model"]) + len(groups(agent)["encoder"])
    assert len(other._optimizers.model.variables()) == 1 + 2 * number  # iterations, two moments each


# The tests below run the train step as plain Python: no tracing.


def test_the_model_learns_from_the_first_sequences_only(eagerly, no_noise):
    built = build()
    agent, experience = built.agent, fakes.experience()
    window = slac_agent._window(experience)
    losses, _ = agent.model_loss(window)
    first = fakes.MODEL_BATCH_SIZE
    assert abs(np.mean(losses.loss[:first]) - np.mean(losses.loss)) > 1e-3
    # Critics see all sequences, whether or not the model was trained on them.
    latents = agent.infer(window).latents
    assert latents.shape == (fakes.BATCH_SIZE, fakes.SEQUENCE_LENGTH + 1, fakes.LATENT_SIZE)
    q = agent._critics[0](latents[:, -2], window.actions[:, -2])

    extra = agent.train(experience).extra
    np.testing.assert_allclose(extra["model_loss"], np.mean(losses.loss[:first]), rtol=1e-5)
    np.testing.assert_allclose(extra["q_mean"], np.mean(q), rtol=1e-4, atol=1e-6)

    # The same step of the model as pretraining on these sequences alone makes.
    other = build().agent
    pretrained = other.pretrain(tf.nest.map_structure(lambda x: x[:first], experience))
    np.testing.assert_allclose(pretrained.loss, extra["model_loss"], rtol=1e-5)
    for name in ("model", "encoder"):
        for a, b in zip(values(agent)[name], values(other)[name]):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_batch_that_is_all_the_models(eagerly):
    agent = build(model_batch_size=fakes.BATCH_SIZE).agent
    before = values(agent)
    agent.train(fakes.experience())
    assert changed(before, values(agent)) == set(before)


def test_weights_rule_actor_critics_and_temperature(eagerly):
    agent = build().agent
    before = values(agent)
    agent.train(fakes.experience(), weights=tf.zeros([fakes.BATCH_SIZE]))
    assert changed(before, values(agent)) == {"model", "encoder"}
    agent.train(fakes.experience(), weights=tf.constant([0.0, 0.0, 0.0, 1.0]))
    assert changed(before, values(agent)) == set(before)


def test_weights_are_per_sequence(eagerly, no_noise):
    # Only the last sequence counts: what is in the others does not reach the critics.
    weights = tf.constant([0.0, 0.0, 0.0, 4.0])
    experience = fakes.experience()
    reward = experience.reward.numpy()
    reward[2] += 5.0  # not one of the model's sequences
    results = []
    for batch in (experience, experience._replace(reward=tf.constant(reward))):
        agent = build().agent
        tf.random.set_seed(0)
        results.append((agent.train(batch, weights=weights).extra["critic_loss"], values(agent)["critics"]))
    assert float(results[0][0]) == pytest.approx(float(results[1][0]), rel=1e-5)
    for a, b in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(a, b, atol=1e-6)


def actor_loss(agent, window, inferred):
    tf.random.set_seed(2)
    loss, _ = agent.actor_loss(window, inferred, tf.constant(0.5))
    return loss.numpy()


@pytest.mark.parametrize("on_next_step", [False, True])
def test_the_step_of_the_actors_loss(on_next_step):
    agent = build(actor_loss_on_next_step=on_next_step).agent
    window = slac_agent._window(fakes.experience())
    inferred = agent.infer(window)
    usual = actor_loss(agent, window, inferred)
    last = fakes.SEQUENCE_LENGTH
    for name in ("latents", "features"):
        for step in range(last + 1):
            value = getattr(inferred, name).numpy()
            value[:, step] += 1.0
            moved = actor_loss(agent, window, inferred._replace(**{name: tf.constant(value)})) != usual
            used = {last if on_next_step else last - 1}
            if name == "features":  # the history: two frames up to the step
                used |= {step - 1 for step in used}
            assert np.all(moved) if step in used else not np.any(moved), (name, step)


def test_critic_loss_by_hand(no_noise):
    agent = build(gamma=0.9).agent
    # Constant critics 3 and 4, targets 5 and 7, a policy of mean 0 and standard deviation 1.
    for critic, q in zip((*agent._critics, *agent._target_critics), (3.0, 4.0, 5.0, 7.0)):
        fakes.make_constant(critic, [q])
    fakes.make_constant(agent._actor, [0.0] * 4)
    experience = fakes.experience()
    discount = np.ones((4, 3), np.float32)
    discount[1, 1] = 0.0  # terminates in the window's last transition
    window = slac_agent._window(experience._replace(discount=tf.constant(discount)))
    losses, extra = agent.critic_loss(window, agent.infer(window), alpha=tf.constant(0.0))
    # y = r + 0.9 d min(5, 7), with the reward of the last transition, index T-1; ½ (3-y)² + ½ (4-y)².
    y = experience.reward[:, 1].numpy() + np.array([4.5, 0.0, 4.5, 4.5])
    np.testing.assert_allclose(losses, 0.5 * (3 - y) ** 2 + 0.5 * (4 - y) ** 2, rtol=1e-5)
    np.testing.assert_allclose(extra["q_target_mean"], np.mean(y), rtol=1e-5)


def test_the_target_looks_at_the_next_step_with_its_own_history():
    agent = build().agent
    window = slac_agent._window(fakes.experience())
    inferred = agent.infer(window)

    def loss(**changes):
        tf.random.set_seed(2)
        return agent.critic_loss(window, inferred._replace(**changes), tf.constant(0.5))[0].numpy()

    usual = loss()
    # Latents of T-1 (the critics' own) and T (the targets'); features of the history that ends in T.
    for name in ("latents", "features"):
        for step, used in ((0, False), (1, True), (2, True)):
            value = getattr(inferred, name).numpy()
            value[:, step] += 1.0
            moved = loss(**{name: tf.constant(value)}) != usual
            assert np.all(moved) if used else not np.any(moved), (name, step)


def test_the_reward_of_a_reset_is_not_modelled(no_noise):
    agent = build(sequence_length=3).agent
    experience = fakes.experience(length=4, step_types=[LAST, FIRST, MID, MID])
    losses, _ = agent.model_loss(slac_agent._window(experience))
    # Rewards of steps 0 (the reset) and 3 (which leads out of the window) change nothing, others do.
    for step, counts in enumerate([False, True, True, False]):
        reward = experience.reward.numpy()
        reward[:, step] += 1.0
        other, _ = agent.model_loss(slac_agent._window(experience._replace(reward=tf.constant(reward))))
        assert np.all((other.reward_log_prob != losses.reward_log_prob).numpy() == counts), step
        np.testing.assert_array_equal(other.frame_log_prob, losses.frame_log_prob)


def test_model_loss_is_the_sum_of_its_terms(no_noise):
    agent = build(decoder_variance=0.2).agent
    fakes.fill(agent._model._decoder)  # decodes to 0
    experience = fakes.experience()
    losses, _ = agent.model_loss(slac_agent._window(experience))
    frames = experience.observation["pixels"].numpy().astype(np.float64) / 255
    # log N(x | 0, 0.2) of 3 frames of 12288 values.
    expected = -np.sum(frames**2, axis=(1, 2, 3, 4)) / 0.4 - 0.5 * 3 * 12288 * np.log(2 * np.pi * 0.2)
    np.testing.assert_allclose(losses.frame_log_prob, expected, rtol=1e-5)
    total = losses.kl["z1"] - losses.frame_log_prob - losses.reward_log_prob
    np.testing.assert_allclose(losses.loss, total, rtol=1e-5)


def test_report(agent):
    experience = fakes.experience()
    before = values(agent)
    videos = agent.report(experience)
    assert list(videos) == ["truth", "posterior", "conditional_prior", "prior"]
    for video in videos.values():
        assert video.shape == (fakes.BATCH_SIZE, fakes.SEQUENCE_LENGTH + 1, 64, 64, 3)
        assert video.dtype == np.uint8
    np.testing.assert_array_equal(videos["truth"], experience.observation["pixels"])
    assert changed(before, values(agent)) == set()


def test_experience_of_another_length_is_refused(agent):
    with pytest.raises(ValueError, match=r"experience: sequences of 4 steps, expected sequence_length \+ 1 = 3"):
        agent.train(fakes.experience(length=fakes.SEQUENCE_LENGTH + 2))


def test_it_trains_with_tf_agents_learner(tmp_path):
    built = build()

    def dataset():
        data = tf.data.Dataset.from_tensor_slices(fakes.experience(batch_size=8)).repeat()
        return data.batch(fakes.BATCH_SIZE, drop_remainder=True).map(lambda experience: (experience, ()))

    counter = built.agent.train_step_counter
    before = values(built.agent)
    trained = learner.Learner(
        str(tmp_path), counter, built.agent, experience_dataset_fn=dataset, summary_interval=1
    ).run(iterations=2)
    assert int(counter) == 2
    assert np.isfinite(trained.loss)
    assert changed(before, values(built.agent)) == set(before)
