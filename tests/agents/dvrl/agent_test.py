"""What DVRL trains on is what it acted on, and each term of its loss trains what it should."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.specs import tensor_spec

from slac_tf.agents.dvrl import beliefs, builder
from slac_tf.environments import mountain_hike
from slac_tf.replay import rollout_replay
from slac_tf.rollouts import rollout_driver

EPISODE_STEPS, LENGTH = 15, 18  # a window holds the end of one episode and the beginning of the next
Small = functools.partial(
    beliefs.ParticleBelief,
    num_particles=3,
    latent_size=4,
    memory_size=5,
    action_features=3,
    base_depth=1,
    state_hidden_sizes=(6,),
)


def build(**settings):
    tf.keras.utils.set_random_seed(0)
    environment = mountain_hike.load_mountain_hike(observation_std=3.0, seed=0)
    specs = (tensor_spec.from_spec(spec) for spec in (environment.time_step_spec(), environment.action_spec()))
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    built = builder.build_dvrl(*specs, counter, **{"belief": Small, "sequence_length": LENGTH, **settings})
    return built, environment


class Watched:
    """The collect policy, acting eagerly; notes log π and V as they were."""

    def __init__(self, agent):
        self._agent, self._policy = agent, agent.collect_policy
        self.log_prob, self.values = [], []

    def get_initial_state(self, batch_size):
        return self._policy.get_initial_state(batch_size)

    def action(self, time_step, state):
        batched = tf.nest.map_structure(lambda x: tf.constant(np.asarray(x)[np.newaxis]), time_step)
        step = self._act(batched, state)
        networks = self._agent._networks
        vector = networks.belief.vector(step.state["belief"])
        self.log_prob.append(float(networks.actor.log_prob(vector, step.info["action"])))
        self.values.append(float(networks.critic(vector)))
        return step._replace(
            action=step.action[0].numpy(), info=tf.nest.map_structure(lambda x: x[0].numpy(), step.info)
        )

    @functools.cached_property
    def _act(self):
        return tf.function(self._policy.action)


@pytest.fixture(scope="module")
def acted():
    """An agent, the second window that it collected, and log π and V of each of its steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mountain_hike, "EPISODE_STEPS", EPISODE_STEPS)
        built, environment = build()
        replay = rollout_replay.RolloutReplay(built.agent.collect_data_spec, sequence_length=LENGTH)
        policy, taken = Watched(built.agent), []
        driver = rollout_driver.RolloutDriver(environment, observers=[replay.add, taken.append], overlap=False)
        driver.begin(policy)
        batches = replay.sample(1)
        for _ in range(2):
            begin = len(taken)
            while not replay.is_full:
                driver.run()
            window = next(batches).experience
    steps = slice(begin, begin + LENGTH + 1)
    return built.agent, window, np.array([policy.log_prob[steps], policy.values[steps]])


def recomputed(agent, window):
    """log π and V, `[2, T+1]`."""
    found = tf.function(lambda: agent.evaluate(window, agent.unroll(window).vectors))()
    return np.array([value[0] for value in found])


def test_training_sees_what_acting_saw(acted):
    agent, window, noted = acted
    types = window.step_type[0].numpy().tolist()
    assert LAST in types[1:-1]  # a reset inside
    assert types[0] == MID  # a belief that was carried
    assert np.any(np.abs(window.policy_info["action"]) > 1.0)  # actions that were clipped
    np.testing.assert_allclose(recomputed(agent, window), noted, atol=1e-5)
    assert noted.std(axis=1).min() > 1e-3


@pytest.mark.parametrize("wrong", ["noise", "action", "reset", "start", "clipped"])
def test_what_is_recomputed_wrongly_differs(acted, wrong):
    agent, window, noted = acted
    info = dict(window.policy_info)
    if wrong == "noise":  # that of another step
        info["seed"] = tf.roll(info["seed"], 1, axis=1)
    elif wrong == "action":  # one step late
        window = window._replace(action=tf.roll(window.action, 1, axis=1))
    elif wrong == "reset":  # goes on with the belief of the episode before
        window = window._replace(step_type=tf.where(window.step_type == FIRST, MID, window.step_type))
    elif wrong == "start":  # forgets the belief at every window
        info["state"] = tf.nest.map_structure(tf.zeros_like, info["state"])
    else:
        info["action"] = window.action
    found = recomputed(agent, window._replace(policy_info=info))
    assert np.abs(found - noted).max() > 1e-3


