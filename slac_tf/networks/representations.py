"""What an actor or a critic sees of the past."""

import tensorflow as tf

from slac_tf.networks import conv
from slac_tf.utils import images, masks


class FeatureHistory(tf.Module):
    """The features of the last frames and the actions between them, as one vector.

    The encoder is shared with the latent model, which trains it; whoever reads a history treats the
    features as given (Appendix B: the convolutional layers are not updated by the actor objective).
    """

    def __init__(self, encoder: conv.Encoder, action_size: int, length: int, name: str = "feature_history"):
        """Constructor.

        Args:
            encoder: Frames to features.
            action_size: A.
            length: H, the number of frames; there are H-1 actions.
            name: Name.
        """
        super().__init__(name=name)
        self.length = length
        self.feature_size = encoder.feature_size
        self.action_size = action_size
        self.size = length * encoder.feature_size + (length - 1) * action_size
        self._encoder = encoder

    def encode(self, frames: tf.Tensor) -> tf.Tensor:
        """Features of frames.

        Args:
            frames: `[…, 64, 64, 3] uint8`.

        Returns:
            `[…, F] float32`.
        """
        return self._encoder(images.to_float(frames))

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
