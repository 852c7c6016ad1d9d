"""What DVRL's actor and critic see: the belief of a particle filter, or, to compare with it, one observation alone."""

from typing import Any, Dict, Mapping, Sequence

import gin
import tensorflow as tf

from slac_tf.agents.dvrl import networks
from slac_tf.losses import particle_filter
from slac_tf.networks import representations
from slac_tf.utils import checks


@gin.configurable
class ParticleBelief(tf.Module):
    """K weighted particles of a memory h and a latent z (Igl et al. 2018, Sections 3.1 and 3.2).

        resampled h' ~ w_{t-1}            systematic, without a gradient
        z_t ~ q(z | x_t, h', a_{t-1})     proposal
        h_t = GRU(x_t, z_t, a_{t-1}; h')
        w_t = p(z_t | h', a_{t-1}) p(x_t | z_t, h', a_{t-1}) / q(z_t | ·)

    Actor and critic see the last state of a GRU over all (h, z, w).
    """

    @checks.checked
    def __init__(
        self,
        observation_spec: Any,
        action_size: int,
        num_particles: checks.Count = 15,
        latent_size: checks.Count = 256,
        memory_size: checks.Count = 256,
        action_features: checks.Count = 128,
        base_depth: checks.Count = 32,
        state_hidden_sizes: checks.Sizes = (64, 64),
    ):
        """Constructor.

        Args:
            observation_spec: Of `'pixels'`, `[64, 64, 3] uint8`, or else `'state'`, `[S] float32`.
            action_size: A.
            num_particles: K.
            latent_size: Of z.
            memory_size: Of h, of features of z, of hidden layers and of what actor and critic see.
            action_features: Of the action.
            base_depth: Channels of the first convolution on pixels.
            state_hidden_sizes: Layers on the state.

        Raises:
            ValueError: If the observation holds neither, or a setting is of another type or out of range.
        """
        super().__init__(name="particle_belief")
        self._observer = _make_observer(observation_spec, base_depth, state_hidden_sizes)
        self._action = networks.dense(action_features)
        self._latent = networks.dense(memory_size)
        self._proposal = networks.GaussianHead((memory_size,), latent_size)
        self._prior = networks.GaussianHead((memory_size,), latent_size)
        self._memory = tf.keras.layers.GRUCell(memory_size)
        self._summary = tf.keras.layers.GRUCell(memory_size)
        self._num_particles = num_particles
        self._latent_size = latent_size
        self.size = memory_size
        self.state_spec = {
            "memory": tf.TensorSpec([num_particles, memory_size], tf.float32),
            "latent": tf.TensorSpec([num_particles, latent_size], tf.float32),
            "log_weights": tf.TensorSpec([num_particles], tf.float32),
        }
        _build(self, observation_spec, action_size)

    def encode(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Features of observations, `[N, F] float32`."""
        return self._observer.encode(observation[self._observer.observation])

    def noise(self, seeds: tf.Tensor) -> Dict[str, tf.Tensor]:
        """The offset of resampling and the latents' noise, the same for the same seed.

        Args:
            seeds: `[N, 2] int32`.

        Returns:
            `'offset'`, uniform, `[N] float32`; `'latent'`, normal, `[N, K, Z] float32`.
        """

        def draw(seed: tf.Tensor) -> Dict[str, tf.Tensor]:
            # Another seed for the offset: one seed would give both from the same bits.
            return {
                "offset": tf.random.stateless_uniform([], seed ^ 1),
                "latent": tf.random.stateless_normal([self._num_particles, self._latent_size], seed),
            }

        return tf.map_fn(draw, seeds, fn_output_signature={"offset": tf.float32, "latent": tf.float32})

    def update(
        self,
        state: Dict[str, tf.Tensor],
        action: tf.Tensor,
        feature: tf.Tensor,
        observation: Mapping[str, tf.Tensor],
        noise: Dict[str, tf.Tensor],
    ) -> "tuple[Dict[str, tf.Tensor], tf.Tensor]":
        """One step of the filter.

        Args:
            state: The belief before, as `state_spec` with a batch dimension.
            action: a_{t-1}, `[N, A] float32`.
            feature: Of the observation, `[N, F] float32`.
            observation: x_t.
            noise: As `noise` gives it.

        Returns:
            The belief after it, and the estimate of log p(x_t | x_{1:t-1}, a_{1:t-1}), `[N] float32`.
        """
        survivors = particle_filter.systematic_indices(tf.nn.softmax(state["log_weights"]), noise["offset"])
        memory = tf.gather(state["memory"], survivors, batch_dims=1)  # [N, K, H]
        acted, seen = self._each(self._action(action)), self._each(feature)
        proposal = self._proposal(seen, memory, acted)
        prior = self._prior(memory, acted)
        latent = proposal.mean + tf.sqrt(proposal.variance) * noise["latent"]
        explained = self._latent(latent)
        log_likelihood = self._observer.log_prob(
            observation[self._observer.observation], tf.concat([explained, memory, acted], axis=-1)
        )
        log_weights = particle_filter.step_log_weights(
            prior.log_prob(latent), proposal.log_prob(latent), log_likelihood
        )
        inputs = _rows(tf.concat([seen, explained, acted], axis=-1))  # [N, K, I] -> [N K, I]
        remembered = tf.reshape(self._memory(inputs, [_rows(memory)])[0], tf.shape(memory))
        after = {"memory": tf.ensure_shape(remembered, memory.shape), "latent": latent, "log_weights": log_weights}
        return after, particle_filter.log_mean_exp(log_weights)

    def _each(self, values: tf.Tensor) -> tf.Tensor:
        """`[N, I]` to `[N, K, I]`, the same for each particle."""
        return tf.repeat(values[:, tf.newaxis], self._num_particles, axis=1)

    def vector(self, state: Dict[str, tf.Tensor]) -> tf.Tensor:
        """The particles as one vector.

        Args:
            state: As `state_spec` with a batch dimension.

        Returns:
            `[N, size] float32`.
        """
        weights = tf.nn.softmax(state["log_weights"])[..., tf.newaxis]
        particles = tf.concat([state["memory"], self._latent(state["latent"]), weights], axis=-1)  # [N, K, 2 H + 1]
        summary = tf.zeros_like(state["memory"][:, 0])
        for particle in tf.unstack(particles, axis=1):
            summary, _ = self._summary(particle, [summary])
        return summary


@gin.configurable
class ObservationBelief(tf.Module):
    """Features of the current observation, no memory and no model: what a policy can do that remembers nothing."""

    @checks.checked
    def __init__(
        self,
        observation_spec: Any,
        action_size: int,
        size: checks.Count = 256,
        base_depth: checks.Count = 32,
        state_hidden_sizes: checks.Sizes = (64, 64),
    ):
        """Constructor.

        Args:
            observation_spec: As `ParticleBelief` takes it.
            action_size: A.
            size: Of the layer between features and what actor and critic see, and of that.
            base_depth: Channels of the first convolution on pixels.
            state_hidden_sizes: Layers on the state.

        Raises:
            ValueError: If the observation holds neither, or a setting is of another type or out of range.
        """
        super().__init__(name="observation_belief")
        self._observer = _make_observer(observation_spec, base_depth, state_hidden_sizes)
        self._layer = networks.dense(size)
        self.size = size
        self.state_spec = {"vector": tf.TensorSpec([size], tf.float32)}
        _build(self, observation_spec, action_size)

    def encode(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Features of observations, `[N, F] float32`."""
        return self._observer.encode(observation[self._observer.observation])

    def noise(self, seeds: tf.Tensor) -> tf.Tensor:
        """None is needed: the seeds as they are."""
        return seeds

    def update(
        self,
        state: Dict[str, tf.Tensor],
        action: tf.Tensor,
        feature: tf.Tensor,
        observation: Mapping[str, tf.Tensor],
        noise: tf.Tensor,
    ) -> "tuple[Dict[str, tf.Tensor], tf.Tensor]":
        """Forgets all but the newest features; the evidence is 0."""
        del state, action, observation, noise
        return {"vector": self._layer(feature)}, tf.zeros_like(feature[:, 0])

    def vector(self, state: Dict[str, tf.Tensor]) -> tf.Tensor:
        """`[N, size] float32`."""
        return state["vector"]


def _rows(particles: tf.Tensor) -> tf.Tensor:
    """`[N, K, I]` to `[N K, I]`."""
    return tf.reshape(particles, [-1, particles.shape[-1]])


def _make_observer(
    observation_spec: Mapping[str, tf.TensorSpec], base_depth: int, state_hidden_sizes: Sequence[int]
) -> Any:
    return representations.represent(
        observation_spec,
        lambda: networks.PixelObserver(base_depth),
        lambda spec: networks.StateObserver(spec.shape.num_elements(), state_hidden_sizes),
    )


def _build(belief: Any, observation_spec: Mapping[str, tf.TensorSpec], action_size: int) -> None:
    """Makes all weights."""
    observation = {name: tf.zeros([1, *spec.shape], spec.dtype) for name, spec in observation_spec.items()}
    state = {name: tf.zeros([1, *spec.shape], spec.dtype) for name, spec in belief.state_spec.items()}
    noise = belief.noise(tf.zeros([1, 2], tf.int32))
    after, _ = belief.update(state, tf.zeros([1, action_size]), belief.encode(observation), observation, noise)
    belief.vector(after)
