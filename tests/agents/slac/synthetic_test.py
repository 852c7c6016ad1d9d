import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.agents.slac import agent as slac_agent
from slac_tf.agents.slac import inputs, synthetic
from slac_tf.latent_models import base

ON_LATENTS = dict(actor_input=inputs.LatentInput)
K = 3
LAST = fakes.SEQUENCE_LENGTH


def build(**settings):
    return small_agents.build("slac pixels", **{**ON_LATENTS, **settings}).agent


def lively(agent):
    """Weights far from zero, so that everything that is read matters."""
    for module in (agent._model, agent._actor, *agent._critics, *agent._target_critics):
        for variable in module.variables:
            variable.assign(1.5 * variable)
    return agent


def window_of(agent, discount=None):
    experience = fakes.experience()
    if discount is not None:
        experience = experience._replace(discount=tf.constant(discount))
    window = slac_agent._window(experience)
    return window, agent.infer(window)


def step(agent):
    tf.random.set_seed(2)
    info = agent.train(fakes.experience())
    return [v.numpy() for v in small_agents.all_variables(agent)], info


def test_no_imagined_step_is_slac_to_the_bit(eagerly, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is to be imagined")

    plain, _ = step(build())
    with monkeypatch.context() as patched:
        patched.setattr(base.LatentModel, "imagine", refuse)
        none, _ = step(build(imagination_steps=0, imagined_critic_share=0.9, imagined_actor_share=0.9))
    for a, b in zip(plain, none):
        np.testing.assert_array_equal(a, b)
    some, _ = step(build(imagination_steps=1))
    assert any(np.any(a != b) for a, b in zip(plain, some))


def test_latents_and_rewards_are_those_of_imagine(no_noise):
    agent = lively(build(imagination_steps=K))
    model, actor = agent._model, agent._actor
    window, inferred = window_of(agent)
    found = agent._synthetic.imagine(inferred, window)
    assert [x.shape for x in found] == [(4, K + 1, fakes.LATENT_SIZE), (4, K, fakes.ACTION_SIZE), (4, K), (4,)]

    posterior = model.posterior(model.encoder(window.frames), window.actions, window.step_types)

    def imagined_from(step):
        return model.imagine(tf.nest.map_structure(lambda x: x[:, step], posterior), actor.sample, K)

    states, actions = imagined_from(LAST)
    np.testing.assert_allclose(found.latents[:, 0], inferred.latents[:, LAST], atol=1e-6)
    np.testing.assert_allclose(found.latents[:, 1:], model.vector(states), atol=1e-5)
    np.testing.assert_allclose(found.actions, actions, atol=1e-5)
    other, _ = imagined_from(LAST - 1)  # another step's would be others
    assert np.max(np.abs(found.latents[:, 1:] - model.vector(other))) > 1e-3

    # r_t of z_t, a_t, z_{t+1}.
    def reward(t, taken):
        return model._reward(found.latents[:, t], found.actions[:, taken], found.latents[:, t + 1])["loc"][:, 0]

    np.testing.assert_allclose(found.rewards, np.stack([reward(t, t) for t in range(K)], axis=1), atol=1e-5)
    shifted = np.stack([reward(t, (t + 1) % K) for t in range(K)], axis=1)  # with another step's action
    assert np.max(np.abs(found.rewards - shifted)) > 1e-4


def test_critic_loss_by_hand(no_noise):
    agent = build(imagination_steps=K, imagined_critic_share=0.25, gamma=0.9)
    # Constant critics 3 and 4, targets 5 and 7; the model expects a reward of 2, scale as it is.
    for critic, q in zip((*agent._critics, *agent._target_critics), (3.0, 4.0, 5.0, 7.0)):
        fakes.make_constant(critic, [q])
    fakes.make_constant(agent._model._reward, [2.0, 0.0])
    discount = np.ones((4, LAST + 1), np.float32)
    discount[1, LAST - 1] = 0.0  # terminates at the window's last step
    discount[2, LAST] = 0.0  # leads out of the window: says nothing of it
    window, inferred = window_of(agent, discount)
    imagined = agent._synthetic.imagine(inferred, window)
    losses = agent._synthetic.with_critic_loss(tf.constant([10.0, 20.0, 30.0, 40.0]), imagined, tf.constant(0.0))
    # y = 2 + 0.9 min(5, 7) = 6.5 at every imagined step: ½ (3 - 6.5)² + ½ (4 - 6.5)² = 9.25.
    expected = [0.75 * 10 + 0.25 * 9.25, 20.0, 0.75 * 30 + 0.25 * 9.25, 0.75 * 40 + 0.25 * 9.25]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_critic_losses_pair_each_latent_with_its_own_action_and_successor(no_noise):
    agent = lively(build(imagination_steps=K, imagined_critic_share=1.0, gamma=0.9))
    alpha = tf.constant(0.3)
    imagined = agent._synthetic.imagine(*reversed(window_of(agent)))
    losses = agent._synthetic.with_critic_loss(tf.zeros([4]), imagined, alpha)

    def expected(after):
        """With the latent so many steps later as the successor."""
        of_steps = []
        for t in range(K):
            later = imagined.latents[:, min(t + after, K)]
            actions, log_prob = agent._actor(later).experimental_sample_and_log_prob()
            value = np.minimum(*(critic(later, actions) for critic in agent._target_critics)) - alpha * log_prob
            y = imagined.rewards[:, t] + 0.9 * value
            qs = [critic(imagined.latents[:, t], imagined.actions[:, t]) for critic in agent._critics]
            of_steps.append(sum(0.5 * (q - y) ** 2 for q in qs))
        return np.mean(of_steps, axis=0)

    np.testing.assert_allclose(losses, expected(1), rtol=1e-4)
    assert np.max(np.abs(losses - expected(2))) > 1e-4


def test_actor_loss_by_hand(no_noise):
    agent = lively(build(imagination_steps=K, imagined_actor_share=0.25))
    alpha = tf.constant(0.3)
    discount = np.ones((4, LAST + 1), np.float32)
    discount[1, LAST - 1] = 0.0
    imagined = agent._synthetic.imagine(*reversed(window_of(agent, discount)))
    losses = agent._synthetic.with_actor_loss(tf.constant([1.0, 2.0, 3.0, 4.0]), imagined, alpha)
    of_steps = []
    for t in range(1, K + 1):  # the first latent is not imagined
        actions, log_prob = agent._actor(imagined.latents[:, t]).experimental_sample_and_log_prob()
        q = np.minimum(*(critic(imagined.latents[:, t], actions) for critic in agent._critics))
        of_steps.append(alpha * log_prob - q)
    expected = 0.75 * np.array([1.0, 2.0, 3.0, 4.0]) + 0.25 * np.mean(of_steps, axis=0)
    expected[1] = 2.0
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.parametrize(("critic_share", "actor_share"), [(0.5, 0.0), (0.0, 0.5), (1.0, 1.0)])
def test_shares_reach_their_losses_and_these_train_what_they_always_do(eagerly, critic_share, actor_share):
    shares = dict(imagined_critic_share=critic_share, imagined_actor_share=actor_share)
    agent = build(imagination_steps=2, **shares)
    window, inferred = window_of(agent)
    imagined = agent._synthetic.imagine(inferred, window)
    replayed, alpha = tf.fill([4], 100.0), tf.constant(0.5)
    for mix, share in (("with_critic_loss", critic_share), ("with_actor_loss", actor_share)):
        mixed = getattr(agent._synthetic, mix)(replayed, imagined, alpha)
        assert np.all(mixed != replayed) if share else mixed is replayed

    losses = agent._losses(fakes.experience(), tf.constant(1.0))
    for objective, expected in zip(losses.objectives, small_agents.trained_by(agent).values()):
        of_groups = objective.tape.gradient(objective.loss, small_agents.groups(agent))
        for name, gradients in of_groups.items():
            assert all((gradient is not None) == (name in expected) for gradient in gradients), (objective.name, name)


def test_a_compiled_step_trains_everything():
    agent = build(imagination_steps=2, critic_shift=4, reset_interval=100)
    before = small_agents.values(agent)
    for seed in range(2):
        info = agent.train(fakes.experience(seed))
    assert np.isfinite(info.loss) and int(agent.skipped_steps) == 0
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)


