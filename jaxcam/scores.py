"""Everything that is said about the predictions of one image set, each number with its interval, and as JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxcam import calibration, metrics, resampling
from jaxcam.calibration import Reliability, Temperature

WHOLE_MATRIX = 100
"""classes up to which the JSON holds the whole confusion matrix; above it the cells that are not zero"""


@dataclass(frozen=True)
class Number:
    """A number with the ends of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """`{"value": ..., "interval": [low, high]}`, None for what is not defined."""
        low, high = _finite(self.low), _finite(self.high)
        return {"value": _finite(self.value), "interval": None if low is None or high is None else [low, high]}


@dataclass(frozen=True)
class ClassScores:
    """What is said about one class."""

    name: str
    images: int
    """pictures of this class (the support)"""
    right: int
    predicted: int
    """pictures taken for this class"""
    recall: Number
    """share of its pictures that is right"""
    misclassified: Number
    """1 - recall"""
    precision: Number
    f1: Number

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        shares = {name: getattr(self, name).to_json() for name in ("recall", "misclassified", "precision", "f1")}
        return {
            "class": self.name, "support": self.images, "right": self.right, "predicted": self.predicted, **shares
        }  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """Whether the probabilities mean what they say."""

    error: Number
    """expected calibration error, 15 bins of equal width"""
    adaptive_error: float
    """the same with 15 bins of about equally many images"""
    largest_error: float
    by_chance: tuple[float, float]
    """mean and 95 % point of the error that true probabilities give with as many images"""
    confidence: float
    """mean probability of the predicted class"""
    diagram: Reliability

    def to_json(self) -> dict[str, Any]:
        """JSON values; the reliability diagram as a list of bins."""
        shown = self.diagram
        bins = [
            {
                "low": float(shown.edges[b]), "high": float(shown.edges[b + 1]), "images": int(shown.count[b]),
                "right": int(shown.right[b]), "confidence": _finite(shown.confidence[b]),
                "accuracy": share(int(shown.right[b]), int(shown.count[b])).to_json(),
            }
            for b in range(len(shown.count))
        ]  # fmt: skip
        return {
            "expected_calibration_error": self.error.to_json(),
            "adaptive_calibration_error": _finite(self.adaptive_error),
            "maximum_calibration_error": _finite(self.largest_error),
            "error_of_true_probabilities": dict(zip(("mean", "95 % point"), map(_finite, self.by_chance), strict=True)),
            "mean_confidence": _finite(self.confidence),
            "reliability": bins,
        }


@dataclass(frozen=True)
class Scores:
    """The numbers of one image set; only images of known classes with finite logits are counted."""

    class_names: tuple[str, ...]
    matrix: np.ndarray
    accuracy: Number
    balanced_accuracy: Number
    macro_f1: Number
    loss: Number
    """mean cross-entropy in nats"""
    brier: Number
    """0 to 2"""
    calibration: Calibration
    classes: tuple[ClassScores, ...]

    @property
    def images(self) -> int:
        """How many images are counted."""
        return int(self.matrix.sum())

    @property
    def worst(self) -> ClassScores | None:
        """The class with the lowest recall; None without images. Its interval does not know that it was picked."""
        held = [found for found in self.classes if found.images]
        return min(held, key=lambda found: found.recall.value, default=None)

    @property
    def majority_share(self) -> float:
        """Accuracy of always answering the most frequent class."""
        return metrics.majority_share(self.matrix)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        worst, whole = self.worst, len(self.class_names) <= WHOLE_MATRIX
        cells = [[int(a), int(b), int(self.matrix[a, b])] for a, b in np.argwhere(self.matrix)]
        return {
            "images": self.images,
            "accuracy": self.accuracy.to_json(),
            "balanced_accuracy": self.balanced_accuracy.to_json(),
            "worst_class": None if worst is None else {"class": worst.name, **worst.recall.to_json()},
            "majority_share": _finite(self.majority_share),
            "macro_f1": self.macro_f1.to_json(),
            "loss": self.loss.to_json(),
            "brier": self.brier.to_json(),
            "per_class": [found.to_json() for found in self.classes],
            "confusion": {
                "rows": "true class",
                "columns": "predicted class",
                "classes": list(self.class_names),
                "counts": self.matrix.tolist() if whole else None,
                "rates": [[_finite(x) for x in row] for row in metrics.rates(self.matrix)] if whole else None,
                "cells": None if whole else cells,
            },
            "calibration": self.calibration.to_json(),
        }


def share(part: int, whole: int) -> Number:
    """A share with its Wilson interval; nothing but NaN of nothing."""
    return Number(part / whole, *metrics.wilson(part, whole)) if whole else Number(np.nan, np.nan, np.nan)


def score(
    logits: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    class_names: tuple[str, ...],
    *,
    seed: int = 0,
    resamples: int = resampling.RESAMPLES,
) -> Scores:
    """The numbers of finite logits and known labels (0..k-1).

    Intervals at 95 %: Wilson's for shares, put together for balanced accuracy (`metrics.balanced_interval`), by its
    share for F1 (`metrics.f1_interval`), and the stratified bootstrap's for the other numbers.
    """
    predicted = logits.argmax(1)
    matrix = metrics.confusion_matrix(labels, predicted, len(class_names))
    probabilities, loss = calibration.softmax(logits), calibration.losses(logits, labels)
    drawn = _drawn(probabilities, loss, labels, predicted, matrix, seed, resamples)
    return Scores(
        class_names,
        matrix,
        accuracy=share(int(np.trace(matrix)), len(labels)),
        balanced_accuracy=Number(metrics.balanced_accuracy(matrix), *_unless_empty(matrix)),
        macro_f1=drawn.macro_f1,
        loss=drawn.loss,
        brier=drawn.brier,
        calibration=drawn.calibration,
        classes=tuple(_class_scores(matrix, index, name) for index, name in enumerate(class_names)),
    )


