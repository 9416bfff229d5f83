"""C5: accuracy by groups that the user names (light, place, camera, ...), each class and group a cell of its own."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcam.audit.confirmation.evidence import ABOVE_CHANCE, Evidence
from jaxcam.audit.confirmation.naming import matched
from jaxcam.audit.confirmation.shares import (
    ALPHA,
    Share,
    below_chance,
    combined,
    fall_by_chance,
    percent,
)
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.evaluation import predict_set
from jaxcam.progress import Progress

NAME = "worst group"


class Cell(NamedTuple):
    """One class in one group."""

    label: int
    group: str
    right: int
    total: int
    others: tuple[int, int]
    """right answers and pictures of the same class in the other groups"""


def worst_group(evidence: Evidence, *, progress: Progress) -> Signal:
    """How far the accuracy of a class in one group lies below that of the same class in the other groups.

    The worst-group accuracy is that of Sagawa et al. (2020). The cell that is judged is the one whose fall chance
    explains least; with several cells each is held to a stricter level (Bonferroni).
    """
    file = evidence.subject.options.groups
    if file is None:
        return not_applicable("C5", NAME, "confirm", "no --groups file with a path and a group for each picture")
    images, options = evidence.subject.audited, evidence.subject.options
    words = read_groups(file, images)
    rows = chosen_rows(images, words, options.per_class, options.seed)
    if not len(rows):
        raise UserError(
            f"{file} names none of the pictures; {images.paths[0] if len(images) else '?'!r} was looked for"
        )
    found = predict_set(
        evidence.subject.classifier, images.subset(rows), progress=progress, batch_size=options.batch_size
    )
    kept = found.readable
    labels, groups = images.labels[rows][kept], np.array([words[row] for row in rows.tolist()])[kept]
    right = found.logits[kept].argmax(1) == labels
    cells = cells_of(labels, groups, right)
    if len({cell.group for cell in cells}) < 2:
        return not_applicable("C5", NAME, "confirm", f"{file} has one group only; two are needed to compare")
    chance = 1 / evidence.classes
    compared = [c for c in cells if c.others[1] and c.others[0] / c.others[1] >= chance + ABOVE_CHANCE]
    if not compared:
        reason = "no class is recognised clearly above guessing in other groups: nothing can fall"
        return not_applicable("C5", NAME, "confirm", reason)
    return judged(evidence, cells, compared)


def judged(evidence: Evidence, cells: list[Cell], compared: list[Cell]) -> Signal:
    """The signal for the cell that falls furthest beyond chance."""
    names = evidence.subject.classifier.class_names

    def certainty(cell: Cell) -> float:
        other, own = Share((cell.others[0],), (cell.others[1],)), Share((cell.right,), (cell.total,))
        return min(1.0, fall_by_chance(other, own) * len(compared))

    def gap(cell: Cell) -> float:
        return cell.others[0] / cell.others[1] - cell.right / cell.total

    worst = min(compared, key=lambda cell: (certainty(cell), -gap(cell)))
    value, low, high = combined([(1.0, *worst.others), (-1.0, worst.right, worst.total)])
    certain = certainty(worst)
    status, threshold = THRESHOLDS["C5"].judge(value)
    if certain > ALPHA:
        status = "amber" if status == "red" else "green"
    lowest = min(cells, key=lambda cell: cell.right / cell.total)
    worse = below_chance(Share((worst.right,), (worst.total,)), 1 / evidence.classes)
    sentence = (
        f"{names[worst.label]} in the group {worst.group!r} is recognised {percent(worst.right / worst.total)} "
        f"({worst.right} of {worst.total}), in the other groups {percent(worst.others[0] / worst.others[1])} "
        f"({worst.others[0]} of {worst.others[1]})"
        + ("; worse than guessing, so it follows something that the group breaks." if worse else ".")
    )
    ordered = sorted(cells, key=lambda cell: cell.right / cell.total)
    return Signal(
        id="C5",
        name=NAME,
        layer="confirm",
        value=value,
        interval=(low, high),
        count=sum(cell.total for cell in cells),
        status=status,
        threshold=threshold,
        sentence=sentence,
        details={
            "worst_group_accuracy": lowest.right / lowest.total,
            "cells": [
                {"class": names[cell.label], "group": cell.group, "right": cell.right, "n": cell.total}
                for cell in ordered
            ],
            "p": certain,
            "below_chance": worse,
            # A group may just be harder. Only what is worse than guessing cannot be explained by that.
            "decisive": worse,
        },
        figures={
            "accuracies": Figure(
                np.array([cell.right / cell.total for cell in ordered], np.float32),
                "values",
                tuple(f"{names[cell.label]} / {cell.group}" for cell in ordered),
            )
        },
    )


def cells_of(labels: np.ndarray, groups: np.ndarray, right: np.ndarray) -> list[Cell]:
    """Every class in every group that it has pictures in."""
    found = []
    for label in np.unique(labels).tolist():
        own = labels == label
        for group in np.unique(groups[own]).tolist():
            inside = own & (groups == group)
            outside = own & (groups != group)
            others = (int(right[outside].sum()), int(outside.sum()))
            found.append(Cell(label, group, int(right[inside].sum()), int(inside.sum()), others))
    return found


def chosen_rows(images: ImageSet, words: list[str], most: int, seed: int) -> np.ndarray:
    """Rows with a label and a group, at most so many of each class and group."""
    cells: dict[tuple[int, str], list[int]] = {}
    for row, (label, word) in enumerate(zip(images.labels.tolist(), words, strict=True)):
        if label >= 0 and word:
            cells.setdefault((label, word), []).append(row)
    generator, rows = np.random.default_rng([seed, 0xC5]), []
    for _, found in sorted(cells.items()):
        rows += generator.permutation(found)[:most].tolist()
    return np.sort(np.array(rows, int))


def read_groups(file: Path, images: ImageSet) -> list[str]:
    """The group of every row of a set, empty where the file has none; paths as the set has them, or file names."""
    try:
        lines = csv.reader(file.read_text(encoding="utf-8-sig").splitlines(), strict=True)
        header = [name.strip().lower() for name in next(lines, [])]
        if "path" not in header or "group" not in header:
            raise UserError(f"{file} needs the columns path and group; its first line is {', '.join(header)[:80]!r}")
        path, group = header.index("path"), header.index("group")
        found: dict[str, str] = {}
        for line in lines:
            if line and len(line) != len(header):
                raise UserError(
                    f"{file}, line {lines.line_num}: {len(line)} fields, the first line names {len(header)}"
                )
            if line:
                found[line[path].strip()] = line[group].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the groups {file} cannot be read: {error}") from error
    return [word or "" for word in matched(found, images, file)]
