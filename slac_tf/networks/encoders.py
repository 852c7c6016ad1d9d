"""Encoders beside SLAC's own: of frames, states, or both, by the names that gin files use."""

from typing import Any, Callable, Mapping, Protocol, Sequence, Tuple

import gin
import tensorflow as tf

from slac_tf.networks import conv, mlp
from slac_tf.utils import checks


class FrameEncoder(Protocol):
    """Frames `[…, 64, 64, C] uint8`, or float32 in [0, 1], to features `[…, feature_size] float32`."""

    feature_size: int

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes frames."""
        ...


class JointEncoder(tf.Module):
    """Features of a frame and as many of the simulator's state, side by side."""

    def __init__(self, frames: FrameEncoder, state_size: int, hidden_sizes: Sequence[int]):
        """Constructor.

        Args:
            frames: Encoder of the frames.
            state_size: S.
            hidden_sizes: Leaky ReLU layers between the state and its features.
        """
        super().__init__()
        self._frames = frames
        self._state = mlp.MLP(state_size, hidden_sizes, frames.feature_size, tf.nn.leaky_relu)
        self.feature_size = 2 * frames.feature_size

    def __call__(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Encodes frames and states.

        Args:
            observation: `'pixels'`, `[…, 64, 64, 3] uint8`, or float32 in [0, 1]; `'state'`, `[…, S] float32`.

        Returns:
            Features `[…, feature_size] float32`.
        """
        return tf.concat([self._frames(observation["pixels"]), self._state(observation["state"])], axis=-1)


def read(encoder: Any, observation: Mapping[str, Any]) -> Any:
    """What an encoder is called with.

    Args:
        encoder: Of frames, or of frames and state.
        observation: `'pixels'`, and `'state'` for an encoder of both; tensors or their specifications.

    Returns:
        The frames, or both by name.
    """
    if isinstance(encoder, JointEncoder):
        return {name: observation[name] for name in ("pixels", "state")}
    return observation["pixels"]


class ConvolutionStack(tf.Module):
    """Layers one after the other; the last map, flattened, is the features."""

    def __init__(self, layers: Sequence[tf.keras.layers.Layer], channels: int):
        super().__init__()
        self._channels = channels
        self._layers = list(layers)
        self._pixels = conv.build_convolution_policy().pixels
        self.feature_size = self._map(tf.zeros([1, conv.IMAGE_SIZE, conv.IMAGE_SIZE, channels])).shape.num_elements()

    def _map(self, frames: tf.Tensor) -> tf.Tensor:
        for layer in self._layers:
            frames = layer(frames)
        return frames

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes frames.

        Args:
            frames: `[…, 64, 64, channels] uint8`, or float32 in [0, 1].

        Returns:
            Features `[…, feature_size] float32`.
        """
        leading = tf.shape(frames)[:-3]
        # […, 64, 64, C] -> [N, 64, 64, C] -> [N, h, w, c]
        maps = self._map(tf.reshape(self._pixels(frames), [-1, conv.IMAGE_SIZE, conv.IMAGE_SIZE, self._channels]))
        features = tf.reshape(tf.cast(maps, tf.float32), tf.concat([leading, [self.feature_size]], axis=0))
        return tf.ensure_shape(features, frames.shape[:-3] + [self.feature_size])


@gin.configurable
def build_slac_encoder(base_depth: int = 32) -> conv.Encoder:
    """SLAC's own encoder of a frame, 256 features: equal capacity (Appendix B).

    Args:
        base_depth: Channels of the first layer.

    Returns:
        The encoder.

    Raises:
        ValueError: If the depth is no positive integer.
    """
    checks.counts("build_slac_encoder", base_depth=base_depth)
    return conv.Encoder(base_depth)


@gin.configurable
def build_strided_encoder(base_depth: int = 32, channels: int = 3) -> ConvolutionStack:
    """Three 4x4 convolutions of stride 2, SAME, ReLU: 2048 features (published code of SLAC).

    Args:
        base_depth: Channels of every layer.
        channels: Of the input.

    Returns:
        The encoder.

    Raises:
        ValueError: If the depth is no positive integer.
    """
    checks.counts("build_strided_encoder", base_depth=base_depth)
    layers = _convolutions([(4, 2)] * 3, base_depth, "same", tf.nn.relu)
    return ConvolutionStack(layers, channels)


@gin.configurable
def build_control_suite_encoder(base_depth: int = 32, channels: int = 3) -> ConvolutionStack:
    """Two 3x3 convolutions, the first of stride 2, VALID, ELU: 26,912 features (Tassa et al. 2018).

    Args:
        base_depth: Channels of both layers.
        channels: Of the input.

    Returns:
        The encoder.

    Raises:
        ValueError: If the depth is no positive integer.
    """
    checks.counts("build_control_suite_encoder", base_depth=base_depth)
    layers = _convolutions([(3, 2), (3, 1)], base_depth, "valid", tf.nn.elu)
    return ConvolutionStack(layers, channels)


@gin.configurable
def build_max_pool_encoder(base_depth: int = 32, channels: int = 3) -> ConvolutionStack:
    """Two times a 3x3 convolution with ReLU and 2x2 max pooling: 8192 features (published code of SLAC).

    Args:
        base_depth: Channels of both layers.
        channels: Of the input.

    Returns:
        The encoder.

    Raises:
        ValueError: If the depth is no positive integer.
    """
    checks.counts("build_max_pool_encoder", base_depth=base_depth)
    layers = []
    for convolution in _convolutions([(3, 1)] * 2, base_depth, "same", tf.nn.relu):
        layers += [convolution, tf.keras.layers.MaxPool2D(2, 2, dtype=convolution.dtype_policy)]
    return ConvolutionStack(layers, channels)


def _convolutions(
    sizes: Sequence[Tuple[int, int]], depth: int, padding: str, activation: Callable[[tf.Tensor], tf.Tensor]
) -> Sequence[tf.keras.layers.Layer]:
    """A layer for each pair of kernel size and stride."""
    conv2d = conv.build_convolution_policy().conv2d
    return [conv2d(depth, kernel, strides=stride, padding=padding, activation=activation) for kernel, stride in sizes]