@dataclass(frozen=True)
class _Drawn:
    """The numbers whose intervals come from the bootstrap: one set of samples for all."""

    macro_f1: Number
    loss: Number
    brier: Number
    calibration: Calibration


def _drawn(
    probabilities: Float[np.ndarray, "n k"],
    loss: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    matrix: Int[np.ndarray, "k k"],
    seed: int,
    resamples: int = resampling.RESAMPLES,
) -> _Drawn:
    """Numbers of `matrix`, of the losses, and of the probabilities of the predicted classes.

    The interval of the calibration error is the percentiles' mirrored at the error itself (the basic bootstrap:
    sampling has added to the error already what resampling adds once more). It reaches down to 0 where true
    probabilities would give as large an error in one of twenty sets, and up to where the accuracy's own interval leads.
    """
    count, size = len(labels), len(matrix)
    confidence = probabilities[np.arange(count), predicted]
    diagram = calibration.reliability(confidence, predicted == labels)
    brier, chance = calibration.brier_scores(probabilities, labels), calibration.error_by_chance(confidence, seed=seed)
    place, gap = calibration.bin_of(confidence), (predicted == labels) - confidence
    values = np.stack([loss, brier])

    def statistic(rows: np.ndarray) -> np.ndarray:
        chosen, given = labels[rows], predicted[rows]
        # Not from a matrix: for a thousand classes it would be a million cells a sample.
        totals = np.bincount(chosen, minlength=size) + np.bincount(given, minlength=size)
        hits = np.bincount(chosen[chosen == given], minlength=size)
        f1 = (2 * hits[totals > 0] / totals[totals > 0]).mean()
        return np.array([f1, *values[:, rows].mean(1), calibration.binned_error(place[rows], gap[rows])])

    ends = np.full((4, 2), np.nan)
    if count > 1:
        ends = resampling.intervals(labels, statistic, seed=seed, resamples=resamples)
    if count and np.trace(matrix) == count:
        # Samples of answers that are all right are all right: Wilson's interval of the accuracy says more.
        ends[0] = metrics.wilson(count, count)
    if count > 1:
        low, high = np.clip(2 * diagram.error - ends[3, ::-1], 0, 1)
        # The error is never below |accuracy - mean confidence|, which is known no better than the accuracy.
        apart = np.abs(np.array(metrics.wilson(int(np.trace(matrix)), count)) - confidence.mean()).max()
        ends[3] = 0 if diagram.error <= chance[1] else min(low, diagram.error), max(high, diagram.error, apart)
    means = values.mean(1) if count else (np.nan, np.nan)
    return _Drawn(
        Number(metrics.macro_f1(matrix), *ends[0].tolist()),
        Number(float(means[0]), *ends[1].tolist()),
        Number(float(means[1]), *ends[2].tolist()),
        Calibration(
            Number(diagram.error, *ends[3].tolist()),
            calibration.reliability(confidence, predicted == labels, adaptive=True).error,
            diagram.largest,
            chance,
            float(confidence.mean()) if count else np.nan,
            diagram,
        ),
    )


def temperature_scores(
    found: Temperature, logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"], *, own: bool, seed: int = 0
) -> tuple[dict[str, Any], Reliability]:
    """What dividing by a temperature does to a set's calibration: JSON values, and the diagram afterwards.

    `own`: the temperature was fitted on these very images. Then "after" is made by cross-fitting: the temperature of
    each image is fitted on the others.
    """
    shares = calibration.cross_fitted(logits, labels, seed=seed) if own else calibration.softmax(logits, found.value)
    predicted = logits.argmax(1)
    matrix = metrics.confusion_matrix(labels, predicted, logits.shape[1])
    loss = -np.log(np.maximum(shares[np.arange(len(labels)), labels], np.finfo(np.float64).tiny))
    after = _drawn(shares, loss, labels, predicted, matrix, seed)
    return {
        "value": found.value,
        "interval": None if np.isnan(found.low) else [found.low, found.high],
        "fitted_on": {"images": found.count, "mistakes": found.mistakes},
        "caution": found.caution,
        "after": {
            "made_by": f"cross-fitting in {calibration.FOLDS} folds" if own else "another set's temperature",
            "expected_calibration_error": after.calibration.error.to_json(),
            "loss": after.loss.to_json(),
            "brier": after.brier.to_json(),
            "mean_confidence": _finite(after.calibration.confidence),
        },
    }, after.calibration.diagram


def _unless_empty(matrix: np.ndarray) -> tuple[float, float]:
    return metrics.balanced_interval(matrix) if matrix.any() else (np.nan, np.nan)


def _class_scores(matrix: np.ndarray, index: int, name: str) -> ClassScores:
    images, right, taken = int(matrix[index].sum()), int(matrix[index, index]), int(matrix[:, index].sum())
    low, high = metrics.f1_interval(matrix, index)
    f1 = 2 * right / (images + taken) if images + taken else np.nan
    return ClassScores(
        name,
        images,
        right,
        taken,
        recall=share(right, images),
        misclassified=share(images - right, images),
        precision=share(right, taken),
        f1=Number(f1, low, high) if images + taken else Number(np.nan, np.nan, np.nan),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
