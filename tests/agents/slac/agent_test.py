import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.agents.slac import agent as slac_agent


def build(**kwargs):
    return small_agents.build("slac pixels", **kwargs)


@pytest.fixture(scope="module")
def agent():
    """One agent for all tests that run a compiled step: tracing it takes seconds."""
    return build().agent


def test_pretraining_trains_the_model_alone_and_learns(agent):
    small_agents.set_learning_rates(agent, small_agents.LEARNING_RATE)
    experience = fakes.experience(seed=1)
    before = small_agents.values(agent)
    train_steps, pretrain_steps = int(agent.train_step_counter), int(agent.pretrain_step_counter)
    losses = [float(agent.pretrain(experience).loss) for _ in range(30)]
    assert small_agents.changed(before, small_agents.values(agent)) == {"model", "encoder"}
    assert int(agent.train_step_counter) == train_steps
    assert int(agent.pretrain_step_counter) == pretrain_steps + 30
    # Random frames: what there is to learn is their mean, 128 ± 74, where the decoder began near 0.
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


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
        for a, b in zip(small_agents.values(agent)[name], small_agents.values(other)[name]):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_batch_that_is_all_the_models(eagerly):
    agent = build(model_batch_size=fakes.BATCH_SIZE).agent
    before = small_agents.values(agent)
    agent.train(fakes.experience())
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)


def test_weights_rule_actor_critics_and_temperature(eagerly):
    agent = build().agent
    before = small_agents.values(agent)
    agent.train(fakes.experience(), weights=tf.zeros([fakes.BATCH_SIZE]))
    assert small_agents.changed(before, small_agents.values(agent)) == {"model", "encoder"}
    agent.train(fakes.experience(), weights=tf.constant([0.0, 0.0, 0.0, 1.0]))
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)


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
        results.append((agent.train(batch, weights=weights).extra["critic_loss"], small_agents.values(agent)["critic"]))
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


@pytest.mark.parametrize("on_next_step", [False, True])
def test_several_transitions_are_a_mean_without_resets(no_noise, on_next_step):
    agent = build(
        sequence_length=3, history_length=2, transitions_per_window=2, actor_loss_on_next_step=on_next_step
    ).agent
    types = np.full((4, 4), MID)
    types[1, 1:3] = LAST, FIRST  # its last transition but one is a reset
    window = slac_agent._window(fakes.experience(length=4, step_types=types))
    inferred, alpha = agent.infer(window), tf.constant(0.5)

    def losses():
        return np.array([agent.critic_loss(window, inferred, alpha)[0], *agent.actor_loss(window, inferred, alpha)])

    both, each = losses(), []
    for arrival in (2, 3):
        agent._arrivals, agent._actor_steps = [arrival], [arrival if on_next_step else arrival - 1]
        each.append(losses())
    expected = np.mean(each, axis=0)
    assert np.all(np.abs(expected[:, 1] - each[1][:, 1]) > 1e-4)  # counting the reset is another loss
    expected[:, 1] = each[1][:, 1]
    np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-5)


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
    before = small_agents.values(agent)
    videos = agent.report(experience)
    assert list(videos) == ["truth", "posterior", "conditional_prior", "prior"]
    for video in videos.values():
        assert video.shape == (fakes.BATCH_SIZE, fakes.SEQUENCE_LENGTH + 1, 64, 64, 3)
        assert video.dtype == np.uint8
    np.testing.assert_array_equal(videos["truth"], experience.observation["pixels"])
    assert small_agents.changed(before, small_agents.values(agent)) == set()
