"""Can the class be told from one number? An early warning of a leak, before any network is trained.

Brightness, file size, aspect, border colour and the like say little about what a picture shows. Where one of them alone
tells the classes apart, a network may learn it in place of the figures. Such a property is available, not used: whether
a network uses it is for the audit to find out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Num, UInt8

from jaxcam.data.scan.areas import class_areas

FEWEST = 8
"""pictures that a class needs to take part: fewer are told apart by chance"""
_CHANCE = 0.01
_VALUES = 30
UNSEEN = {"modification time": "it often only says in which order the files were written"}
"""properties that are shown and never warned of -> why"""


@dataclass(frozen=True)
class Property:
    """How well one property tells the classes."""

    name: str
    accuracy: float
    """balanced, cross-validated: mean over the classes of the share that is right"""
    low: float
    """of the 95 % interval of `accuracy`"""
    high: float
    chance: float
    area: float
    """the larger of AUC and 1 - AUC, of the class that stands out most against the rest; NaN for words and pictures"""
    stands_out: str
    """that class"""
    level: Literal["strong", "some", "none"]
    words: str
    """the finding in one sentence"""

    @property
    def excess(self) -> float:
        """0 where the accuracy is chance, 1 where it is perfect."""
        return (self.accuracy - self.chance) / (1 - self.chance)


def properties(
    numbers: Mapping[str, Num[np.ndarray, " n"]],
    words: Mapping[str, Sequence[str]],
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    most: int = 5000,
    seed: int = 0,
) -> list[Property]:
    """What each property alone tells of the class, the most telling first.

    A small decision tree is fitted to one property and judged by 5-fold cross-validation; for numbers there is also the
    rank AUC of each class against the rest. `labels` index `class_names`, -1 is left out, and so are classes with fewer
    than `FEWEST` pictures; with fewer than two classes left the list is empty. Pictures of one of `groups` (near
    duplicates; -1 is alone) are in one fold. Not finite numbers count as missing. At most `most` pictures are used,
    drawn by `seed` with equal shares of the classes.

    A property is "strong" where the accuracy above chance is at least 3/4 of what is possible, or (two classes) the AUC
    at least 0.95; "some" from 1/2 and 0.85 on (with more classes, 0.95 makes "some"). Both must be beyond chance at 1 %
    after Bonferroni's correction for the number of properties and classes.
    """
    rows, codes, names = _chosen(labels, class_names, most, seed)
    if len(names) < 2:
        return []
    own = np.arange(len(rows)) if groups is None else as_groups(groups[rows])
    tests = len(numbers) + len(words)
    found = []
    for name, values in numbers.items():
        column = np.asarray(values, np.float64)[rows]
        if np.isfinite(column).sum() >= 2 and np.ptp(column[np.isfinite(column)]) > 0:
            told = _predicted(_number_columns(column), codes, own, seed)
            found.append(_judged(name, told, codes, names, tests, column))
    for name, texts in words.items():
        texts = [texts[row] for row in rows]
        if len(set(texts)) > 1:
            told = _predicted(_word_columns(texts), codes, own, seed)
            found.append(_judged(name, told, codes, names, tests, None))
    return sorted(found, key=lambda one: -max(one.excess, 2 * one.area - 1 if one.area == one.area else 0))


def thumbnail_properties(
    colour: UInt8[np.ndarray, "n 16 16 3"],
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    most: int = 2000,
    seed: int = 0,
) -> list[Property]:
    """What the nearest other picture tells of the class, by thumbnails too small to show what is in them.

    One nearest neighbour, each picture left out in turn (and the other pictures of its group), by the 8x8 grey
    thumbnail, its border, its four corners and its mean colour. Finds fixed backgrounds, watermarks and frames.
    Arguments and levels as in `properties`; the thumbnails are `measures.small_copies`'.
    """
    rows, codes, names = _chosen(labels, class_names, most, seed)
    if len(names) < 2:
        return []
    tiny = np.sort(rows)
    order = np.argsort(np.argsort(rows))
    small = np.asarray(colour[tiny])[order]
    own = np.arange(len(rows)) if groups is None else as_groups(groups[rows])
    looks = thumbnail_looks(small)
    found = [
        _judged(name, codes[nearest_other(values, own)], codes, names, len(looks), None)
        for name, values in looks.items()
    ]
    return sorted(found, key=lambda one: -one.excess)


def thumbnail_looks(colour: UInt8[np.ndarray, "n 16 16 3"]) -> dict[str, Float[np.ndarray, "n _"]]:
    """What little a thumbnail shows, as numbers: 8x8 grey, its border, the four corners, the mean colour."""
    small = colour.astype(np.float32)
    grey = small.reshape(-1, 8, 2, 8, 2, 3).mean(axis=(2, 4, 5))
    ring = np.ones((8, 8), bool)
    ring[1:-1, 1:-1] = False
    return {
        "8x8 grey thumbnail": grey.reshape(len(small), -1),
        "border of the thumbnail": grey[:, ring],
        "four corners": small[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(len(small), -1),
        "mean colour": small.mean(axis=(1, 2)),
    }


def _chosen(
    labels: Int[np.ndarray, " n"], class_names: Sequence[str], most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows that take part, their classes counted from 0, and these classes' names."""
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
    kept = np.flatnonzero(counts >= FEWEST)
    if len(kept) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), []
    generator = np.random.default_rng(seed)
    each = max(FEWEST, most // len(kept))
    parts = [np.flatnonzero(labels == label) for label in kept]
    parts = [part if len(part) <= each else np.sort(generator.permutation(part)[:each]) for part in parts]
    codes = np.repeat(np.arange(len(kept)), [len(part) for part in parts])
    return np.concatenate(parts), codes, [class_names[int(label)] for label in kept]


def as_groups(groups: Int[np.ndarray, " n"]) -> np.ndarray:
    """Numbers of groups in which rows with -1 are each a group of their own."""
    alone = groups < 0
    numbers = groups.astype(np.int64)
    numbers[alone] = groups.max(initial=0) + 1 + np.arange(int(alone.sum()))
    return numbers


def _number_columns(values: Float[np.ndarray, " n"]) -> np.ndarray:
    missing = ~np.isfinite(values)
    filled = np.where(missing, np.median(values[~missing]), values)
    return np.stack([filled, missing], axis=1).astype(np.float32)


def _word_columns(texts: Sequence[str]) -> np.ndarray:
    kinds, counts = np.unique(np.array(texts), return_counts=True)
    kept = kinds[np.argsort(-counts, kind="stable")[:_VALUES]]
    return (np.array(texts)[:, None] == kept[None]).astype(np.float32)


def _predicted(columns: np.ndarray, codes: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Each picture's class by a tree that has not seen it."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    classes = int(codes.max()) + 1
    if len(np.unique(groups)) == len(groups):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(columns, codes)
    else:
        number = min(5, len(np.unique(groups)))
        folds = StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(columns, codes, groups)
    told = np.full(len(codes), -1)
    for train, test in folds:
        if not len(test) or len(np.unique(codes[train])) < 2:
            continue
        tree = DecisionTreeClassifier(
            max_leaf_nodes=min(64, max(4, 2 * classes)), min_samples_leaf=2, class_weight="balanced", random_state=seed
        )
        told[test] = tree.fit(columns[train], codes[train]).predict(columns[test])
    return told


def nearest_other(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """For each row the nearest row of another group, by standardised values."""
    spread = values.std(axis=0)
    values = ((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
    squares = (values**2).sum(axis=1)
    nearest = np.empty(len(values), np.int64)
    for start in range(0, len(values), 512):
        rows = slice(start, start + 512)
        distances = squares[None] - 2 * values[rows] @ values.T
        distances[groups[rows, None] == groups[None]] = np.inf
        nearest[rows] = distances.argmin(axis=1)
    return nearest


def _judged(
    name: str, told: np.ndarray, codes: np.ndarray, names: list[str], tests: int, values: np.ndarray | None
) -> Property:
    from scipy.stats import norm

    classes, chance = len(names), 1 / len(names)
    counts = np.bincount(codes)
    right = np.bincount(codes[told == codes], minlength=classes)
    accuracy = float((right / counts).mean())
    shares = (right + 2) / (counts + 4)  # Agresti and Coull: no certainty from few
    error = math.sqrt(float((shares * (1 - shares) / (counts + 4)).sum())) / classes
    limit = float(norm.isf(_CHANCE / tests))
    sure = accuracy - limit * error > chance
    excess = (accuracy - chance) / (1 - chance)
    level: Literal["strong", "some", "none"] = "none"
    if sure and excess >= 0.5:
        level = "strong" if excess >= 0.75 else "some"
    area, best, higher = (math.nan, 0, True) if values is None else _largest_area(values, codes)
    if values is not None:
        ones = int(counts[best])
        spread = math.sqrt((len(codes) + 1) / (12 * ones * (len(codes) - ones)))  # of the AUC where nothing is told
        if (area - 0.5) / spread > float(norm.isf(_CHANCE / (2 * tests * classes))):
            if classes == 2 and area >= 0.95:
                level = "strong"
            elif level == "none" and area >= (0.85 if classes == 2 else 0.95):
                level = "some"
    if name in UNSEEN:
        level = "none"
    low, high = max(0.0, accuracy - 1.96 * error), min(1.0, accuracy + 1.96 * error)
    sentence = f"by {name} alone {accuracy:.0%} are right ({low:.0%} to {high:.0%}, chance {chance:.0%})"
    if values is not None and area >= 0.85:
        way = "higher" if higher else "lower"
        sentence += f"; it is {way} for {names[best]} in {area:.0%} of all pairs with other classes"
    if name in UNSEEN:
        sentence += f"; no warning: {UNSEEN[name]}"
    return Property(name, accuracy, low, high, chance, area, names[best] if values is not None else "", level, sentence)


def _largest_area(values: np.ndarray, codes: np.ndarray) -> tuple[float, int, bool]:
    """The largest of AUC and 1 - AUC over the classes, that class, and whether its values are the higher ones."""
    known = np.isfinite(values)
    found = class_areas(values[known][:, None], codes[known], int(codes.max()) + 1)
    if not np.isfinite(found.told).any():
        return math.nan, 0, True
    best = int(np.nanargmax(found.told[0]))
    return float(found.told[0, best]), best, bool(found.area[0, best] >= 0.5)
