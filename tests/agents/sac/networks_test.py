import functools

import fakes
import pytest

from slac_tf.agents.sac import networks
from slac_tf.networks import encoders, representations


@pytest.fixture(scope="module")
def made():
    encoder = functools.partial(encoders.build_slac_encoder, base_depth=1)
    return networks.make_networks(representations.FrameFeatures(encoder, length=2), fakes.ACTION_SIZE, (8, 4))


def shapes(module):
    return [tuple(v.shape) for v in module.trainable_variables if v.shape.rank == 2]


def test_shapes(made):
    size = 2 * 8  # frames of 8 features
    for critic in (*made.critics, *made.target_critics):
        assert shapes(critic) == [(size + fakes.ACTION_SIZE, 8), (8, 4), (4, 1)]
    assert shapes(made.actor) == [(size, 8), (8, 4), (4, 2 * fakes.ACTION_SIZE)]
    assert (len(made.critics), len(made.target_critics)) == (2, 2)


def test_no_variable_is_shared(made):
    modules = (*made.critics, *made.target_critics, made.actor, made.representation)
    variables = [v.ref() for module in modules for v in module.variables]
    assert len(variables) == len(set(variables)) == 4 * 6 + 6 + 10
