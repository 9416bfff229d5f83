"""Numbers that sum up predicted classes, with their intervals: confusion matrix, recall, precision, F1. NumPy only.

Labels and predictions are class indices (n,); rows with a label below zero (unknown class) or a prediction below zero
(unreadable image) count nowhere. The definitions are scikit-learn's, but what is not defined is NaN, not 0: the recall
of a class without images, the precision of a class that was never predicted.
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


def precisions(matrix: Int[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Share of the images taken for a class that are of it; NaN for a class that was never predicted."""
    totals = matrix.sum(0)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def f1_scores(matrix: Int[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); NaN for a class nobody has or was given."""
    totals = matrix.sum(0) + matrix.sum(1)
    return np.divide(2 * np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def macro_f1(matrix: Int[np.ndarray, "k k"]) -> float:
    """Mean F1 over the classes that have images or were predicted; NaN where there is none."""
    found = f1_scores(matrix)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def rates(matrix: Int[np.ndarray, "k k"]) -> Float64[np.ndarray, "k k"]:
    """The confusion matrix with each row divided by its sum: what becomes of the images of a class. NaN without any.

    The diagonal is the recall. (Divided by the sums of the columns it would be the precision.)
    """
    totals = matrix.sum(1, keepdims=True)
    return np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)


def missed(matrix: Int[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Share of each class' images that is taken for another class: 1 - recall; NaN for a class without images.

    >>> [round(100 * float(share), 2) for share in missed(np.array([[290, 45, 18], [45, 3508, 196], [35, 364, 351]]))]
    [17.85, 6.43, 53.2]
    """
    return 1 - recalls(matrix)


def balanced_interval(matrix: Int[np.ndarray, "k k"], *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the balanced accuracy: the classes' Wilson intervals put together (MOVER, Zou and Donner 2008).

    The recalls are independent shares, so the distances from the mean to its two ends are the roots of the summed
    squares of the recalls' distances to theirs. Unlike the bootstrap's percentiles it has a width where every image is
    right, and it needs no random numbers. Without any image it is (0, 1).

    >>> [round(end, 3) for end in balanced_interval(np.array([[4, 0], [0, 4]]))]
    [0.654, 1.0]
    """
    totals = matrix.sum(1)
    present = np.flatnonzero(totals)
    if not present.size:
        return 0.0, 1.0
    shares = recalls(matrix)[present]
    ends = np.array([wilson(int(matrix[k, k]), int(totals[k]), confidence=confidence) for k in present])
    below, above = (float(np.sqrt(((end - shares) ** 2).sum()) / len(present)) for end in ends.T)
    centre = balanced_accuracy(matrix)
    return max(0.0, centre - below), min(1.0, centre + above)


def f1_interval(matrix: Int[np.ndarray, "k k"], index: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a class' F1: F1 = 2 J / (1 + J) for the share J = TP / (TP + FP + FN), which has Wilson's interval.

    The "Wilson indirect" method of Lam, Gopal and Qian (2023, arXiv 2309.14621). (0, 1) where F1 is not defined.
    """
    right = int(matrix[index, index])
    low, high = wilson(right, int(matrix[index].sum() + matrix[:, index].sum()) - right, confidence=confidence)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def majority_share(matrix: Int[np.ndarray, "k k"]) -> float:
    """Accuracy of always answering the most frequent class; NaN without images."""
    total = int(matrix.sum())
    return int(matrix.sum(1).max()) / total if total else float("nan")
