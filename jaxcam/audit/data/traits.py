"""D1: does one number, or one fact of the file, tell the class?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from jaxcam.audit.data.looks import NUMBERS, Looks
from jaxcam.audit.signals import Signal, Status, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.scan import areas
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.measures import MEASURES
from jaxcam.data.scan.properties import FEWEST

NAME = "one property tells the class"
CHANCE = 0.01
"""an area counts if chance gives one as large with this probability at most, over all properties and classes"""
SURE = 0.001
"""the same for red: eight pictures of a class are never enough for that"""
NEVER_JUDGED = {"name pattern": "no network sees a file's name"}
_FOLDS = 5
_KINDS = 30


@dataclass(frozen=True)
class Trait:
    """How well one property tells one class from all others."""

    name: str
    label: int
    area: float
    """the larger of AUC and 1 - AUC"""
    higher: bool
    """whether the class has the larger values"""
    chance: float
    """probability of such an area by chance, over all properties and classes"""
    low: float
    high: float
    count: int
    word: str = ""
    """of words: the one that goes with the class"""

    @property
    def judged(self) -> tuple[Status, float | None]:
        """By the table; green where chance explains it. Red must be surer, the interval above the amber bound."""
        bounds = THRESHOLDS["D1"]
        status, bound = bounds.judge(self.area)
        if self.name in NEVER_JUDGED:
            return "info", None
        if self.chance > CHANCE:
            return "green", bounds.amber
        if status == "red" and (self.chance > SURE or (bounds.amber is not None and self.low < bounds.amber)):
            return "amber", bounds.red
        return status, bound


def told_by(looks: Looks, classes: int) -> list[Trait]:
    """The class that every property tells best, the most telling property first, without classes of few pictures.

    With fewer than two classes of at least `FEWEST` pictures the list is empty.
    """
    counts = np.bincount(looks.labels, minlength=classes)
    kept = np.flatnonzero(counts >= FEWEST)
    if len(kept) < 2:
        return []
    code = np.full(classes, -1)
    code[kept] = np.arange(len(kept))
    codes = code[looks.labels]
    rows = codes >= 0
    columns = dict(zip(MEASURES, looks.measures.T, strict=True)) | {n: looks.numbers[n] for n in looks.numbers}
    tests = (len(columns) + len(looks.words)) * (1 if len(kept) == 2 else len(kept))
    found = [_of_numbers(name, values[rows], codes[rows], kept, tests) for name, values in columns.items()]
    words = {
        name: [text for text, take in zip(texts, rows, strict=True) if take] for name, texts in looks.words.items()
    }
    found += [_of_words(name, texts, codes[rows], kept, tests) for name, texts in words.items()]
    order: Mapping[Status, int] = {"red": 0, "amber": 1}
    return sorted((one for one in found if one), key=lambda one: (order.get(one.judged[0], 2), -one.area))


def _of_numbers(
    name: str, values: np.ndarray, codes: Int[np.ndarray, " n"], kept: np.ndarray, tests: int
) -> Trait | None:
    known = np.isfinite(values)
    values, codes = values[known].astype(np.float64), codes[known]
    if len(np.unique(values)) < 2:
        return None
    return _best(name, areas.class_areas(values[:, None], codes, len(kept)), values, codes, kept, tests)


def _best(
    name: str, found: areas.Areas, values: np.ndarray, codes: np.ndarray, kept: np.ndarray, tests: int
) -> Trait | None:
    told = found.told[0]
    if not np.isfinite(told).any():
        return None
    best = int(np.nanargmax(told))
    area, own = float(told[best]), codes == best
    ones = int(own.sum())
    chance = min(1.0, areas.chance_of(values, own, float(found.score[0, best])) * tests)
    low, high = areas.interval(area, ones, len(codes) - ones)
    return Trait(name, int(kept[best]), area, bool(found.area[0, best] >= 0.5), chance, low, high, len(codes))


def _of_words(
    name: str, texts: Sequence[str], codes: Int[np.ndarray, " n"], kept: np.ndarray, tests: int
) -> Trait | None:
    kinds, numbers = np.unique(np.array(texts), return_inverse=True)
    if len(kinds) < 2:
        return None
    common = np.argsort(-np.bincount(numbers), kind="stable")[:_KINDS]
    best: Trait | None = None
    for label in range(len(kept)):
        own = codes == label
        score = _held_out_share(numbers, own)
        found = areas.class_areas(score[:, None], own.astype(np.int64), 2)
        area = float(found.area[0, 1])
        if not math.isfinite(area) or (best is not None and area <= best.area):
            continue
        low, high = areas.interval(area, int(own.sum()), int((~own).sum()))
        shares = [
            (own & (numbers == kind)).sum() / max(1, own.sum()) - (~own & (numbers == kind)).mean() for kind in common
        ]
        chance = min(1.0, areas.chance_of(score, own, float(found.score[0, 1])) * tests)
        word = str(kinds[common[int(np.argmax(shares))]])
        best = Trait(name, int(kept[label]), area, True, chance, low, high, len(codes), word)
    return best


def _held_out_share(numbers: Int[np.ndarray, " n"], own: np.ndarray) -> Float64[np.ndarray, " n"]:
    """For each picture the class's share among the other folds' pictures with the same word."""
    folds = np.random.default_rng(0).permutation(len(own)) % _FOLDS
    score = np.empty(len(own))
    for fold in range(_FOLDS):
        test = folds == fold
        count = np.bincount(numbers[~test], minlength=numbers.max() + 1).astype(np.float64)
        hits = np.bincount(numbers[~test & own], minlength=numbers.max() + 1)
        # Rounded: shares that differ by the fold alone must tie, or chance would look like knowledge.
        score[test] = ((hits + own.mean()) / (count + 1)).round(1)[numbers[test]]
    return score


def signal(train: Looks, audited: Looks, class_names: Sequence[str], where: str) -> Signal:
    """The signal; `train` are the pictures the properties are measured on, `audited` those that show it."""
    found = told_by(train, len(class_names))
    if not found:
        return not_applicable("D1", NAME, "data", f"fewer than two classes with {FEWEST} different pictures in {where}")
    judged = [one for one in found if one.name not in NEVER_JUDGED]
    if not judged:
        return not_applicable("D1", NAME, "data", "no property differs between any two pictures")
    worst = judged[0]
    status, bound = worst.judged
    telling = [one for one in judged if one.judged[0] in ("red", "amber")]
    return Signal(
        id="D1",
        name=NAME,
        layer="data",
        value=worst.area,
        interval=(worst.low, worst.high),
        count=worst.count,
        status=status,
        threshold=bound,
        sentence=_sentence(worst, telling, class_names, where),
        images=showing(worst, audited),
        details={
            "measured_on": where,
            "properties": [_row(one, class_names) for one in found],
            "not_applicable": {} if train.numbers else {"properties of files": "the pictures are not kept as files"},
            "never_judged": NEVER_JUDGED,
        },
    )


def _sentence(worst: Trait, telling: Sequence[Trait], class_names: Sequence[str], where: str) -> str:
    name = printable(class_names[worst.label])
    if not telling:
        why = f"{worst.chance:.2g} by chance" if worst.chance > CHANCE else "short of telling the classes apart"
        best = f"the best, {worst.name}, has AUC {worst.area:.2f} for {name} ({why})"
        return f"No single property tells a class in {where}: {best}."
    more = f"; so do {len(telling) - 1} more" if len(telling) > 2 else ""
    more = f"; so does {telling[1].name}" if len(telling) == 2 else more
    file = ", a property of the files that no network sees by itself" if worst.name not in MEASURES else ""
    if worst.word:
        alone = f"{worst.name} ({printable(worst.word)}) alone tells {name} with AUC {worst.area:.2f}"
        return f"{alone} in {where}{file}{more}."
    way = "higher" if worst.higher else "lower"
    alone = f"{worst.name} alone tells {name} from the others: it is {way} in {worst.area:.0%} of all pairs"
    return f"{alone} in {where}{file}{more}."


def _row(one: Trait, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "property": one.name,
        "class": printable(class_names[one.label]),
        "auc": round(one.area, 4),
        "higher": one.higher,
        "interval": [round(one.low, 4), round(one.high, 4)],
        "p_corrected": float(f"{one.chance:.3g}"),
        "status": one.judged[0],
        "of": "pixels" if one.name in MEASURES else "file",
        **({"word": printable(one.word)} if one.word else {}),
    }


def showing(trait: Trait, audited: Looks, each: int = 4) -> tuple[str, ...]:
    """Audited pictures at both ends: those of the class that have most of the property, and others that have least."""
    if not len(audited):
        return ()
    if trait.name in MEASURES:
        values = audited.measures[:, MEASURES.index(trait.name)].astype(np.float64)
    elif trait.name in NUMBERS and audited.numbers:
        values = np.asarray(audited.numbers[trait.name], np.float64)
    elif audited.words:
        values = np.array([text == trait.word for text in audited.words[trait.name]], np.float64)
    else:
        return ()
    values = np.where(np.isfinite(values), values, np.nanmedian(values) if np.isfinite(values).any() else 0.0)
    values = values if trait.higher else -values
    own = np.flatnonzero(audited.labels == trait.label)
    others = np.flatnonzero(audited.labels != trait.label)
    first = own[np.argsort(-values[own], kind="stable")][:each]
    last = others[np.argsort(values[others], kind="stable")][:each]
    return tuple(audited.paths[place] for place in (*first.tolist(), *last.tolist()))
