"""The example of docs/custom_latent_models.md, run as it stands there."""

import pathlib
import re

import fakes
import gin
import numpy as np
import tensorflow as tf

from slac_tf.config import configuration

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "custom_latent_models.md"


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.S)
    return text


def test_a_seventh_model_is_one_file_and_one_gin_file(tmp_path, monkeypatch):
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    (tmp_path / "my_model.py").write_text(code)
    (tmp_path / "my_model.gin").write_text(block("gin"))
    monkeypatch.syspath_prepend(str(tmp_path))
    files = ["gin_configs/cheetah_run.gin", "gin_configs/debug.gin", str(tmp_path / "my_model.gin")]
    configuration.load(files, ["OneLayerVAE.base_depth = 1"])
    build = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    built = build(*fakes.specs(), tf.Variable(0, dtype=tf.int64))
    assert type(built.reusable.module).__name__ == "OneLayerVAE"
    assert built.reusable.module.latent_size == 128
    shape = dict(batch_size=built.batch_size, length=built.sequence_length + 1)
    losses = built.agent.train(fakes.experience(**shape)).extra
    assert np.isfinite(losses["model_loss"]) and losses["kl_z"] > 0
