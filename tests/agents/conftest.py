import pytest
import tensorflow as tf
from tensorflow_probability.python.internal import samplers

from slac_tf.latent_models import heads


@pytest.fixture
def eagerly():
    """Train steps run as plain Python: no tracing."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def no_noise(monkeypatch):
    """Latents and actions are their means."""
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    monkeypatch.setattr(
        samplers, "normal", lambda shape, mean=0.0, stddev=1.0, dtype=tf.float32, **_: tf.zeros(shape, dtype) + mean
    )
