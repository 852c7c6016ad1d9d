"""What an actor or a critic sees of the past.

`FeatureHistory` is what SLAC's actor sees. The others are called with the last observations of one kind,
`[B, length, …]`, and give one vector each, `[B, size]`; whoever trains them owns their weights.
"""

from typing import Any, Callable, Mapping, Sequence, Union

import gin
import tensorflow as tf

from slac_tf.networks import conv, encoders
from slac_tf.utils import checks, masks


class FeatureHistory(tf.Module):
    """The features of the last frames and the actions between them, as one vector.

    The encoder is shared with the latent model, which trains it; whoever reads a history treats the
    features as given (Appendix B: the convolutional layers are not updated by the actor objective).
    """

    def __init__(self, encoder: Any, action_size: int, length: int):
        """Constructor.

        Args:
            encoder: Frames, or frames and state, to features.
            action_size: A.
            length: H, the number of frames; there are H-1 actions.
        """
        super().__init__()
        self.length = length
        self.feature_size = encoder.feature_size
        self.action_size = action_size
        self.size = length * encoder.feature_size + (length - 1) * action_size
        self._encoder = encoder

    def read(self, observation: Mapping[str, Any]) -> Any:
        """What of an observation is encoded.

        Args:
            observation: Tensors or their specifications, by name.

        Returns:
            The frames, or frames and state by name where the encoder is of both.
        """
        return encoders.read(self._encoder, observation)

    def encode(self, observed: Any) -> tf.Tensor:
        """Features of frames, or of frames and states.

        Args:
            observed: As `read` gives it: `[…, 64, 64, 3] uint8`, and `[…, S] float32`.

        Returns:
            `[…, F] float32`.
        """
        return self._encoder(observed)

    def flatten(self, features: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """One vector from a history.

        Args:
            features: `[B, H, F] float32`.
            actions: `[B, H-1, A] float32`.

        Returns:
            `[B, H * F + (H-1) * A] float32`.
        """
        batch = tf.shape(features)[0]  # not -1: a history of one frame has no actions to tell it from
        return tf.concat(
            [
                tf.reshape(features, [batch, self.length * self.feature_size]),
                tf.reshape(actions, [batch, (self.length - 1) * self.action_size]),
            ],
            axis=-1,
        )

    def at(self, step: int, features: tf.Tensor, actions: tf.Tensor, step_types: tf.Tensor) -> tf.Tensor:
        """The history that the policy would have had at one step of a window.

        Args:
            step: Index of the history's last step, at least `length - 1`.
            features: `[B, T+1, F] float32`.
            actions: `[B, T+1, A] float32`.
            step_types: `[B, T+1] int32`.

        Returns:
            `[B, size] float32`.

        Raises:
            ValueError: If the window does not hold `length` steps up to `step`.
        """
        begin = step + 1 - self.length
        if begin < 0 or step >= features.shape[1]:
            raise ValueError(
                f"step: {step}, expected {self.length - 1} to {features.shape[1] - 1} for a history of "
                f"{self.length} frames in a window of {features.shape[1]} steps"
            )
        return self.flatten(
            *masks.hide_before_first(
                features[:, begin : step + 1], actions[:, begin:step], step_types[:, begin : step + 1]
            )
        )


class State:
    """The simulator's state as it is."""

    observation = "state"
    length = 1
    variables: Sequence[tf.Variable] = ()
    trainable_variables: Sequence[tf.Variable] = ()

    def __init__(self, spec: tf.TensorSpec):
        """Constructor.

        Args:
            spec: Of the state, `[S] float32`.
        """
        self.size = spec.shape.num_elements()

    def __call__(self, states: tf.Tensor) -> tf.Tensor:
        """Takes the state.

        Args:
            states: `[B, 1, S] float32`.

        Returns:
            `[B, S] float32`.
        """
        return states[:, 0]


@gin.configurable
class FrameFeatures(tf.Module):
    """Features of each of the last frames side by side, all from one encoder (the paper's SAC from pixels)."""

    observation = "pixels"

    def __init__(
        self,
        encoder: Callable[[], encoders.FrameEncoder] = encoders.build_slac_encoder,
        length: int = 4,
    ):
        """Constructor.

        Args:
            encoder: Makes the encoder of a frame.
            length: H, the number of frames.

        Raises:
            ValueError: If `length` is no positive integer or `encoder` no reference.
        """
        super().__init__()
        checks.counts("FrameFeatures", length=length)
        checks.references("FrameFeatures", encoder=encoder)
        self.length = length
        self._encoder = encoder()
        self.size = length * self._encoder.feature_size

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes.

        Args:
            frames: `[B, H, 64, 64, 3] uint8`.

        Returns:
            `[B, H * F] float32`.
        """
        features = self._encoder(frames)  # [B, H, F]
        return tf.reshape(features, [-1, self.size])


@gin.configurable
class StackedFrames(tf.Module):
    """Features of the last frames, stacked as channels of one image (Tassa et al. 2018)."""

    observation = "pixels"

    def __init__(
        self,
        encoder: Callable[..., encoders.FrameEncoder] = encoders.build_control_suite_encoder,
        length: int = 3,
    ):
        """Constructor.

        Args:
            encoder: Called with `channels=3 * length`.
            length: H, the number of frames.

        Raises:
            ValueError: If `length` is no positive integer or `encoder` no reference.
        """
        super().__init__()
        checks.counts("StackedFrames", length=length)
        checks.references("StackedFrames", encoder=encoder)
        self.length = length
        self._encoder = encoder(channels=3 * length)
        self.size = self._encoder.feature_size

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes.

        Args:
            frames: `[B, H, 64, 64, 3] uint8`.

        Returns:
            `[B, F] float32`.
        """
        frames = tf.transpose(frames, [0, 2, 3, 1, 4])  # [B, 64, 64, H, 3]
        return self._encoder(tf.reshape(frames, [-1, conv.IMAGE_SIZE, conv.IMAGE_SIZE, 3 * self.length]))


Representation = Union[State, FrameFeatures, StackedFrames]


def represent(
    observation_spec: Mapping[str, tf.TensorSpec],
    of_pixels: Callable[[], Any],
    of_state: Callable[[tf.TensorSpec], Any] = State,
) -> Any:
    """What represents pixels where they are observed, else the state.

    Args:
        observation_spec: Of what the environment shows.
        of_pixels: Makes it of pixels.
        of_state: Makes it of the state's spec.

    Returns:
        What one of them made.

    Raises:
        ValueError: If there are neither frames of 64x64 nor a state.
    """
    if "pixels" in observation_spec:
        frame = observation_spec["pixels"].shape.as_list()
        if frame != [conv.IMAGE_SIZE, conv.IMAGE_SIZE, 3]:
            raise ValueError(f"frames of shape {frame}, expected [64, 64, 3]: set the environment's image_size = 64")
        return of_pixels()
    if "state" not in observation_spec:
        raise ValueError(
            f"observation holds {sorted(observation_spec)}, expected 'pixels' or 'state': set the environment's "
            "observations = ('pixels',) or ('state',)"
        )
    return of_state(observation_spec["state"])


def at(
    representation: Representation,
    observations: Mapping[str, tf.Tensor],
    step_types: tf.Tensor,
    step: tf.Tensor,
) -> tf.Tensor:
    """What is seen at one step of each window, as it would have been seen then.

    Args:
        representation: Of the observations.
        observations: `[B, W, …]` each.
        step_types: `[B, W] int32`.
        step: `[B] int32`, at least `representation.length - 1`.

    Returns:
        `[B, size] float32`.
    """
    steps = masks.history_steps(step_types, step, representation.length)
    return representation(tf.gather(observations[representation.observation], steps, axis=1, batch_dims=1))
