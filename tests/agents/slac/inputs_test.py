"""Who sees what: actor and critics on the history or on the latent, in all four combinations."""

import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.agents.slac import agent as slac_agent
from slac_tf.agents.slac import inputs
from slac_tf.policies import history_policy, latent_policy

HISTORY, LATENT = inputs.HistoryInput, inputs.LatentInput
POLICIES = {HISTORY: history_policy.HistoryPolicy, LATENT: latent_policy.LatentPolicy}
combinations = pytest.mark.parametrize("critic_input", [HISTORY, LATENT], ids=["critic-history", "critic-latent"])
of_actors = pytest.mark.parametrize("actor_input", [HISTORY, LATENT], ids=["actor-history", "actor-latent"])
LAST = fakes.SEQUENCE_LENGTH


def build(actor_input, critic_input, **settings):
    return small_agents.build("slac pixels", actor_input=actor_input, critic_input=critic_input, **settings)


def used_steps(loss, inferred, name):
    """Steps of features or latents that every sequence's loss depends on, and no other step any sequence's."""
    usual, used = loss(inferred), set()
    for step in range(LAST + 1):
        value = getattr(inferred, name).numpy()
        value[:, step] += 1.0
        moved = loss(inferred._replace(**{name: tf.constant(value)})) != usual
        assert np.all(moved) or not np.any(moved), (name, step)
        if np.all(moved):
            used.add(step)
    return used


def reads(seen, *steps):
    """Features and latents that an input reads, of a history of two frames."""
    if seen is LATENT:
        return {"latents": set(steps), "features": set()}
    return {"latents": set(), "features": {step - back for step in steps for back in (0, 1)}}


@of_actors
@combinations
def test_what_the_losses_see(actor_input, critic_input):
    agent = build(actor_input, critic_input).agent
    window = slac_agent._window(fakes.experience())
    # Three layers of ReLU can be dead for one sequence: weights that keep all alive.
    for network in (agent._actor, *agent._critics, *agent._target_critics):
        network._mlp._layers[0].bias.assign(tf.fill([8], 3.0))

    def critic_loss(inferred):
        tf.random.set_seed(2)
        return agent.critic_loss(window, inferred, tf.constant(0.5))[0].numpy()

    def actor_loss(inferred):
        tf.random.set_seed(2)
        return agent.actor_loss(window, inferred, tf.constant(0.5))[0].numpy()

    inferred = agent.infer(window)
    for name in ("latents", "features"):
        # Critics at T-1, targets at T; the next action at T, of the actor's own input. The actor's loss is at T-1.
        expected = reads(critic_input, LAST - 1, LAST)[name] | reads(actor_input, LAST)[name]
        assert used_steps(critic_loss, inferred, name) == expected, name
        expected = reads(critic_input, LAST - 1)[name] | reads(actor_input, LAST - 1)[name]
        assert used_steps(actor_loss, inferred, name) == expected, name


@of_actors
@combinations
def test_each_loss_trains_its_own_and_the_policies_fit(eagerly, actor_input, critic_input, tmp_path):
    built = build(actor_input, critic_input)
    agent = built.agent
    before = small_agents.values(agent)
    losses = agent._losses(fakes.experience(), tf.constant(1.0))
    for objective, expected in zip(losses.objectives, small_agents.trained_by(agent).values()):
        of_groups = objective.tape.gradient(objective.loss, small_agents.groups(agent))
        for name, gradients in of_groups.items():
            assert all((gradient is not None) == (name in expected) for gradient in gradients), name
    agent.train(fakes.experience())
    assert small_agents.changed(before, small_agents.values(agent)) == set(before)

    time_step = tf.nest.map_structure(lambda spec: tf.ones([1, *spec.shape], spec.dtype), fakes.specs()[0])
    for policy in (*built.policies.values(), agent.policy, agent.collect_policy):
        assert isinstance(policy, POLICIES[actor_input])
        assert policy.action(time_step, policy.get_initial_state(1)).action.shape == (1, fakes.ACTION_SIZE)

    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    resumed = small_agents.build("slac pixels", seed=9, actor_input=actor_input, critic_input=critic_input).agent
    tf.train.Checkpoint(agent=resumed).read(path).assert_consumed()
    for a, b in zip(small_agents.all_variables(resumed), small_agents.all_variables(agent)):
        np.testing.assert_array_equal(a, b)


def test_the_defaults_are_the_papers():
    agent = small_agents.build("slac pixels").agent
    assert isinstance(agent._actor_input, HISTORY) and isinstance(agent._critic_input, LATENT)


def test_critics_see_no_longer_history_than_a_window_has():
    longer = dict(sequence_length=2, history_length=3, actor_loss_on_next_step=True)
    build(HISTORY, LATENT, **longer)
    message = r"^build_slac\.history_length: 3, expected 1 to sequence_length = 2 where critics see the history\n"
    with pytest.raises(ValueError, match=message):
        build(LATENT, HISTORY, **longer)


@pytest.mark.parametrize("name", ["actor_input", "critic_input"])
def test_an_input_is_chosen_by_reference(name):
    message = rf"^build_slac\.{name}: 'latent', expected a reference: @ and a name, without quotes\n"
    with pytest.raises(ValueError, match=message):
        small_agents.build("slac pixels", **{name: "latent"})
