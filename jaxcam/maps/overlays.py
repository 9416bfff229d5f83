"""Overlay pictures as files: single images, or every image of a map store."""

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Num, UInt8

from jaxcam.data.folder import ImageSet
from jaxcam.files import replace_file
from jaxcam.maps import render
from jaxcam.maps.panels import Look
from jaxcam.maps.reader import Maps, open_maps
from jaxcam.maps.shown import ShownMap, file_word, show
from jaxcam.maps.store import MapStore
from jaxcam.preprocessing import Preprocessing

Kind = Literal["jpg", "png"]


def write_overlays(
    folder: str | Path,
    names: Sequence[str],
    images: UInt8[np.ndarray, "n height width 3"],
    maps: Num[np.ndarray, "n h w"],
) -> list[Path]:
    """Write `NAME.jpg` with its map laid over for every image; equal names get a number. Returns the files in order."""
    files, used = [], set()
    for name, image, values in zip(names, images, maps, strict=True):
        copies = (f"{name}-{number}" for number in count(2))
        free = next(one for one in chain([name], copies) if one not in used)
        used.add(free)
        files.append(Path(folder) / f"{free}.jpg")
        render.save_jpeg(files[-1], render.overlay(image, values))
    return files


def write_set_overlays(
    store: MapStore | Maps,
    images: ImageSet,
    folder: str | Path,
    preprocessing: Preprocessing,
    *,
    look: Look | None = None,
    kind: Kind = "jpg",
) -> str:
    """Write every map of a store over its image as the network sees it, and say in a line what was written.

    The files are `FOLDER/PATH_METHOD.jpg`, and `PATH_METHOD_CLASS.jpg` where there are several maps an image; the maps
    of one method and image share one colour scale (`look.scale="set"`: all maps of a method). Unreadable images are
    left out and counted.
    """
    maps = open_maps(store.path) if isinstance(store, MapStore) else store
    look, folder = look or Look(), Path(folder)
    written, skipped = 0, 0
    safe = [file_word(name) for name in images.class_names]
    # Class names that would look the same in a file's name get their number.
    numbers = dict(zip(images.class_names, range(len(safe)), strict=True)) if len(set(safe)) < len(safe) else {}
    for shown in show(named(maps, images), images, preprocessing, look):
        if shown.pixels is None:
            skipped += 1
            continue
        endings = file_endings(shown.maps, numbers)
        for ending, picture in zip(endings, shown.drawn(look), strict=True):
            content = render.encode(picture, "jpeg" if kind == "jpg" else "png")
            replace_file(folder / f"{images.paths[shown.row]}_{ending}.{kind}", content)
            written += 1
    left = f" ({skipped} unreadable images left out)" if skipped else ""
    return f"{written} overlays in {folder}{left}"


def named(maps: Maps, images: ImageSet) -> Maps:
    """The maps, with the image set's class names where the store does not know its own."""
    return maps if maps.class_names else Maps(maps.store, maps.rows, maps.table, images.class_names)


def file_endings(maps: Sequence[ShownMap], numbers: dict[str, int]) -> list[str]:
    """What tells an image's maps apart in file names: the method, of several maps the class, if need be a number.

    `numbers` are put before class names that would look the same.
    """
    several = {one.method for one in maps if sum(other.method == one.method for other in maps) > 1}
    endings: list[str] = []
    for one in maps:
        word = f"{numbers[one.words]}_{file_word(one.words)}" if one.words in numbers else file_word(one.words)
        ending = f"{one.method}_{word}" if one.method in several else one.method
        copies = (f"{ending}_{number}" for number in count(2))
        endings.append(next(free for free in chain([ending], copies) if free not in endings))
    return endings
