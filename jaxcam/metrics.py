"""Numbers that sum up predictions: accuracy, its interval, confusion matrix, balanced accuracy. NumPy only.

Labels and predictions are class indices (n,); rows with a label below zero (unknown class) or a prediction below zero
(unreadable image) count nowhere.
"""

from statistics import NormalDist

import numpy as np
from jaxtyping import Float64, Int, Int64


def wilson(correct: int, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share `correct / count` (Wilson 1927, without continuity correction).

    Unlike share ± 1.96 standard errors it stays inside 0..1 and has a width at 0 % and 100 %. Without any case it is
    (0, 1). Raises ValueError for a count that cannot be.

    >>> [round(end, 3) for end in wilson(8, 8)]
    [0.676, 1.0]
    """
    if not (0 <= correct <= count and 0 < confidence < 1):
        raise ValueError(f"got {correct} of {count} at {confidence}; there is no such share")
    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = correct / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / weight
    half = z / weight * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    # At the ends the formula gives 0 and 1 exactly, floating point nearly.
    return 0.0 if correct == 0 else centre - half, 1.0 if correct == count else centre + half


def confusion_matrix(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int
) -> Int64[np.ndarray, "k k"]:
    """How often an image of the row's class was taken for the column's.

    Raises ValueError for an index past the classes.
    """
    counted = (labels >= 0) & (predicted >= 0)
    rows, columns = labels[counted].astype(np.int64), predicted[counted].astype(np.int64)
    if rows.size and max(rows.max(), columns.max()) >= classes:
        raise ValueError(f"got class {max(rows.max(), columns.max())}; there are {classes}, counted from 0")
    return np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def recalls(matrix: Int[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Share of each class' images that are right; NaN for a class without images."""
    totals = matrix.sum(1)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def balanced_accuracy(matrix: Int[np.ndarray, "k k"]) -> float:
    """Mean recall over the classes that have images; NaN where there is none."""
    found = recalls(matrix)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def majority_share(matrix: Int[np.ndarray, "k k"]) -> float:
    """Accuracy of always answering the most frequent class; NaN without images."""
    total = int(matrix.sum())
    return int(matrix.sum(1).max()) / total if total else float("nan")
