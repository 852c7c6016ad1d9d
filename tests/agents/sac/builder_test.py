import fakes
import gin
import pytest
import small_agents

from slac_tf.networks import representations


def test_the_rest_reaches_the_agent():
    agent = small_agents.build("sac state", gamma=0.9, target_update_tau=0.125).agent
    assert (agent._gamma, agent._target_update_tau) == (0.9, 0.125)


@pytest.mark.parametrize(("encoder", "size"), [("slac", 8), ("strided", 64), ("control_suite", 841), ("max_pool", 256)])
def test_encoders_are_chosen_by_gin(encoder, size):
    gin.parse_config(
        f"build_{encoder}_encoder.base_depth = 1\nFrameFeatures.encoder = @build_{encoder}_encoder\n"
        "FrameFeatures.length = 2\n"
    )
    built = small_agents.build("sac pixels", representation=representations.FrameFeatures)
    assert built.sequence_length == 2
    networks = built.agent._networks
    assert networks.representation.size == 2 * size
    assert networks.actor.variables[0].shape[0] == 2 * size
    assert networks.critics[0].variables[0].shape[0] == 2 * size + fakes.ACTION_SIZE
    assert built.policies["greedy"].policy_state_spec["history"].shape == (2, 64, 64, 3)


def test_the_default_is_slacs_encoder_on_four_frames():
    built = small_agents.build("sac pixels", representation=representations.FrameFeatures)
    assert built.sequence_length == 4
    assert built.agent._networks.representation.size == 4 * 256
