"""The pictures of a page: which ones are shown, and what its script knows of each of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int
from markupsafe import Markup

from jaxcam.report.cards import Card
from jaxcam.report.gather import Split
from jaxcam.report.pictures import PLACES, data_uri
from jaxcam.report.summary import number

LIMIT = 500
"""pictures shown on a page that is one file"""
LARGE_WIDTH, SMALL_WIDTH = 400, 256
"""pixels of a photo: on a page with at most `FEW` of them, and on one with more"""
FEW = 200


@dataclass(frozen=True)
class Chosen:
    """A split's pictures that are shown, in the order of its table, and a sentence about them."""

    split: Split
    rows: Int[np.ndarray, " n"]
    words: str
    unreadable: tuple[tuple[str, str], ...]


def shares(counts: Sequence[int], limit: int) -> list[int]:
    """How many of each split are shown: all where they fit, else as evenly as can be.

    >>> shares([8, 1000, 300], 500)
    [8, 246, 246]
    """
    left, given = limit, [0] * len(counts)
    for place, index in enumerate(sorted(range(len(counts)), key=lambda index: counts[index])):
        given[index] = min(counts[index], left // (len(counts) - place))
        left -= given[index]
    return given


def choose(split: Split, limit: int, *, seed: int = 0, wanted: Iterable[int] = ()) -> tuple[Int[np.ndarray, " n"], str]:
    """Rows to show and a sentence about them: the wrong ones first (most confident first), then a seeded sample.

    `wanted` rows (the pictures behind a finding) come before all others.
    """
    readable = np.flatnonzero(split.predicted >= 0)
    first = np.array([row for row in dict.fromkeys(wanted) if split.predicted[row] >= 0], dtype=np.int64)[:limit]
    wrong = readable[split.wrong[readable]]
    others = np.setdiff1d(wrong, first)
    others = others[np.argsort(-split.confidence[others], kind="stable")]
    kept = np.concatenate([first, others[: limit - len(first)]])
    rest = np.setdiff1d(readable, np.concatenate([kept, wrong]))
    room = limit - len(kept)
    sample = rest if len(rest) <= room else np.sort(np.random.default_rng(seed).choice(rest, room, replace=False))
    rows = np.concatenate([kept, sample])
    shown = int(split.wrong[rows].sum())
    behind = f", {len(first)} of them behind a finding" if len(first) else ""
    if len(readable) <= limit:
        words = f"all {number(len(readable), 'readable picture')}, {len(wrong)} of them wrong"
    elif shown < len(wrong):
        words = f"{len(rows)} of {number(len(readable), 'readable picture')}{behind}: "
        words += f"the {len(others[: limit - len(first)])} most confident of {len(wrong)} wrong ones"
    else:
        words = (
            f"{len(rows)} of {number(len(readable), 'readable picture')}{behind}: all {len(wrong)} wrong ones "
            f"and a random sample of {len(sample)} of the others (seed {seed})"
        )
    return rows, words


def chosen(splits: Sequence[Split], limit: int | None, wanted: Iterable[tuple[str, int]] = ()) -> list[Chosen]:
    """The pictures shown of every split; None: all of them. `wanted` are names of splits and rows that come first."""
    wanted = list(wanted)
    counts = [int((split.predicted >= 0).sum()) for split in splits]
    given = counts if limit is None else shares(counts, limit)
    found = []
    for split, count in zip(splits, given, strict=True):
        rows, words = choose(split, count, wanted=[row for name, row in wanted if name == split.name])
        unreadable = tuple(
            (split.paths[row], split.flags[row].removeprefix("unreadable: ") or "no reason is given")
            for row in np.flatnonzero(split.predicted < 0).tolist()
        )
        found.append(Chosen(split, np.sort(rows), words, unreadable))
    return found


COLUMNS: tuple[str, ...] = (
    "split", "path", "label", "predicted", "confidence", "loss", "state", "ratio", "chances", "tiles", "findings_of",
    "words",
)  # fmt: skip


@dataclass
class Table:
    """What the page's script knows: a column a property, an entry a picture."""

    splits: list[str] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """classes and folders by their number in the columns"""
    methods: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, str]] = field(default_factory=list)
    """id and name of the findings that pictures belong to"""
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    photos: list[str] = field(default_factory=list)
    strips: list[str] = field(default_factory=list)
    gone: dict[str, int] = field(default_factory=dict)
    """pictures of each split whose file is no longer there or no longer readable"""

    def add(self, split: Split, found: Card, addresses: tuple[str, str], behind: Sequence[int] = ()) -> None:
        """Another picture; `addresses` are those of its photo and its strip, `behind` the numbers of its findings."""
        if split.name not in self.splits:
            self.splits.append(split.name)
        row, columns = found.row, self.columns
        methods = () if split.store is None else split.store.methods
        name = lambda text: self.names.setdefault(text, len(self.names))
        columns["split"].append(self.splits.index(split.name))
        columns["path"].append(split.paths[row])
        columns["label"].append(name(split.label_names[row]))
        columns["predicted"].append(name(split.predicted_names[row]))
        columns["confidence"].append(rounded(split.confidence[row]))
        columns["loss"].append(rounded(split.loss[row]))
        columns["state"].append(state(split, row))
        columns["ratio"].append(round(found.ratio, 3))
        columns["chances"].append(
            [(name(split.classes[index]), rounded(split.probabilities[row, index])) for index in found.shown]
        )
        columns["tiles"].append(
            [
                (
                    self.methods.setdefault(methods[tile.method], len(self.methods)),
                    name(split.classes[tile.target]),
                    PLACES.index(tile.place),
                )
                for tile in found.tiles
            ]
        )
        columns["findings_of"].append(list(behind))
        columns["words"].append([*([found.problem] if found.problem else []), *found.flags])
        self.photos.append(addresses[0])
        self.strips.append(addresses[1])
        self.gone[split.name] = self.gone.get(split.name, 0) + bool(found.problem)

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def box(self) -> float:
        """Width / height of the frame that all pictures share."""
        return float(np.clip(np.median(self.columns["ratio"]), 0.8, 1.8)) if len(self) else 1.0

    def json(self) -> Markup:
        """The table as JSON that may stand in a `script` element."""
        values = {
            "splits": self.splits, "names": list(self.names), "methods": list(self.methods), "places": PLACES,
            "findings": self.findings, "box": round(self.box, 4), "photos": self.photos, "strips": self.strips,
            **self.columns,
        }  # fmt: skip
        text = json.dumps(values, separators=(",", ":"), allow_nan=False)
        return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


RIGHT, WRONG, UNKNOWN = 0, 1, 2


def state(split: Split, row: int) -> int:
    """Whether a prediction is right, wrong, or of a folder that is no class."""
    return UNKNOWN if split.labels[row] < 0 else WRONG if split.wrong[row] else RIGHT


def rounded(value: float) -> float | None:
    """Five digits are enough for a page; None where there is no number."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def inline(found: Card) -> tuple[str, str]:
    """Addresses of a card's pictures inside the page itself."""
    return (data_uri(found.photo) if found.photo else ""), (data_uri(found.strip) if found.strip else "")


def photo_width(count: int) -> int:
    """Pixels of a photo on a page with so many."""
    return LARGE_WIDTH if count <= FEW else SMALL_WIDTH
