"""The story's page: one file with the pictures behind every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxcam.classifier import Predictions
from jaxcam.data.composites import read_picture
from jaxcam.report.pages import write_page
from jaxcam.report.pictures import heat, thumbnail

if TYPE_CHECKING:
    from jaxcam.demo.pictures import Pictures
    from jaxcam.demo.story import Explained, Result

SHOWN_PER_CLASS = 2
WIDTH = 360


@dataclass(frozen=True)
class Frame:
    """A picture with its map and its answer."""

    photo: str
    heat: str
    ratio: float
    truth: str
    answer: str
    probability: float
    right: bool | None
    """None where the picture shows no class"""


@dataclass(frozen=True)
class Chapter:
    """An experiment on the page."""

    result: Result
    verdict: str
    valid: tuple[Frame, ...]
    swapped: tuple[Frame, ...]
    empty: tuple[Frame, ...]


def chapter(result: Result, explained: Mapping[str, Explained], told: Pictures) -> Chapter:
    """Frames of some validation pictures, of the same figures before the other background, and of the empty scenes."""
    valid, swapped, empty = (explained[name] for name in ("valid", "swapped", "empty"))
    return Chapter(
        result,
        verdict(result),
        frames(valid, chosen(valid)),
        frames(swapped, chosen(swapped)),
        frames(empty, np.arange(len(empty.images))),
    )


def chosen(explained: Explained) -> np.ndarray:
    """The first rows of each class, the same for every experiment."""
    labels, rows = explained.images.labels, explained.figures
    return np.concatenate([rows[labels[rows] == label][:SHOWN_PER_CLASS] for label in np.unique(labels[rows])])


def frames(explained: Explained, rows: np.ndarray) -> tuple[Frame, ...]:
    """Pictures with maps; one colour scale for all of them, so that they can be compared."""
    images = explained.images
    answers = Predictions(explained.logits[rows], images.class_names)
    maps = np.maximum(explained.heat(rows), 0)
    high = float(maps.max()) or 1.0
    made = []
    for position, row in enumerate(rows.tolist()):
        picture = read_picture(images.file(row))
        label = int(images.labels[row])
        made.append(
            Frame(
                photo=thumbnail(picture, WIDTH),
                heat=heat(maps[position], low=0.0, high=high),
                ratio=picture.shape[1] / picture.shape[0],
                truth=images.folder_names[row],
                answer=answers.labels[position],
                probability=float(answers.probabilities[position].max()),
                right=None if label < 0 else bool(answers.logits[position].argmax() == label),
            )
        )
    return tuple(made)


def verdict(result: Result) -> str:
    """What the numbers of an experiment say, in a sentence; nothing is claimed that they do not show."""
    if result.dead or result.heat_on_figure is None:
        return "The head died: every picture gets the same logits. Nothing was learned, whatever the maps look like."
    valid, swapped = result.validation_accuracy, result.swapped_accuracy
    ratio = result.heat_on_figure / result.figure_area
    heat_there = f"{result.heat_on_figure:.0%} of its heat lies on the figure"
    looks = f"{heat_there}, {ratio:.1f} times what an even map would put there"
    if valid < 0.8:
        return f"It did not learn its task ({valid:.0%} on validation). {looks}."
    if swapped >= 0.8:
        return f"It knows the figures: before another background it is still right {swapped:.0%} of the time. {looks}."
    if swapped <= 0.3:
        hidden = (
            " Its maps and the empty scenes look like an all-clear; the swapped pictures say otherwise."
            if ratio > 2
            else ""
        )
        sure = f"{result.swapped_confidence:.0%} sure on average"
        found = f"with backgrounds swapped it is right {swapped:.0%} of the time, and {sure}"
        return f"It reads the background: {found}. {looks}.{hidden}"
    return f"It reads both: with backgrounds swapped it falls from {valid:.0%} to {swapped:.0%}. {looks}."


def write(out: Path, told: Pictures, results: Sequence[Result], chapters: Sequence[Chapter]) -> Path:
    """Write `index.html`."""
    context = {
        "title": "Right for the wrong reason",
        "source": told.source,
        "chapters": chapters,
        "results": results,
        "count": len(results),
    }
    return write_page(out / "index.html", "story.html", context)
