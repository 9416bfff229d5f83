"""Intervals by drawing the images anew: the stratified bootstrap, for numbers that no formula has an interval for."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int, Int64

RESAMPLES = 1000
_WORK = 2e7


def strata(labels: Int[np.ndarray, " n"]) -> Callable[[np.random.Generator], Int64[np.ndarray, " n"]]:
    """A function that draws rows with replacement, as many of each class as there are.

    Classes of a single row are drawn together: alone, each would always be drawn, as if it were certain.
    """
    codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    codes = np.where(sizes[codes] == 1, -1, codes)
    order = np.argsort(codes, kind="stable")
    counts = np.unique(codes[order], return_counts=True)[1]
    sizes, starts = np.repeat(counts, counts), np.repeat(np.cumsum(counts) - counts, counts)
    return lambda generator: order[starts + generator.integers(0, sizes)]


def intervals(
    labels: Int[np.ndarray, " n"],
    statistic: Callable[[Int64[np.ndarray, " n"]], Float64[np.ndarray, " m"]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> Float64[np.ndarray, "m 2"]:
    """Percentile intervals (Efron 1979) of m numbers that `statistic` computes from rows.

    Every class keeps its number of images (stratified), so a small class cannot vanish from a sample. Large sets get
    fewer resamples, 200 at least. The same seed gives the same intervals. Raises ValueError without rows.
    """
    if not len(labels):
        raise ValueError("there are no rows to draw from")
    generator, draw = np.random.default_rng(seed), strata(labels)
    count = int(np.clip(_WORK / len(labels), min(200, resamples), resamples))
    drawn = np.stack([statistic(draw(generator)) for _ in range(count)])
    half = 50 * (1 - confidence)
    return np.percentile(drawn, (half, 100 - half), axis=0).T
