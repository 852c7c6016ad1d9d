import dataclasses
import json

import fakes
import numpy as np
import pytest

from slac_tf.latent_models import two_layer
from slac_tf.runs import checkpoints, run_dir
from slac_tf.training import transfer

SIZES = dict(z1_size=3, z2_size=4, hidden_sizes=(8,))


class Replay:
    def save(self, directory):
        directory.mkdir()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run that has a checkpoint, and its agent."""
    built = fakes.build_agent(seed=1)
    root = tmp_path_factory.mktemp("source")
    saver = checkpoints.Checkpoints(run_dir.RunDir(root).checkpoints, built.agent, built.reusable)
    saver.save(1, {"pretrain_step": 0}, Replay())
    return root, built


def weights(module):
    return [variable.numpy() for variable in module.variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b)))


def test_the_whole_model_is_loaded(source):
    root, other = source
    built = fakes.build_agent(seed=2)
    model = built.reusable.module
    assert not same(model, other.reusable.module)
    result = transfer.load(root, model, encoder_only=False)
    assert same(model, other.reusable.module)
    assert not result.other_shapes and not result.absent
    assert {"encoder", "_decoder", "_reward", "_z1_prior"} < set(result.loaded)


def test_the_encoder_alone(source):
    root, other = source
    model = fakes.build_agent(seed=2).reusable.module
    decoder = weights(model._decoder)
    result = transfer.load(root, model, encoder_only=True)
    assert result[1:] == (["encoder"], [], [])
    assert same(model.encoder, other.reusable.module.encoder)
    assert all(np.array_equal(a, b) for a, b in zip(decoder, weights(model._decoder)))


def test_parts_for_another_action_size_keep_their_own_weights(source):
    root, other = source
    model = two_layer.TwoLayerModel(fakes.ACTION_SIZE + 1, base_depth=1, **SIZES)
    prior = weights(model._z1_prior)
    result = transfer.load(root, model, encoder_only=False)
    # What sees an action: rewards, both of z1's transitions, z2's transition.
    assert set(result.other_shapes) == {"_reward", "_z1_prior", "_z1_posterior", "_z2"}
    assert set(result.loaded) == {"encoder", "_decoder", "_z2_first", "_z1_first_posterior"}
    assert all(np.array_equal(a, b) for a, b in zip(prior, weights(model._z1_prior)))
    assert same(model.encoder, other.reusable.module.encoder)


def test_nothing_fits(source):
    root, _ = source
    model = two_layer.TwoLayerModel(7, z1_size=5, z2_size=6, base_depth=2, hidden_sizes=(9,))
    with pytest.raises(ValueError, match="nothing of the model"):
        transfer.load(root, model, encoder_only=False)


def test_no_checkpoint(tmp_path):
    model = fakes.build_agent().reusable.module
    with pytest.raises(ValueError, match="has no checkpoint"):
        transfer.load(tmp_path, model, encoder_only=False)


def test_frozen_parts_stay_and_the_rest_is_trained(source, tmp_path):
    root, _ = source
    directory = run_dir.RunDir(tmp_path)
    built = fakes.build_agent(seed=2)
    transfer.record(transfer.start_from(root, built, directory, encoder_only=True, freeze=True), directory)
    model = built.reusable.module
    encoder, decoder = weights(model.encoder), weights(model._decoder)
    built.pretraining.train(fakes.experience())
    built.agent.train(fakes.experience())
    assert all(np.array_equal(a, b) for a, b in zip(encoder, weights(model.encoder)))
    assert not all(np.array_equal(a, b) for a, b in zip(decoder, weights(model._decoder)))


def test_a_resumed_run_freezes_the_same_parts_without_the_source(source, tmp_path):
    root, _ = source
    directory = run_dir.RunDir(tmp_path)
    first = fakes.build_agent(seed=2)
    transfer.record(transfer.start_from(root, first, directory, encoder_only=True, freeze=True), directory)
    assert json.loads((tmp_path / "initialized_from.json").read_text())["loaded"] == ["encoder"]
    checkpoints.Checkpoints(directory.checkpoints, first.agent).save(1, {"pretrain_step": 0}, Replay())
    resumed = fakes.build_agent(seed=3)
    before = weights(resumed.reusable.module)
    transfer.start_from(tmp_path / "gone", resumed, directory, encoder_only=True, freeze=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(resumed.reusable.module)))
    trained = {v.ref() for v in resumed.agent._model_variables}
    assert not any(v.ref() in trained for v in resumed.reusable.module.encoder.variables)


def test_a_run_that_ended_before_its_first_checkpoint_loads_again(source, tmp_path):
    root, other = source
    directory = run_dir.RunDir(tmp_path)
    first = fakes.build_agent(seed=2)
    transfer.record(transfer.start_from(root, first, directory, encoder_only=True, freeze=True), directory)
    again = fakes.build_agent(seed=3)
    transfer.start_from(root, again, directory, encoder_only=True, freeze=True)
    assert same(again.reusable.module.encoder, other.reusable.module.encoder)


def test_a_wholly_frozen_model_still_gives_its_losses(source, tmp_path):
    root, _ = source
    built = fakes.build_agent(seed=2)
    transfer.start_from(root, built, run_dir.RunDir(tmp_path), encoder_only=False, freeze=True)
    before = weights(built.reusable.module)
    extra = built.agent.train(fakes.experience()).extra
    assert np.isfinite(extra["model_loss"])
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(built.reusable.module)))


def test_an_agent_without_a_model(tmp_path):
    built = dataclasses.replace(fakes.build_agent(seed=2), reusable=None)
    with pytest.raises(ValueError, match="no latent model"):
        transfer.start_from(tmp_path, built, run_dir.RunDir(tmp_path), encoder_only=False, freeze=False)
