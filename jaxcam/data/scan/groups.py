"""Groups of duplicates and what they cross; and pictures that look alike without being copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from jaxcam.data.scan.duplicates import Pairs, grouped, same_values
from jaxcam.data.scan.examine import Findings
from jaxcam.data.scan.inventory import Entry

ALIKE = 0.95
"""cosine of the hashes of two pictures that look alike at first sight"""


@dataclass(frozen=True)
class Group:
    """Files that hold one picture."""

    kind: Literal["same bytes", "same pixels", "near"]
    """what holds for all of them"""
    rows: tuple[int, ...]
    splits: tuple[str, ...]
    """the splits they are in, sorted"""
    labels: tuple[str, ...]
    """their classes, sorted"""
    views: tuple[str, ...]
    """for each row how it has to be turned to be like the first one; empty where they were not compared"""

    @property
    def crosses_splits(self) -> bool:
        """Whether a picture of one split is in another one too: what is measured on it is too good."""
        return len(self.splits) > 1

    @property
    def crosses_classes(self) -> bool:
        """Whether one picture has two labels: at least one is wrong."""
        return len(self.labels) > 1


@dataclass(frozen=True)
class Scenes:
    """Pictures that look alike at first sight and are no copies: one background, one camera, drawings of one kind."""

    pictures: int
    """that look like some other"""
    of: int
    """pictures in all"""
    same_class: float
    """share of the alike pairs that are of one class; NaN without classes"""
    expected: float
    """that share if classes were dealt out at random"""

    @property
    def shared(self) -> bool:
        """Whether this is a set of few scenes: half of its pictures look like another one."""
        return self.pictures >= 20 and self.pictures >= 0.5 * self.of

    @property
    def tells_class(self) -> bool:
        """Whether the scene goes with the class: pictures look alike only within one."""
        return self.shared and self.same_class >= 0.97 and self.expected <= 0.75


def find_groups(entries: Sequence[Entry], findings: Sequence[Findings], pairs: Pairs) -> list[Group]:
    """Duplicates by bytes, by pixels and by sight, put together; those across classes and splits come first."""
    usable = [found if found.pixels else None for found in findings]
    edges = []
    for group in same_values([found.sha256 if found else "" for found in usable]):
        edges += [(group[0], row) for row in group[1:]]
    for group in same_values([found.pixels if found else "" for found in usable]):
        edges += [(group[0], row) for row in group[1:]]
    near = pairs.same
    close = list(zip(pairs.first[near].tolist(), pairs.second[near].tolist(), strict=True))
    turns = dict(zip(close, (view for view, chosen in zip(pairs.view, near, strict=True) if chosen), strict=True))
    found = [_group(entries, findings, rows, turns) for rows in grouped(len(entries), [*edges, *close])]
    return sorted(found, key=_order)


def _order(one: Group) -> tuple[int, bool, int, tuple[int, ...]]:
    crossed = one.crosses_classes + one.crosses_splits
    return -crossed, not one.crosses_classes, -len(one.rows), one.rows


def _group(
    entries: Sequence[Entry], findings: Sequence[Findings], rows: list[int], turns: dict[tuple[int, int], str]
) -> Group:
    kind: Literal["same bytes", "same pixels", "near"] = "near"
    if len({findings[row].sha256 for row in rows}) == 1:
        kind = "same bytes"
    elif len({findings[row].pixels for row in rows}) == 1:
        kind = "same pixels"
    first = rows[0]
    same = findings[first].pixels
    views = ["as it is" if findings[row].pixels == same else turns.get((first, row), "") for row in rows]
    return Group(
        kind,
        tuple(rows),
        tuple(sorted({entries[row].split for row in rows})),
        tuple(sorted({entries[row].label for row in rows})),
        tuple(views),
    )


def look_alikes(pairs: Pairs, labels: Sequence[str], good: Int64[np.ndarray, " g"]) -> Scenes:
    """How many pictures look like another one as it is without being its copy, and whether that goes with the class."""
    alike = (pairs.likeness >= ALIKE) & ~pairs.same & (np.array(pairs.view, object) == "as it is")
    first, second = pairs.first[alike], pairs.second[alike]
    names, codes = np.unique(np.array([labels[row] for row in good] or [""]), return_inverse=True)
    shares = np.bincount(codes) / len(codes)
    code = dict(zip(good.tolist(), codes.tolist(), strict=False))
    same = [code[one] == code[two] for one, two in zip(first.tolist(), second.tolist(), strict=True)]
    classes = len(names) > 1
    return Scenes(
        len(np.unique(np.concatenate([first, second]))),
        len(good),
        float(np.mean(same)) if same and classes else float("nan"),
        float((shares**2).sum()) if classes else float("nan"),
    )
