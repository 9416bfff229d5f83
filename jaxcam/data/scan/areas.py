"""The area under the ROC curve of one number against each class, with what chance gives (Mann and Whitney, 1947)."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Num

FEW = 8
"""pictures of one side up to which the exact distribution is used instead of the normal one"""


class Areas(NamedTuple):
    """AUC of every column for every class against all others; NaN where a class is empty or alone."""

    area: Float64[np.ndarray, "p k"]
    """share of pairs in which the picture of the class has the larger value, ties count half; 0.5: nothing told"""
    spread: Float64[np.ndarray, "p k"]
    """standard deviation of `area` if the labels were dealt out at random, corrected for ties"""

    @property
    def told(self) -> Float64[np.ndarray, "p k"]:
        """The larger of `area` and 1 - `area`."""
        return np.maximum(self.area, 1 - self.area)

    @property
    def score(self) -> Float64[np.ndarray, "p k"]:
        """Standard deviations from chance."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.spread > 0, np.abs(self.area - 0.5) / self.spread, 0.0)


def class_areas(values: Num[np.ndarray, "n p"], codes: Int[np.ndarray, " n"], classes: int) -> Areas:
    """Areas of columns without missing values; `codes` are classes from 0, `classes` their number.

    >>> found = class_areas(np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0, 0, 1, 1]), 2)
    >>> found.area.tolist()
    [[0.0, 1.0]]
    """
    from scipy.stats import rankdata

    count, columns = values.shape
    ranks = rankdata(values, axis=0)
    own = np.bincount(codes, minlength=classes).astype(np.float64)
    sums = np.zeros((classes, columns))
    np.add.at(sums, codes, ranks)
    others = count - own
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (sums - (own * (own + 1) / 2)[:, None]) / (own * others)[:, None]
        ties = np.array([_ties(values[:, column]) for column in range(columns)])
        room = np.maximum((count + 1) - ties / max(1, count * (count - 1)), 0)
        spread = np.sqrt(room[None] / (12 * own * others)[:, None])
    return Areas(area.T, spread.T)


def _ties(column: Num[np.ndarray, " n"]) -> float:
    counts = np.unique(column, return_counts=True)[1].astype(np.float64)
    return float((counts**3 - counts).sum())


def chance_of(values: Num[np.ndarray, " n"], is_class: np.ndarray, score: float) -> float:
    """Probability of an area as far from one half if the value told nothing: two-sided, exact for few without ties."""
    from scipy.stats import mannwhitneyu, norm

    ones = int(is_class.sum())
    if 0 < min(ones, len(values) - ones) <= FEW and len(np.unique(values)) == len(values):
        return float(mannwhitneyu(values[is_class], values[~is_class], method="exact").pvalue)
    return float(2 * norm.sf(score))


def interval(area: float, ones: int, others: int) -> tuple[float, float]:
    """95 % interval of an area (Hanley and McNeil, 1982), never narrower than one changed pair's row leaves it.

    >>> [round(end, 3) for end in interval(0.8, 29, 29)]
    [0.685, 0.915]
    """
    if not (ones and others and math.isfinite(area)):
        return 0.0, 1.0
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area) + (ones - 1) * (first - area**2) + (others - 1) * (second - area**2)
    error = max(1.96 * math.sqrt(max(variance, 0) / (ones * others)), 1 / (ones + others))
    return max(0.0, area - error), min(1.0, area + error)
