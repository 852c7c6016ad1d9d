import small_agents

from slac_tf.networks import representations


def test_the_rest_reaches_the_agent():
    agent = small_agents.build("sac state", gamma=0.9, target_update_tau=0.125).agent
    assert (agent._gamma, agent._target_update_tau) == (0.9, 0.125)


def test_the_default_is_slacs_encoder_on_four_frames():
    built = small_agents.build("sac pixels", representation=representations.FrameFeatures)
    assert built.sequence_length == 4
    assert built.agent._networks.representation.size == 4 * 256