def test_a_new_episode_has_a_new_belief(acted):
    agent, window, _ = acted
    begin = window.step_type[0].numpy().tolist().index(FIRST)
    tail = tf.nest.map_structure(lambda x: x[:, begin:], window)
    forgetful = tf.nest.map_structure(tf.ones_like, tail.policy_info["state"])  # whatever was before
    tail = tail._replace(policy_info={**tail.policy_info, "state": forgetful})
    np.testing.assert_allclose(recomputed(agent, tail), recomputed(agent, window)[:, begin:], atol=1e-5)


# What each term reaches; all of them the encoder.
MODEL = {"encoder", "action", "latent", "proposal", "prior", "decoder", "memory"}
TRAINS = {
    "policy_loss": {*MODEL, "summary", "actor", "log_std"},
    "value_loss": {*MODEL, "summary", "critic"},
    "entropy": {"log_std"},
    "elbo": MODEL,
}


def groups(agent):
    belief, actor = agent._networks.belief, agent._networks.actor
    parts = {
        "encoder": [v for layer in belief._observer._encoder for v in layer.variables],
        "decoder": belief._observer._decoder.variables,
        "action": belief._action.variables,
        "latent": belief._latent.variables,
        "proposal": belief._proposal.variables,
        "prior": belief._prior.variables,
        "memory": belief._memory.variables,
        "summary": belief._summary.variables,
        "actor": actor._mean.variables,
        "log_std": [actor._log_std],
        "critic": agent._networks.critic.variables,
    }
    assert sum(map(len, parts.values())) == len(agent._trained)
    return parts


@pytest.fixture(scope="module")
def gradients(acted):
    """Of each term, by group: whether any number of it is not 0."""
    agent, window, _ = acted
    window = tf.nest.map_structure(lambda x: x[:, :6], window)

    @tf.function
    def compute():
        with tf.GradientTape(persistent=True) as tape:
            terms = agent.terms(window, agent.unroll(window))
        return {name: tape.gradient(term, agent._trained, unconnected_gradients="zero") for name, term in terms.items()}

    places = {v.ref(): index for index, v in enumerate(agent._trained)}
    return {
        name: {
            group
            for group, variables in groups(agent).items()
            if any(np.any(found[places[v.ref()]] != 0.0) for v in variables)
        }
        for name, found in compute().items()
    }


@pytest.mark.parametrize("term", TRAINS)
def test_what_each_term_trains(gradients, term):
    assert gradients[term] == TRAINS[term]


def test_learns_the_evidence_and_counts_its_steps():
    built, _ = build(sequence_length=3, learning_rate=1e-2, evidence_weight=1.0)
    agent, spec = built.agent, built.agent.collect_data_spec
    random = np.random.RandomState(0)
    window = tensor_spec.sample_spec_nest(spec, outer_dims=(1, 4), seed=1)
    window = window._replace(
        step_type=tf.fill([1, 4], MID),
        reward=tf.zeros([1, 4]),
        discount=tf.ones([1, 4]),
        observation={"state": tf.constant(random.normal(size=(1, 4, 2)), tf.float32)},
        action=tf.zeros([1, 4, 2]),
        policy_info={
            "state": tf.nest.map_structure(tf.zeros_like, window.policy_info["state"]),
            "seed": window.policy_info["seed"],
            "action": tf.zeros([1, 4, 2]),
        },
    )
    infos = [agent.train(window) for _ in range(60)]
    assert float(infos[-1].extra["elbo"]) > float(infos[0].extra["elbo"]) + 1.0
    assert int(agent.train_step_counter) == 60
    assert set(infos[0].extra) >= {"policy_loss", "value_loss", "entropy", "elbo", "dvrl_gradient_norm"}
    with pytest.raises(ValueError, match=r"sequences of 3 steps, expected sequence_length \+ 1 = 4"):
        agent.train(tf.nest.map_structure(lambda x: x[:, :3], window))


def test_a_reset_is_no_transition(acted):
    agent, window, _ = acted
    begin = window.step_type[0].numpy().tolist().index(LAST)
    unrolled = agent.unroll(window)
    terms = agent.terms(window, unrolled)
    mask = np.arange(LENGTH + 1) == begin
    other = agent.terms(window._replace(reward=tf.where(mask, 1e6, window.reward)), unrolled)
    for name, term in terms.items():
        np.testing.assert_array_equal(term, other[name])
    felt = agent.terms(window._replace(reward=tf.where(np.roll(mask, -1), 1e6, window.reward)), unrolled)
    assert float(felt["value_loss"]) > 2.0 * float(terms["value_loss"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "build_dvrl.num_steps: 0, expected an integer of at least 1"),
        ({"belief": "particles"}, "build_dvrl.belief: 'particles', expected a reference"),
        ({"clip_norm": 0.0}, "build_dvrl.clip_norm: 0.0, expected a number above 0"),
        ({"evidence_weight": -1}, "build_dvrl.evidence_weight: -1, expected a number of at least 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
