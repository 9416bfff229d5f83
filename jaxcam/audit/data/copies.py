"""D4: pictures of the audited set that were trained on, pictures with two labels, and scenes that stand for classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int, Int64

from jaxcam.audit.data.looks import Looks
from jaxcam.audit.signals import Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.scan import duplicates
from jaxcam.data.scan.hashes import hashes
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.properties import thumbnail_looks
from jaxcam.metrics import wilson

NAME = "the same picture in training"
VIEWS = ("as it is", "mirrored")
NEAR, FAR = 14, 20
"""Hamming distances of 63-bit hashes: a scene is shared within `NEAR`, another scene begins at `FAR`"""
_LISTED = 200


@dataclass
class _Copy:
    audited: int
    train: int
    kind: str
    """same bytes, same pixels, near"""


@dataclass(frozen=True)
class Scenes:
    """How near the training pictures of the own and of other classes look to the median audited picture."""

    own: float
    """bits in which the nearest of the own class differs"""
    other: float
    """the same for the nearest of any other class"""
    apart: tuple[tuple[int, int], ...] = ()
    """pairs of classes that each have a scene of their own, which shows at the border too"""

    @property
    def shared(self) -> bool:
        """One scene for several classes: likeness is no leak."""
        return self.own <= NEAR and self.other < FAR and not self.apart

    @property
    def is_label(self) -> bool:
        """Some classes have each a scene of their own."""
        return bool(self.apart)


def signal(train: Looks | None, audited: Looks, class_names: Sequence[str]) -> Signal:
    """The share of audited pictures that are in the training set too, whole or nearly so."""
    conflicts = _conflicts(audited if train is None else _joined(audited, train), class_names)
    if train is None or not len(train) or not len(audited):
        missing = "the training pictures are not there" if train is None or not len(train) else "no audited picture"
        found = not_applicable("D4", NAME, "data", missing)
        return found if not conflicts else _only_conflicts(conflicts, len(audited))
    distances = _nearest_by_class(audited, train, len(class_names))
    scenes = scenes_of(audited.labels, distances, _border_tells(audited, train))
    copies = _copies(audited, train, scenes)
    count = len({copy.audited for copy in copies})
    share = count / len(audited)
    judged, bound = THRESHOLDS["D4"].judge(share)
    status = "red" if scenes.is_label else "amber" if conflicts and judged == "green" else judged
    # Where scenes or labels decide, the share of copies is no reason: it stands in the details only.
    by_share = status == judged
    by_class = {
        printable(class_names[label]): [
            len({c.audited for c in copies if audited.labels[c.audited] == label}),
            int((audited.labels == label).sum()),
        ]
        for label in range(len(class_names))
        if (audited.labels == label).any()
    }
    return Signal(
        id="D4",
        name=NAME if by_share or not scenes.is_label else "a scene of its own for each class",
        layer="data",
        value=share if by_share else None,
        interval=wilson(count, len(audited)) if by_share else None,
        count=len(audited),
        status=status,
        threshold=bound if by_share else None,
        sentence=_sentence(copies, count, len(audited), scenes, conflicts, class_names),
        images=_showing(copies, audited, scenes, conflicts),
        details={
            "share": share,
            "train_pictures": len(train),
            "of_train_pictures": train.of,
            "kinds": {kind: sum(c.kind == kind for c in copies) for kind in ("same bytes", "same pixels", "near")},
            "by_class": by_class,
            "pairs": [
                {
                    "audited": printable(audited.paths[c.audited]),
                    "train": printable(train.paths[c.train]),
                    "kind": c.kind,
                }
                for c in copies[:_LISTED]
            ],
            "scenes": {
                "own_class": scenes.own,
                "other_class": scenes.other,
                "apart": [[printable(class_names[one]) for one in pair] for pair in scenes.apart[:_LISTED]],
                "shared": scenes.shared,
                "scene_is_label": scenes.is_label,
            },
            "conflicting_labels": conflicts[:_LISTED],
        },
    )


def _only_conflicts(conflicts: list[dict[str, Any]], count: int) -> Signal:
    return Signal(
        id="D4",
        name=NAME,
        layer="data",
        count=count,
        status="amber",
        sentence=f"{_many(len(conflicts))} {_have(len(conflicts))} two labels; there is no training set to compare.",
        images=tuple(path for one in conflicts for path in one["paths"])[:12],
        details={"conflicting_labels": conflicts[:_LISTED]},
    )


def _joined(audited: Looks, train: Looks) -> list[tuple[Looks, str]]:
    return [(audited, ""), (train, "train:")]


def _conflicts(looks: Looks | list[tuple[Looks, str]], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Pictures whose pixels stand in more than one class."""
    parts = looks if isinstance(looks, list) else [(looks, "")]
    keys = [key for part, _ in parts for key in part.pixels_hash]
    labels = [int(label) for part, _ in parts for label in part.labels]
    names = [f"{word}{path}" for part, word in parts for path in part.paths]
    groups = [group for group in duplicates.same_values(keys) if len({labels[row] for row in group}) > 1]
    return [
        {
            "classes": sorted({printable(class_names[labels[row]]) for row in group}),
            "paths": [printable(names[row]) for row in group[:8]],
        }
        for group in groups
    ]


