"""D3: where in the picture does the light of one spot tell the class? An AUC for each cell of a 16 x 16 thumbnail."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from jaxcam.audit.data.looks import Looks
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.scan import areas
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.properties import FEWEST

NAME = "a spot at the border tells the class"
CHANCE = 0.01
BORDER = 3
"""cells from the border that count as border: what is outside of the middle 62 % of both sides"""
_CHANNELS = ("red", "green", "blue")
_MOST_MAPS = 64


def maps_of(looks: Looks, classes: int) -> tuple[Float64[np.ndarray, "k 16 16 3"], Float64[np.ndarray, "k 16 16 3"]]:
    """For every class the signed AUC of each cell and channel, and its standard deviations from chance."""
    count, side = len(looks), looks.colour.shape[1]
    found = areas.class_areas(looks.colour.reshape(count, -1), looks.labels.astype(np.int64), classes)
    shape = (classes, side, side, 3)
    return found.area.T.reshape(shape), np.nan_to_num(found.score.T).reshape(shape)


def signal(train: Looks, audited: Looks, class_names: Sequence[str], where: str) -> Signal:
    """The largest AUC of a cell at the border; the maps of all classes are its figure."""
    from scipy.stats import norm

    classes = len(class_names)
    counts = np.bincount(train.labels, minlength=classes)
    kept = np.flatnonzero(counts >= FEWEST)
    if len(kept) < 2:
        return not_applicable("D3", NAME, "data", f"fewer than two classes with {FEWEST} pictures in {where}")
    signed, scores = maps_of(train, classes)
    signed = np.nan_to_num(signed, nan=0.5)
    signed[counts < FEWEST], scores[counts < FEWEST] = 0.5, 0
    told = np.maximum(signed, 1 - signed)
    side = told.shape[1]
    inner = (slice(None), slice(BORDER, side - BORDER), slice(BORDER, side - BORDER))
    border = told.copy()
    border[inner] = 0.5
    label, row, column, channel = (int(i) for i in np.unravel_index(int(border.argmax()), border.shape))
    if len(kept) == 2:  # of two classes one is as high as the other is low; a mark makes its class's cell more even
        cell = train.colour[:, row, column, channel].astype(np.float64)
        label = min(kept.tolist(), key=lambda one: float(cell[train.labels == one].std()))
    value, score = float(border[label, row, column, channel]), float(scores[label, row, column, channel])
    tests = told[0].size * (1 if len(kept) == 2 else len(kept))
    chance = min(1.0, float(2 * norm.sf(score)) * tests)
    low, high = areas.interval(value, int(counts[label]), int(len(train) - counts[label]))
    bounds = THRESHOLDS["D3"]
    status, bound = bounds.judge(value)
    if chance > CHANCE:
        status = "green"
    elif status == "red" and bounds.amber is not None and low < bounds.amber:
        status = "amber"
    alike = int((told[label].max(-1) >= max(0.5, value - 0.05)).sum())
    overall = tuple(int(i) for i in np.unravel_index(int(told.argmax()), told.shape))
    shown = np.argsort(-told.max((1, 2, 3)), kind="stable")[:_MOST_MAPS]
    shown = np.sort(shown)
    words = place_in_words(row, column, side)
    way = "higher" if signed[label, row, column, channel] >= 0.5 else "lower"
    name = printable(class_names[label])
    return Signal(
        id="D3",
        name=NAME,
        layer="data",
        value=value,
        interval=(low, high),
        count=len(train),
        status=status,
        threshold=bound,
        sentence=(
            f"Of all spots at the border the {words} tells {name} best: its {_CHANNELS[channel]} is {way} in "
            f"{value:.0%} of all pairs in {where}{'' if chance <= CHANCE else ', which may be chance'}."
        ),
        images=_showing(audited, label, (row, column, channel), higher=way == "higher"),
        details={
            "measured_on": where,
            "class": name,
            "place": words,
            "cell": [row, column],
            "grid": [side, side],
            "channel": _CHANNELS[channel],
            "cells_within_0.05": alike,
            "p_corrected": float(f"{chance:.3g}"),
            "whole_picture": {
                "auc": round(float(told[overall]), 4),
                "class": printable(class_names[overall[0]]),
                "place": place_in_words(overall[1], overall[2], side),
                "cell": list(overall[1:3]),
                "channel": _CHANNELS[overall[3]],
            },
        },
        figures={
            "cells": Figure(
                told.max(-1)[shown].astype(np.float32), "auc", tuple(printable(class_names[i]) for i in shown.tolist())
            )
        },
    )


def place_in_words(row: int, column: int, side: int = 16) -> str:
    """Where a cell is.

    >>> place_in_words(15, 0), place_in_words(0, 8), place_in_words(8, 8)
    ('lower left corner', 'upper edge', 'centre')
    """
    near = side // 4
    down = "upper" if row < near else "lower" if row >= side - near else ""
    across = "left" if column < near else "right" if column >= side - near else ""
    if down and across:
        return f"{down} {across} corner"
    if down or across:
        return f"{down or across} edge"
    return "centre"


def _showing(audited: Looks, label: int, cell: tuple[int, int, int], *, higher: bool, each: int = 4) -> tuple[str, ...]:
    """Audited pictures of the class with most of it in the cell, and others with least."""
    values = audited.colour[:, cell[0], cell[1], cell[2]].astype(np.int64) * (1 if higher else -1)
    own, others = np.flatnonzero(audited.labels == label), np.flatnonzero(audited.labels != label)
    first = own[np.argsort(-values[own], kind="stable")][:each]
    last = others[np.argsort(values[others], kind="stable")][:each]
    return tuple(audited.paths[place] for place in (*first.tolist(), *last.tolist()))
