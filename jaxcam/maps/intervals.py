"""Means over images with 95 % intervals. NumPy only; NaN is what is not defined and counts nowhere."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxcam import metrics

_PART = 2**22


@dataclass(frozen=True)
class Estimate:
    """A mean over images."""

    mean: float
    low: float
    high: float
    """ends of the 95 % interval; NaN below two images"""
    count: int
    """images that count"""
    undefined: int = 0
    """images for which the number is not defined"""


def estimate(values: Float[np.ndarray, " n"], *, share: bool = False, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean with its interval: the bootstrap's over images, or for a `share` of zeros and ones Wilson's.

    >>> estimate(np.array([1.0, 0.0, np.nan])).count
    2
    """
    defined = np.asarray(values, np.float64)[np.isfinite(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return Estimate(np.nan, np.nan, np.nan, 0, undefined)
    mean = float(defined.mean())
    if share and np.isin(defined, (0.0, 1.0)).all():
        low, high = metrics.wilson(int(defined.sum()), len(defined))
    elif len(defined) < 2:
        low = high = np.nan
    else:
        low, high = bootstrap(defined, resamples=resamples, seed=seed)
    return Estimate(mean, low, high, len(defined), undefined)


def bootstrap(values: Float[np.ndarray, " n"], *, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean: percentiles of the means of `resamples` samples with replacement (Efron, 1979)."""
    generator = np.random.default_rng(seed)
    means = []
    part = max(1, _PART // len(values))
    for start in range(0, resamples, part):
        chosen = generator.integers(0, len(values), (min(part, resamples - start), len(values)))
        means.append(values[chosen].mean(1))
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def paired(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], *, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of first - second over the images where both are defined, with the bootstrap's interval."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    defined = difference[np.isfinite(difference)]
    if len(defined) < 2:
        mean = float(defined.mean()) if len(defined) else np.nan
        return Estimate(mean, np.nan, np.nan, len(defined), len(difference) - len(defined))
    low, high = bootstrap(defined, resamples=resamples, seed=seed)
    return Estimate(float(defined.mean()), low, high, len(defined), len(difference) - len(defined))