def _bits(looks: Looks) -> np.ndarray:
    return hashes(looks.luma) > 0


def _nearest_by_class(audited: Looks, train: Looks, classes: int) -> Float64[np.ndarray, "n k"]:
    """Hamming distance of every audited picture to the nearest training picture of each class; inf for none.

    A training picture with the very same pixels does not count: it is a copy, not a scene.
    """
    one, two = _bits(audited).astype(np.float32), _bits(train).astype(np.float32)
    own = np.array(audited.pixels_hash, object)
    nearest = np.full((len(audited), classes), np.inf)
    for label in np.unique(train.labels).tolist():
        rows = np.flatnonzero(train.labels == label)
        keys = np.array(train.pixels_hash, object)[rows]
        for start in range(0, len(audited), 512):
            part = slice(start, start + 512)
            distance = one[part].sum(1)[:, None] + two[rows].sum(1)[None] - 2 * one[part] @ two[rows].T
            distance = np.where(own[part, None] == keys[None], np.inf, distance)
            nearest[part, label] = distance.min(1)
    return nearest


def scenes_of(
    labels: Int[np.ndarray, " n"], distances: Float64[np.ndarray, "n k"], border: Float64[np.ndarray, "k k"]
) -> Scenes:
    """Whether likeness is the scene's: by medians of the distance to each class.

    Two classes have scenes of their own where each is within `NEAR` of itself, `FAR` from the other, and their borders
    differ too: digits of one kind are alike without any scene. `border` is the share of a class's pictures whose border
    is nearer to its own class than to another.
    """
    rows = np.arange(len(labels))
    own = distances[rows, labels]
    others = distances.copy()
    others[rows, labels] = np.inf
    other = others.min(1) if others.shape[1] > 1 else np.full(len(labels), np.inf)
    known = np.isfinite(own) & np.isfinite(other)
    if not known.any():
        return Scenes(float("inf"), float("inf"))
    classes = np.unique(labels).tolist()
    medians = {(a, b): float(np.median(distances[labels == a, b])) for a in classes for b in classes}
    apart = tuple(
        (a, b)
        for a in classes
        for b in classes
        if a < b
        and max(medians[a, a], medians[b, b]) <= NEAR
        and FAR <= min(medians[a, b], medians[b, a]) < np.inf
        and min(border[a, b], border[b, a]) >= 0.9
    )
    return Scenes(float(np.median(own[known])), float(np.median(other[known])), apart)


def _border_tells(audited: Looks, train: Looks) -> Float64[np.ndarray, "k k"]:
    """For classes a, b the share of a's audited pictures whose border is nearer to a's training pictures than b's."""
    one, two = (thumbnail_looks(looks.colour)["border of the thumbnail"] for looks in (audited, train))
    classes = int(max(audited.labels.max(), train.labels.max())) + 1
    nearest = np.full((len(audited), classes), np.inf)
    for label in np.unique(train.labels).tolist():
        rows = two[train.labels == label]
        for start in range(0, len(one), 256):
            part = one[start : start + 256]
            distance = (part**2).sum(1)[:, None] + (rows**2).sum(1)[None] - 2 * part @ rows.T
            nearest[start : start + 256, label] = distance.min(1)
    told = np.zeros((classes, classes))
    for label in np.unique(audited.labels).tolist():
        mine = nearest[audited.labels == label]
        told[label] = (mine[:, label : label + 1] < mine).mean(0)
    return told


