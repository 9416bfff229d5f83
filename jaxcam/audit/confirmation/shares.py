"""Shares and their differences with intervals, and whether a fall is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from jaxcam.metrics import wilson

ALPHA = 0.05
"""a fall that would come about by chance more often than this is not called one"""


@dataclass(frozen=True)
class Share:
    """So many right answers of so many, class by class; the accuracy is the mean over the classes (balanced)."""

    correct: tuple[int, ...]
    count: tuple[int, ...]
    """pictures of each class; classes without pictures play no part"""

    @property
    def total(self) -> int:
        """Number of pictures."""
        return sum(self.count)

    @property
    def right(self) -> int:
        """Number of right answers."""
        return sum(self.correct)

    @property
    def terms(self) -> list[tuple[float, int, int]]:
        """(weight, right, pictures) of each class that has pictures: the weights sum to one."""
        there = [(right, count) for right, count in zip(self.correct, self.count, strict=True) if count]
        return [(1 / len(there), right, count) for right, count in there]

    @property
    def value(self) -> float:
        """Balanced accuracy; NaN without pictures."""
        return sum(weight * right / count for weight, right, count in self.terms) if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the balanced accuracy; (0, 1) without pictures."""
        return combined(self.terms)[1:] if self.total else (0.0, 1.0)

    def of(self, classes: Sequence[int]) -> "Share":
        """The same of some classes only."""
        kept = set(classes)
        numbers = [
            (r, n) if c in kept else (0, 0) for c, (r, n) in enumerate(zip(self.correct, self.count, strict=True))
        ]
        return Share(tuple(r for r, _ in numbers), tuple(n for _, n in numbers))

    @property
    def classes(self) -> list[int]:
        """Classes that have pictures."""
        return [label for label, count in enumerate(self.count) if count]

    def to_json(self) -> dict[str, object]:
        """Balanced accuracy, its interval and the counts."""
        return {"accuracy": self.value, "interval": list(self.interval), "right": self.right, "n": self.total}


def share_of(right: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int) -> Share:
    """The share of right answers, by class; rows with a label below zero play no part."""
    known = labels >= 0
    count = np.bincount(labels[known], minlength=classes)
    correct = np.bincount(labels[known & right], minlength=classes)
    return Share(tuple(correct.tolist()), tuple(count.tolist()))


def combined(terms: Sequence[tuple[float, int, int]]) -> tuple[float, float, float]:
    """Sum of weight * right / pictures over independent shares, and its 95 % interval.

    Wilson's intervals of the shares are combined by recovering their variances (Zou & Donner 2008, "Construction of
    confidence limits about effect measures"); one share of weight 1 gives Wilson's interval itself, two of weights 1
    and -1 Newcombe's (1998).

    >>> [round(number, 3) for number in combined([(1.0, 8, 8)])]
    [1.0, 0.676, 1.0]
    """
    value = below = above = 0.0
    for weight, right, count in terms:
        share, (low, high) = right / count, wilson(right, count)
        towards_low, towards_high = (share - low, high - share) if weight >= 0 else (high - share, share - low)
        value += weight * share
        below += (weight * towards_low) ** 2
        above += (weight * towards_high) ** 2
    return value, value - below**0.5, value + above**0.5


def fall(before: Share, after: Share) -> tuple[float, float, float]:
    """How far the balanced accuracy falls from one set of pictures to another, and the 95 % interval of that."""
    return combined([*before.terms, *((-weight, right, count) for weight, right, count in after.terms)])


def fall_by_chance(before: Share, after: Share) -> float:
    """How often chance alone gives so many fewer right answers on the second set (Fisher's exact test, one-sided).

    >>> round(fall_by_chance(Share((8,), (8,)), Share((0,), (4,))), 4)
    0.002
    """
    from scipy.stats import fisher_exact

    table = [[before.right, before.total - before.right], [after.right, after.total - after.right]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def paired_fall_by_chance(before: Bool[np.ndarray, " n"], after: Bool[np.ndarray, " n"]) -> float:
    """The same for two answers to each object (McNemar's test, exact and one-sided)."""
    from scipy.stats import binomtest

    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return float(binomtest(lost, lost + won, alternative="greater").pvalue) if lost + won else 1.0


def below_chance(share: Share, chance: float) -> bool:
    """Whether so few are right that guessing would do better, beyond doubt."""
    from scipy.stats import binomtest

    return share.total > 0 and float(binomtest(share.right, share.total, chance, alternative="less").pvalue) <= ALPHA


def percent(value: float) -> str:
    """A share in words.

    >>> percent(0.98)
    '98 %'
    """
    return f"{100 * value:.0f} %"


def told(share: Share) -> str:
    """Accuracy and count in words; the interval stands beside them in the table."""
    return f"{percent(share.value)} of the time ({share.right} of {share.total})"
