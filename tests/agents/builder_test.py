"""What the builders of all agents have in common; what is each one's own stands in its folder."""

import fakes
import numpy as np
import pytest
import small_agents
import tensorflow as tf

from slac_tf.networks import representations

kinds = pytest.mark.parametrize("kind", small_agents.KINDS)
one_of_each = pytest.mark.parametrize("kind", small_agents.ONE_OF_EACH)
STATE = tf.TensorSpec([small_agents.STATE_SIZE], tf.float32)
# Index of the step that is trained on and transitions of a window, of H frames: SLAC and SAC train on the last one.
WINDOWS = {
    "slac pixels": (None, fakes.SEQUENCE_LENGTH),
    "sac pixels": (None, 2),
    "sac state": (None, 1),
    "mpo pixels": (1, 2 + 2 - 1),  # H - 1 and H + n - 1
    "mpo state": (0, 1 + 2 - 1),
    "d4pg pixels": (1, 2 + 2 - 1),
    "d4pg state": (0, 1 + 2 - 1),
}


@pytest.fixture(scope="module")
def builts():
    return {kind: small_agents.build(kind) for kind in small_agents.KINDS}


@kinds
def test_what_the_training_loop_reads(builts, kind):
    built = builts[kind]
    assert (built.trained_step, built.sequence_length) == WINDOWS[kind]
    assert built.agent.train_sequence_length == built.sequence_length + 1
    assert built.batch_size == fakes.BATCH_SIZE
    assert sorted(built.policies) == ["greedy", "stochastic"]
    observation = {name: tuple(spec.shape) for name, spec in built.agent.collect_data_spec.observation.items()}
    assert observation == ({"state": (small_agents.STATE_SIZE,)} if "state" in kind else {"pixels": (64, 64, 3)})
    assert built.agent.collect_data_spec.policy_info == ()
    assert built.prioritization is None
    if kind != "slac pixels":
        assert built.pretraining is built.report is built.reusable is None
    assert int(built.agent.train_step_counter) == 0


@kinds
def test_policies_are_what_they_are_called(builts, kind):
    built = builts[kind]
    specs = built.agent.time_step_spec
    time_step = tf.nest.map_structure(lambda spec: tf.ones([1, *spec.shape], spec.dtype), specs)
    time_step = time_step._replace(step_type=tf.constant([fakes.FIRST]))

    def actions(policy):
        state = policy.get_initial_state(1)
        return [policy.action(time_step, state).action.numpy() for _ in range(2)]

    greedy, stochastic = (actions(built.policies[name]) for name in ("greedy", "stochastic"))
    np.testing.assert_array_equal(*greedy)
    assert np.any(stochastic[0] != stochastic[1])
    np.testing.assert_allclose(greedy, actions(built.agent.policy), atol=1e-6)
    collect = actions(built.agent.collect_policy)
    assert np.any(collect[0] != collect[1])
    assert np.all(np.abs([*stochastic, *collect]) <= 1.0)
    actor = small_agents.groups(built.agent)["actor"]
    assert {v.ref() for v in built.policies["greedy"].variables()} >= {v.ref() for v in actor}


@kinds
def test_the_policys_state_holds_frames_only_where_several_are_seen(builts, kind):
    spec = builts[kind].agent.collect_policy.policy_state_spec
    if kind.endswith("state"):
        assert "history" not in spec
    else:  # not their features: the encoder is trained while the policy acts
        history = spec["frames" if kind == "slac pixels" else "history"]
        assert (history.shape, history.dtype) == ((2, 64, 64, 3), tf.uint8)


@kinds
def test_targets_start_as_exact_copies(builts, kind):
    found = small_agents.groups(builts[kind].agent)
    target = found["target"]
    if kind.split()[0] in ("mpo", "d4pg"):  # of all networks
        sources = small_agents.all_of(builts[kind].agent._networks)
    else:  # of two critics, which are not alike
        sources = found["critic"]
        first, second = sources[:4], sources[4:]
        assert any(np.any(a.numpy() != b.numpy()) for a, b in zip(first, second))
    assert len(sources) == len(target)
    assert not {v.ref() for v in sources} & {v.ref() for v in target}
    for a, b in zip(sources, target):
        np.testing.assert_array_equal(a, b)


@one_of_each
def test_learning_rates_reach_the_optimizers(kind):
    names = small_agents.build(kind).agent._optimizers._fields
    rates = {name: 0.1 * (i + 1) for i, name in enumerate(names)}
    agent = small_agents.build(kind, **{f"{name}_learning_rate": rate for name, rate in rates.items()}).agent
    for name, rate in rates.items():
        np.testing.assert_allclose(getattr(agent._optimizers, name).learning_rate, rate)