def _copies(audited: Looks, train: Looks, scenes: Scenes) -> list[_Copy]:
    """Pairs of an audited and a training picture that are one picture, the surest kind first."""
    found: dict[tuple[int, int], str] = {}
    for kind, name in (("same bytes", "bytes_hash"), ("same pixels", "pixels_hash")):
        places: dict[str, int] = {}
        for row, key in enumerate(getattr(train, name)):
            places.setdefault(key, row)
        for row, key in enumerate(getattr(audited, name)):
            if key and key in places:
                found.setdefault((row, places[key]), kind)
    surely = {pair[0] for pair in found}
    rest = np.array([row for row in range(len(audited)) if row not in surely], np.int64)
    for row, other in _near(audited.take(rest), train, scenes):
        found.setdefault((int(rest[row]), other), "near")
    order = {"same bytes": 0, "same pixels": 1, "near": 2}
    copies = [_Copy(row, other, kind) for (row, other), kind in found.items()]
    return sorted(copies, key=lambda copy: (order[copy.kind], copy.audited))


def _near(audited: Looks, train: Looks, scenes: Scenes) -> list[tuple[int, int]]:
    """Near copies, compared closely; before fixed scenes only those far nearer than any picture of another class."""
    if not len(audited):
        return []
    both = hashes(np.concatenate([audited.luma, train.luma]))
    pairs = _across(duplicates.candidates(both, views=VIEWS), len(audited))
    pairs = duplicates.compare(
        np.concatenate([audited.luma, train.luma]), pairs, np.concatenate([audited.colour, train.colour])
    )
    keep = np.flatnonzero(pairs.same)
    first, second = pairs.first[keep], pairs.second[keep] - len(audited)
    if scenes.own <= NEAR:
        # Before a fixed scene everything is alike: the pair must be much nearer than the nearest of another class.
        away = np.arccos(np.clip(pairs.likeness[keep], -1, 1))
        values, others = both[: len(audited)], both[len(audited) :]
        likest = np.full(len(audited), -1.0)
        for row in np.unique(first).tolist():
            different = train.labels != audited.labels[row]
            if different.any():
                likest[row] = float((others[different] @ values[row]).max())
        near = away <= 0.5 * np.arccos(np.clip(likest[first], -1, 1))
        first, second = first[near], second[near]
    best: dict[int, int] = {}
    for row, other in zip(first.tolist(), second.tolist(), strict=True):
        best.setdefault(row, other)
    return list(best.items())


def _across(pairs: duplicates.Pairs, border: int) -> duplicates.Pairs:
    """Pairs of one row before `border` and one from it on; the nearest first for every first row."""
    keep: Int64[np.ndarray, " p"] = np.flatnonzero((pairs.first < border) & (pairs.second >= border)).astype(np.int64)
    return duplicates.Pairs(
        pairs.first[keep],
        pairs.second[keep],
        tuple(pairs.view[i] for i in keep.tolist()),
        pairs.likeness[keep],
        pairs.difference[keep],
    )


def _sentence(
    copies: list[_Copy], count: int, of: int, scenes: Scenes, conflicts: list, class_names: Sequence[str]
) -> str:
    parts = []
    if count:
        exact = len({copy.audited for copy in copies if copy.kind != "near"})
        parts.append(
            f"{count} of {of} audited pictures {'is' if count == 1 else 'are'} in the training set too ({exact} pixel "
            "by pixel): the accuracy measured on them is too good."
        )
    else:
        parts.append(f"None of {of} audited pictures is in the training set.")
    if scenes.is_label:
        pair = " from ".join(printable(class_names[label]) for label in scenes.apart[0])
        more = f" (and {len(scenes.apart) - 1} more pairs of classes)" if len(scenes.apart) > 1 else ""
        parts.append(
            f"Scene = label: the scene alone tells {pair}{more}; pictures of one class look alike (median distance "
            f"{scenes.own:g} of 63 bits), those of the other class do not."
        )
    elif scenes.shared:
        parts.append(
            f"The classes share a scene (median distance {scenes.own:g} to the own class, {scenes.other:g} to another):"
            " that pictures look alike is no leak."
        )
    if conflicts:
        parts.append(f"{_many(len(conflicts))} {_have(len(conflicts))} two labels: at least one is wrong.")
    return " ".join(parts)


def _many(count: int) -> str:
    return f"{count} {'picture' if count == 1 else 'pictures'}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _showing(copies: list[_Copy], audited: Looks, scenes: Scenes, conflicts: list[dict[str, Any]]) -> tuple[str, ...]:
    shown = dict.fromkeys(audited.paths[copy.audited] for copy in copies)
    if not shown and scenes.is_label:
        labels = np.unique(audited.labels).tolist()
        each = max(1, 12 // max(1, len(labels)))
        shown = dict.fromkeys(
            audited.paths[place]
            for label in labels
            for place in np.flatnonzero(audited.labels == label)[:each].tolist()
        )
    if not shown:
        own = set(audited.paths)
        shown = dict.fromkeys(path for one in conflicts for path in one["paths"] if path in own)
    return tuple(shown)[:12]
