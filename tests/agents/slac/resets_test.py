import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

NAMED = ("critic", "target", "actor", "alpha")


def build(**settings):
    agent = small_agents.build("slac pixels", initial_alpha=0.5, **settings).agent
    tf.random.set_seed(2)
    return agent


def moments(agent):
    """Adam's variables, its count of steps the first, by optimizer."""
    return {name: [v.numpy() for v in optimizer.variables()] for name, optimizer in agent._optimizers._asdict().items()}


def with_nan(experience):
    return experience._replace(reward=experience.reward * np.nan)


def assert_equal(found, expected):
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        np.testing.assert_array_equal(a, b)


def assert_is_reset(agent):
    """Heads are as a new agent's."""
    values = small_agents.values(agent)
    assert_equal(values["target"], values["critic"])
    np.testing.assert_allclose(values["alpha"], np.log([0.5]), rtol=1e-6)
    for value in (*values["critic"], *values["actor"]):
        if value.ndim == 1:
            assert not np.any(value)
        else:
            limit = np.sqrt(6 / sum(value.shape))
            assert 0.5 * limit < np.max(np.abs(value)) <= limit
    for name in ("critic", "actor", "alpha"):
        assert not any(np.any(value) for value in moments(agent)[name]), name


def is_reset(agent):
    return not any(np.any(value) for value in moments(agent)["critic"])


def test_a_reset_touches_the_named_variables_and_no_others(eagerly):
    """The same agent twice, one with resets: they first differ after the second step, and there in what is named."""
    plain, resetting = build(), build(reset_interval=2)
    begun = small_agents.values(plain)
    for seed in range(2):
        for agent in (plain, resetting):
            tf.random.set_seed(seed)
            agent.train(fakes.experience(seed))
        if seed == 0:  # to the bit
            assert_equal(small_agents.values(resetting), small_agents.values(plain))
            assert_equal(moments(resetting), moments(plain))
    kept, now = small_agents.values(plain), small_agents.values(resetting)
    assert small_agents.changed(kept, now) == set(NAMED)
    for name in set(kept) - set(NAMED):
        assert_equal(now[name], kept[name])
    assert_equal(moments(resetting)["model"], moments(plain)["model"])
    assert int(moments(resetting)["model"][0]) == 2
    for counter in ("train_step_counter", "skipped_steps", "pretrain_step_counter"):
        assert int(getattr(resetting, counter)) == int(getattr(plain, counter))
    assert_is_reset(resetting)
    # New values, not those of the start; the two critics are two.
    kernels = [value for value in now["critic"] if value.ndim == 2]
    assert all(np.any(a != b) for a, b in zip(kernels, [v for v in begun["critic"] if v.ndim == 2]))
    assert np.any(kernels[0] != kernels[2])


def test_resets_inside_of_the_compiled_step():
    agent = build(reset_interval=2, critic_layer_norm=True)
    drawn = []
    for step in range(1, 5):
        agent.train(fakes.experience(step))
        assert is_reset(agent) == (step % 2 == 0), step
        if step % 2 == 0:
            drawn.append(small_agents.values(agent)["actor"][0])
    assert int(agent._resets.num_resets) == 2
    assert np.any(drawn[0] != drawn[1])
    assert agent._compiled_train.experimental_get_tracing_count() == 1
    # A step that is skipped is none that resets; the next one makes up for it, once.
    agent.train(fakes.experience(5))
    agent.train(with_nan(fakes.experience(6)))
    assert int(agent.skipped_steps) == 1 and not is_reset(agent)
    for step, expected in ((7, True), (8, True), (9, False)):
        agent.train(fakes.experience(step))
        assert is_reset(agent) == expected, step


def test_pretraining_resets_nothing(eagerly):
    agent = build(reset_interval=1)
    agent.pretrain(fakes.experience())
    assert int(agent._resets.num_resets) == 0


def test_a_resumed_agent_resets_when_the_first_would_have(eagerly, tmp_path):
    agent = build(reset_interval=2)
    for seed in range(3):
        agent.train(fakes.experience(seed))
    path = tf.train.Checkpoint(agent=agent).write(str(tmp_path / "agent"))
    resumed = small_agents.build("slac pixels", seed=9, initial_alpha=0.5, reset_interval=2).agent
    tf.train.Checkpoint(agent=resumed).read(path).assert_consumed()
    assert int(resumed._resets.num_resets) == 1 and not is_reset(resumed)
    for step, expected in ((4, True), (5, False)):
        resumed.train(fakes.experience(step))
        assert is_reset(resumed) == expected, step
    np.testing.assert_array_equal(int(resumed._resets.num_resets), 2)


def test_an_interval_of_0_is_refused():
    with pytest.raises(ValueError, match=r"^build_slac\.reset_interval: 0, expected an integer of at least 1\n"):
        build(reset_interval=0)
