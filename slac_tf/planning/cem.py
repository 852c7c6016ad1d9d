"""The cross-entropy method, over any rollout: in a graph with a latent model, eagerly with the simulator."""

import dataclasses
from typing import Any, Callable, NamedTuple, Optional, Union

import gin
import tensorflow as tf

from slac_tf.utils import checks, seeds

_LEAST_VARIANCE = 1e-6


@gin.configurable
@dataclasses.dataclass(frozen=True)
class CemSettings:
    """How a plan is looked for. The defaults are those of Hafner et al. (2019), "Learning latent dynamics …", App. A.

    Attributes:
        horizon: H, agent steps of a plan.
        iterations: I, how often the distribution of plans is refitted; 0 gives the plan that it begins with.
        candidates: J, plans that are drawn in each iteration.
        elites: K, the best of them, to which the distribution is refitted.
        warm_start: Whether a plan begins with what the plan before has left, which makes up for few candidates.
            Hafner et al. begin with zeros.
    """

    horizon: int = 12
    iterations: int = 10
    candidates: int = 1000
    elites: int = 100
    warm_start: bool = False

    def __post_init__(self) -> None:
        where = type(self).__name__
        checks.counts(where, horizon=self.horizon, candidates=self.candidates, elites=self.elites)
        checks.whole_numbers(where, iterations=self.iterations)
        checks.booleans(where, warm_start=self.warm_start)
        if self.elites > self.candidates:
            raise ValueError(f"{where}.elites: {self.elites}, expected at most candidates {self.candidates}")


class Plan(NamedTuple):
    """The distribution of plans after the last iteration.

    Attributes:
        mean: `[B, H, A] float32` in [-1, 1]; its first action is the one to take.
        std: Standard deviations, `[B, H, A] float32`.
    """

    mean: tf.Tensor
    std: tf.Tensor


def optimize(
    evaluate: Callable[[tf.Tensor], Any],
    settings: CemSettings,
    *,
    batch_size: Union[int, tf.Tensor],
    action_size: int,
    first_mean: Optional[tf.Tensor] = None,
) -> Plan:
    """Looks for the actions of the largest return, for each environment of a batch on its own.

    Algorithm 2 of Hafner et al. (2019). The answer is the mean of the elites, not the best candidate: where returns
    are noisy, the best one is the luckiest. Called eagerly this is a Python loop, and `evaluate` may compute with
    NumPy; inside of a `tf.function` it is one loop in the graph.

    Args:
        evaluate: Takes candidates, `[B, J, H, A] float32` in [-1, 1]; returns what each is worth, `[B, J]`, finite.
        settings: H, I, J and K.
        batch_size: B.
        action_size: A.
        first_mean: The mean of the first candidates, `[B, H, A] float32`; zeros where None.

    Returns:
        The plan.
    """
    shape = [batch_size, settings.horizon, action_size]
    mean = tf.zeros(shape) if first_mean is None else tf.convert_to_tensor(first_mean, tf.float32)

    def refit(mean: tf.Tensor, std: tf.Tensor) -> Plan:
        size = [batch_size, settings.candidates, settings.horizon, action_size]
        noise = tf.random.normal(size, seed=seeds.of_draw())
        # Refitted to what is really carried out, hence clipped here and not in `evaluate`.  [B, J, H, A]
        candidates = tf.clip_by_value(mean[:, tf.newaxis] + std[:, tf.newaxis] * noise, -1.0, 1.0)
        best = tf.math.top_k(evaluate(candidates), settings.elites, sorted=False).indices  # [B, K]
        elites = tf.gather(candidates, best, batch_dims=1)  # [B, K, H, A]
        mean, variance = tf.nn.moments(elites, axes=[1])  # [B, H, A]; the population's, divided by K
        return Plan(mean, tf.sqrt(variance + _LEAST_VARIANCE))

    plan = tf.while_loop(lambda *_: True, refit, Plan(mean, tf.ones_like(mean)), maximum_iterations=settings.iterations)
    return Plan(*plan)


def shifted(mean: tf.Tensor) -> tf.Tensor:
    """What a plan leaves for the next agent step: its actions but the first, then zeros.

    Args:
        mean: `[B, H, A] float32`.

    Returns:
        `[B, H, A] float32`, a `first_mean` of `optimize`.
    """
    return tf.concat([mean[:, 1:], tf.zeros_like(mean[:, :1])], axis=1)
