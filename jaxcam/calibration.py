"""Whether probabilities mean what they say: reliability, calibration error, Brier score, temperature scaling.

NumPy and SciPy, on the host, in float64. Arrays hold images of known classes only: logits (n, k), labels (n,) in
0..k-1.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy.optimize import brentq

BINS = 15
FOLDS = 5
FEW_MISTAKES = 10
"""below so many wrong images a temperature rests on too little to be believed"""


def softmax(logits: Float[np.ndarray, "n k"], temperature: float = 1.0) -> Float64[np.ndarray, "n k"]:
    """Probabilities of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    shifted = np.exp(scaled - scaled.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def losses(
    logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"], temperature: float = 1.0
) -> Float64[np.ndarray, " n"]:
    """Cross-entropy of each image, in nats; from the logits, so that no probability is rounded to zero."""
    scaled = logits.astype(np.float64) / temperature
    return np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(labels)), labels]


def brier_scores(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Squared distance of each image's probabilities from the answer, summed over all classes: 0 to 2 (Brier 1950).

    For two classes this is twice the number that other programs give for "the positive class" alone.
    """
    found = probabilities.astype(np.float64)
    own = found[np.arange(len(labels)), labels]
    return (found**2).sum(1) - own**2 + (1 - own) ** 2


@dataclass(frozen=True)
class Reliability:
    """The data of a reliability diagram: how often the predicted class is right, by how probable it was said to be."""

    edges: Float64[np.ndarray, " ends"]
    """ends of the bins, from 0 to 1; a bin holds its upper end"""
    count: Int64[np.ndarray, " b"]
    right: Int64[np.ndarray, " b"]
    confidence: Float64[np.ndarray, " b"]
    """mean probability of the predicted class; NaN in an empty bin"""

    @property
    def accuracy(self) -> Float64[np.ndarray, " b"]:
        """Share that is right; NaN in an empty bin."""
        return np.divide(self.right, self.count, out=np.full(len(self.count), np.nan), where=self.count > 0)

    @property
    def error(self) -> float:
        """Expected calibration error: the bins' |accuracy - confidence|, weighted by their images; NaN without any."""
        total = self.count.sum()
        return float(np.nansum(np.abs(self.accuracy - self.confidence) * self.count) / total) if total else np.nan

    @property
    def largest(self) -> float:
        """Maximum calibration error: the largest of the bins' differences; NaN without images."""
        return float(np.nanmax(np.abs(self.accuracy - self.confidence))) if self.count.any() else np.nan


def reliability(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], *, bins: int = BINS, adaptive: bool = False
) -> Reliability:
    """Sort images into bins by the probability of their predicted class (Naeini et al. 2015; Guo et al. 2017).

    Bins of equal width, each with its upper end; or `adaptive`: of about equally many images (Nixon et al. 2019), where
    images of one confidence stay together, so that the order of the images does not matter.
    """
    values = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    if adaptive and len(values):
        inner = np.quantile(values, edges[1:-1], method="inverted_cdf")
        edges = np.concatenate([[0.0], np.unique(inner[inner < values.max()]), [1.0]])
    place = np.searchsorted(edges[1:-1], values, side="left") if adaptive else bin_of(values, bins)
    count = np.bincount(place, minlength=len(edges) - 1)
    summed = np.bincount(place, values, len(edges) - 1)
    mean = np.divide(summed, count, out=np.full(len(count), np.nan), where=count > 0)
    return Reliability(edges, count, np.bincount(place[right], minlength=len(edges) - 1), mean)


def bin_of(confidence: Float64[np.ndarray, " n"], bins: int = BINS) -> Int64[np.ndarray, " n"]:
    """The bin of equal width that each confidence lies in; the upper end belongs to a bin."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")


def binned_error(place: Int[np.ndarray, " n"], gap: Float64[np.ndarray, " n"]) -> float:
    """Expected calibration error from each image's bin and its `right - confidence`."""
    return float(np.abs(np.bincount(place, gap)).sum() / len(place))