@pytest.mark.parametrize("settings", [{}, {"model_shift": 1}], ids=["one inference", "two inferences"])
def test_every_sequence_begins_at_its_own_last_latent(eagerly, monkeypatch, settings):
    """Also those that the model loss does not see."""
    agent = build(imagination_steps=1, **settings)
    begun = []
    right = synthetic.SyntheticExperience.imagine

    def spy(self, inferred, window):
        begun.append((agent._model.vector(inferred.last_state), inferred.latents[:, -1]))
        return right(self, inferred, window)

    monkeypatch.setattr(synthetic.SyntheticExperience, "imagine", spy)
    agent.train(fakes.experience())
    ((states, latents),) = begun
    assert states.shape == (fakes.BATCH_SIZE, fakes.LATENT_SIZE)
    np.testing.assert_array_equal(states, latents)


@pytest.mark.parametrize("name", ["actor_input", "critic_input"])
def test_who_sees_a_history_cannot_imagine(name):
    message = rf"^build_slac\.imagination_steps: 2, expected 0 with {name} = @HistoryInput: .*{name} = @LatentInput\n"
    with pytest.raises(ValueError, match=message):
        build(imagination_steps=2, **{name: inputs.HistoryInput})


def test_steps_that_nobody_sees_are_refused():
    with pytest.raises(ValueError, match=r"^build_slac\.imagined_critic_share: 0, expected above 0, or"):
        build(imagination_steps=2, imagined_critic_share=0, imagined_actor_share=0)
    with pytest.raises(ValueError, match=r"^build_slac\.imagined_actor_share: 1\.5, expected a number from 0 to 1\n"):
        build(imagined_actor_share=1.5)
