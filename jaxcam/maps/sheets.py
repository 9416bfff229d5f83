"""Contact sheets: a page of images with one method's maps, chosen by class, by error or by score."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from jaxcam.data.folder import ImageSet
from jaxcam.errors import UserError
from jaxcam.maps import render
from jaxcam.maps.panels import Look, colour_bar, grid, shrunk, softmax
from jaxcam.maps.reader import Maps
from jaxcam.maps.shown import Shown, set_limits, show
from jaxcam.preprocessing import Preprocessing

Order = Literal["class", "errors", "score", "first"]
TILE = 160
"""pixels of a tile's width"""


def chosen(maps: Maps, count: int, order: Order) -> tuple[Int[np.ndarray, " m"], str]:
    """Places of at most `count` images, and a sentence about them.

    `class`: as many of each class, evenly spread over its images; `errors`: wrongly predicted ones, the surest first;
    `score`: highest score of the (first) target; `first`: the first ones. Unreadable images are left out.
    """
    if count < 1:
        raise UserError(f"--sheet is {count}; it must be at least 1")
    logits = maps["logits"][:]
    readable = np.isfinite(logits).all(1)
    if order == "first":
        return np.flatnonzero(readable)[:count], "the first"
    if order == "score":
        scores = np.where(readable, maps["scores"][:][:, 0], -np.inf)
        places = np.argsort(-scores, kind="stable")[: min(count, int(readable.sum()))]
        return places, "highest scores first"
    labels = maps.labels
    if order == "errors":
        shares = softmax(logits)
        best = np.nan_to_num(logits, nan=-np.inf).argmax(1)
        wrong = np.flatnonzero(readable & (labels >= 0) & (best != labels))
        sure = shares[wrong, best[wrong]]
        return wrong[np.argsort(-sure, kind="stable")][:count], f"surest of {len(wrong)} errors first"
    found: list[int] = []
    present = [label for label in range(len(maps.class_names)) if (readable & (labels == label)).any()]
    for number, label in enumerate(present):
        own = np.flatnonzero(readable & (labels == label))
        room = (count - len(found)) // (len(present) - number)
        found += own[np.unique(np.arange(min(room, len(own))) * len(own) // max(1, min(room, len(own))))].tolist()
    return np.array(found, int), "of every class"


def write_sheets(
    maps: Maps,
    images: ImageSet,
    folder: str | Path,
    preprocessing: Preprocessing,
    *,
    count: int = 36,
    order: Order = "class",
    look: Look | None = None,
    together: bool = False,
) -> list[Path]:
    """Write `FOLDER/METHOD_ORDER.jpg` for every method (`together`: one sheet, the methods side by side); the files.

    An image with several maps has a tile for each of the first four. Nothing is written where no image is chosen.
    """
    look, folder = look or Look(), Path(folder)
    places, words = chosen(maps, count, order)
    if not len(places):
        return []
    part = maps.where(places)
    groups = [maps.methods] if together else [(name,) for name in maps.methods]
    files = []
    for methods in groups:
        limits = set_limits(maps, methods[0], look.percentile) if look.scale == "set" else None
        shown = [one for one in show(part, images, preprocessing, look, methods) if one.pixels is not None]
        if not shown:
            continue
        name = "methods" if together else methods[0]
        title = f"{name}: {len(shown)} of {len(maps)} images of {images.name}, {words}"
        files.append(folder / f"{name}_{order}.jpg")
        render.save_jpeg(files[-1], sheet(shown, part, look, title, methods, limits))
    return files


def sheet(
    shown: list[Shown],
    maps: Maps,
    look: Look,
    title: str,
    methods: tuple[str, ...],
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """One page: an image and its maps beside it for one map an image or several, else a tile an image."""
    rows = {int(row): place for place, row in enumerate(maps.rows)}
    labels, predicted = maps.label_names, maps.predicted
    shares = softmax(maps["logits"][:])
    height, width = next(one.pixels.shape[:2] for one in shown if one.pixels is not None)
    tile = (max(1, round(TILE * height / width)), TILE)
    tiles, captions = [], []
    most = max(min(4 * len(methods), len(one.maps)) for one in shown)
    for one in shown:
        if one.pixels is None:
            continue
        place = rows[one.row]
        number = int(predicted[place])
        says = "" if number < 0 else f"{maps.class_names[number]} {shares[place, number]:.2f}"
        wrong = labels[place] in maps.class_names and number >= 0 and maps.class_names[number] != labels[place]
        tiles.append(shrunk(one.pixels, tile))
        captions.append([f"{labels[place]}, says {says}" if wrong else says, maps.paths[place]])
        drawn = one.drawn(look)[:most]
        for picture, values in zip(drawn, one.maps, strict=False):
            tiles.append(shrunk(picture, tile))
            score = "" if np.isnan(values.score) else f" {values.score:.3g}"
            method = f"{values.method} " if len(methods) > 1 else ""
            captions.append([f"{method}{values.words}{score}", ""])
    each = 1 + most
    columns = each * max(1, 8 // each)
    bar = colour_bar(*limits, colormap=look.colormap) if limits is not None and len(methods) == 1 else None
    return grid(tiles, columns=columns, captions=captions, title=title, tile=tile, bar=bar)