def error_by_chance(
    confidence: Float[np.ndarray, " n"], *, bins: int = BINS, seed: int = 0, draws: int = 500
) -> tuple[float, float]:
    """Mean and 95 % point of the calibration error that the same confidences give when every one of them is true.

    The error is never below zero and few images make it large by chance alone: with 40 images .1 is nothing. The
    answers are drawn anew with the stated probabilities (consistency resampling, Broecker and Smith 2007).
    """
    if not len(confidence):
        return float("nan"), float("nan")
    values, generator = confidence.astype(np.float64), np.random.default_rng(seed)
    place = bin_of(values, bins)
    found = []
    for _ in range(int(np.clip(1e7 / len(values), 100, draws))):
        found.append(binned_error(place, (generator.random(len(values)) < values) - values))
    return float(np.mean(found)), float(np.percentile(found, 95))


@dataclass(frozen=True)
class Temperature:
    """What the logits are divided by, and why it could not be fitted where it could not."""

    value: float
    """1 where nothing could be fitted"""
    low: float
    high: float
    """95 % interval, from the curvature of the loss; NaN where nothing could be fitted"""
    count: int
    mistakes: int
    problem: str = ""
    """why it is 1, in words; empty where it was fitted"""

    @property
    def caution(self) -> str:
        """A plain sentence where the number deserves little trust; else empty."""
        if self.problem:
            return self.problem
        if self.mistakes < FEW_MISTAKES:
            return f"the temperature rests on {self.mistakes} wrong of {self.count} pictures; do not rely on it"
        if self.low <= 1 <= self.high:
            return f"1 lies in the temperature's interval: {self.count} pictures do not show that one is needed"
        return ""


def known(value: float) -> Temperature:
    """A temperature that was fitted before, elsewhere."""
    return Temperature(value, np.nan, np.nan, 0, FEW_MISTAKES)


def fit_temperature(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Temperature:
    """The temperature with the least mean cross-entropy (Guo et al. 2017), exactly.

    The loss is convex in 1 / T. A least one exists if some image is wrong (else 1 / T would grow without end) and if
    the logits say more than nothing (else 1 / T would fall to zero); where it does not, the temperature is 1 and
    `problem` says why. The predicted classes never change.
    """
    count = len(labels)
    if not count:
        return Temperature(1.0, np.nan, np.nan, 0, 0, "there is no picture of a known class to fit a temperature on")
    z = logits.astype(np.float64)
    z = z - z.max(1, keepdims=True)  # the slope does not change, and nothing overflows
    own = z[np.arange(count), labels]
    mistakes = int((own < 0).sum())
    unfit = None
    if not (z < 0).any():
        unfit = "every picture gets equal logits for all classes: there is nothing to scale"
    elif not mistakes:
        unfit = f"every one of the {count} pictures is right, so the least loss lies at infinite confidence"
    elif (z.mean(1) - own).mean() >= 0:
        unfit = "the logits say less about the classes than chance, so the least loss lies at no confidence at all"
    if unfit:
        return Temperature(1.0, np.nan, np.nan, count, mistakes, f"no temperature was fitted: {unfit}")

    def slope(log_inverse: float) -> float:
        weights = np.exp(z * np.exp(log_inverse))
        return float(((weights * z).sum(1) / weights.sum(1) - own).mean())

    low = high = 0.0
    while slope(low) > 0:
        low -= 1.0
    while slope(high) < 0:
        high += 1.0
    found = low if low == high else float(brentq(slope, low, high, xtol=1e-12, rtol=1e-12))
    shares = softmax(z, float(np.exp(-found)))
    variance = float(((shares * z**2).sum(1) - (shares * z).sum(1) ** 2).sum())
    # The interval is made for log(1 / T), so that it stays above zero.
    spread = 1.959964 / (np.sqrt(variance) * np.exp(found)) if variance > 0 else np.inf
    value, spread = float(np.exp(-found)), float(min(spread, 50.0))
    return Temperature(value, value * float(np.exp(-spread)), value * float(np.exp(spread)), count, mistakes)


def cross_fitted(
    logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"], *, folds: int = FOLDS, seed: int = 0
) -> Float64[np.ndarray, "n k"]:
    """Probabilities where each image's temperature was fitted on the other folds; every class is spread over all folds.

    What they give is an honest "after": a temperature judged by the images that chose it looks better than it is.
    """
    found = softmax(logits)
    fold = np.empty(len(labels), np.int64)
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    fold[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % folds
    for number in range(folds):
        inside = fold == number
        if inside.any() and not inside.all():
            found[inside] = softmax(logits[inside], fit_temperature(logits[~inside], labels[~inside]).value)
    return found