@pytest.mark.parametrize("kind", ["slac pixels", "sac state"])
def test_temperature(builts, kind):
    assert builts[kind].agent._target_entropy == -fakes.ACTION_SIZE
    assert float(builts[kind].agent._log_alpha) == 0.0
    agent = small_agents.build(kind, target_entropy=-7.5, initial_alpha=0.25).agent
    assert agent._target_entropy == -7.5
    assert float(tf.exp(agent._log_alpha)) == pytest.approx(0.25)


@pytest.mark.parametrize("kind", ["mpo", "d4pg"])
def test_pixels_have_a_layer_of_their_own_in_actor_and_critic(builts, kind):
    def first_layers(built):
        return [tuple(module._mlp._first.kernel.shape) for module in (built.agent._networks[1:])]

    # 31 by 31 after the first convolution, 29 by 29 after the second.
    assert first_layers(builts[f"{kind} pixels"]) == [(29 * 29, 5)] * 2
    assert first_layers(builts[f"{kind} state"]) == [(small_agents.STATE_SIZE, 8)] * 2


@pytest.mark.parametrize("kind", ["sac pixels", "mpo pixels", "d4pg pixels"])
def test_what_is_seen_of_what_is_observed(kind):
    pixels = tf.TensorSpec([64, 64, 3], tf.uint8)
    both = small_agents.build(kind, observation={"pixels": pixels, "state": STATE})
    assert both.agent._networks.representation.observation == "pixels"
    state = small_agents.build(kind, observation={"state": STATE, "touch": STATE})
    assert isinstance(state.agent._networks.representation, representations.State)


@pytest.mark.parametrize("kind", [*small_agents.ONE_OF_EACH, "planet pixels"])
@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({"touch": STATE}, r"observation holds \['touch'\], expected 'pixels'"),
        ({"pixels": tf.TensorSpec([84, 84, 3], tf.uint8)}, r"frames of shape \[84, 84, 3\], expected \[64, 64, 3\]"),
    ],
)
def test_observations_that_do_not_fit_are_refused(kind, observation, message):
    with pytest.raises(ValueError, match=message):
        small_agents.build(kind, observation=observation)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("slac pixels", {"history_length": 3}, "build_slac.history_length: 3, expected 1 to sequence_length = 2"),
        ("slac pixels", {"history_length": 0}, "build_slac.history_length: 0, expected an integer of at least 1"),
        ("slac pixels", {"model_batch_size": 5}, "build_slac.model_batch_size: 5, expected 1 to batch_size 4"),
        ("slac pixels", {"model_clip_norm": 0.0}, "build_slac.model_clip_norm: 0.0, expected a number above 0"),
        ("sac state", {"target_update_tau": 2}, "build_sac.target_update_tau: 2, expected a number from 0 to 1"),
        ("sac state", {"representation": None}, "build_sac.representation: None, expected a reference"),
        ("mpo state", {"dual_learning_rate": -1}, "build_mpo.dual_learning_rate: -1, expected a number of at least 0"),
        ("mpo state", {"actor_hidden_sizes": (0,)}, r"build_mpo.actor_hidden_sizes: \(0,\), expected integers"),
        ("planet pixels", {"sequence_length": 0}, "build_planet.sequence_length: 0, expected an integer of at least 1"),
        ("planet pixels", {"s_size": 1.5}, "build_planet.s_size: 1.5, expected an integer of at least 1"),
        ("planet pixels", {"free_nats": -1}, "build_planet.free_nats: -1, expected a number of at least 0"),
        ("planet pixels", {"epsilon": 0}, "build_planet.epsilon: 0, expected a number above 0"),
        (
            "planet pixels",
            {"exploration_scale": -0.3},
            "build_planet.exploration_scale: -0.3, expected a number of at least 0",
        ),
        ("d4pg state", {"num_steps": 0}, "build_d4pg.num_steps: 0, expected an integer of at least 1"),
        ("d4pg state", {"target_update_period": 1.5}, r"build_d4pg.target_update_period: 1.5, expected an integer"),
        ("d4pg state", {"priority_exponent": -1}, "build_d4pg.priority_exponent: -1, expected a number of at least 0"),
        ("d4pg state", {"num_atoms": 1}, "build_d4pg.num_atoms: 1, expected at least 2"),
        ("d4pg state", {"min_value": 4.0}, "build_d4pg.max_value: 4.0, expected more than min_value 4.0"),
        ("d4pg state", {"exploration_scales": ()}, r"build_d4pg.exploration_scales: \(\), expected at least one"),
        ("d4pg state", {"exploration_scales": (-1,)}, "build_d4pg.exploration_scales: -1, expected a number of at"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        small_agents.build(kind, **settings)
