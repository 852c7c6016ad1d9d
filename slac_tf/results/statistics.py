"""What several seeds say together: mean or interquartile mean, with a bootstrap interval."""

import itertools
from typing import Callable, Sequence, Tuple

import numpy as np

_CONFIDENCE = 0.95
_MOST_SEEDS_IN_FULL = 5  # 5**5 = 3125 resamples
_RESAMPLES = 5000


def mean(values: np.ndarray) -> np.ndarray:
    """The mean of the last axis, `[..., S]` to `[...]`."""
    return values.mean(axis=-1)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half: a quarter, rounded down, is left out at either end (Agarwal et al. 2021).

    Args:
        values: `[..., S]`; up to 3 of them are all kept.

    Returns:
        `[...]`.
    """
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


STATISTICS = {"mean": mean, "iqm": interquartile_mean}


def interval(values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Tuple[float, float]:
    """The 95 % percentile interval of the bootstrap over seeds.

    Seeds are drawn within one task and never across tasks, as in the stratified bootstrap of Agarwal et al. (2021,
    arXiv:2108.13264). Up to 5 seeds, every possible resample is taken, which leaves nothing to chance; beyond, 5000 are
    drawn from a fixed seed.

    Args:
        values: `[S] float64`, one a seed.
        statistic: `[R, S]` to `[R]`.

    Returns:
        Lower and upper end; nan where there is one seed only.
    """
    size = len(values)
    if size < 2:
        return float("nan"), float("nan")
    if size <= _MOST_SEEDS_IN_FULL:
        drawn = np.array(list(itertools.product(range(size), repeat=size)))
    else:
        drawn = np.random.default_rng(0).integers(size, size=(_RESAMPLES, size))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(statistic(values[drawn]), [tail, 1 - tail])  # drawn: [R, S]
    return float(low), float(high)


def over_seeds(
    env_steps: Sequence[np.ndarray], returns: Sequence[np.ndarray], statistic: str
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One curve from the curves of several seeds, which may have unequal lengths.

    Each point is over the seeds that reached it. A step at which a seed that went further has no evaluation, because
    another one stopped there, is left out.

    Args:
        env_steps: `[N_s] int64` a seed, increasing.
        returns: `[N_s] float64` a seed.
        statistic: A key of `STATISTICS`.

    Returns:
        Env steps `[N] int64`, the statistic `[N] float64`, lower and upper end of its interval `[N] float64`, nan where
        one seed is left, and the number of seeds `[N] int64`.
    """
    seeds = [dict(zip(steps.tolist(), values.tolist())) for steps, values in zip(env_steps, returns)]
    kept, centres, lows, highs, counts = [], [], [], [], []
    for step in sorted(set().union(*seeds)):
        there = np.array([seed[step] for seed in seeds if step in seed])
        if len(there) < sum(step <= max(seed) for seed in seeds):
            continue
        low, high = interval(there, STATISTICS[statistic])
        kept.append(step)
        centres.append(float(STATISTICS[statistic](there)))
        lows.append(low)
        highs.append(high)
        counts.append(len(there))
    return np.array(kept, np.int64), np.array(centres), np.array(lows), np.array(highs), np.array(counts, np.int64)
