"""Overlay pictures as files: single images, or every image of a map store."""

import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8

from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.folder import ImageSet
from jaxcam.maps import render
from jaxcam.maps.store import MapStore
from jaxcam.preprocessing import Preprocessing


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


def write_set_overlays(store: MapStore, images: ImageSet, folder: str | Path, preprocessing: Preprocessing) -> str:
    """Write every map of a store over its image as the network sees it, and say in a line what was written.

    The files are `FOLDER/CLASS_FOLDER/FILE_METHOD.jpg`, and `FILE_METHOD_CLASS.jpg` where there is a map for every
    class; the maps of one method and image share one colour scale. Unreadable images are left out and counted.
    """
    folder, written, skipped = Path(folder), 0, 0
    safe = [re.sub(r"[^A-Za-z0-9.-]", "_", name) for name in images.class_names]
    if len(set(safe)) < len(safe):
        safe = [f"{number}_{name}" for number, name in enumerate(safe)]
    for batch in range(store.batches):
        rows = store.rows(batch)
        maps = {method: store.read(method, rows) for method in store.methods}
        for position, row in enumerate(range(rows.start, rows.stop)):
            try:
                image = decode(images.file(row), preprocessing)
            except UnreadableImage:
                skipped += 1
                continue
            for method, values in maps.items():
                own = values[position]
                low, high = render.value_range(own)
                mode: render.Mode = "signed" if low < 0 else "unsigned"
                several = own if own.ndim == 3 else own[None]
                endings = [f"{method}_{name}" for name in safe] if own.ndim == 3 else [method]
                for ending, one in zip(endings, several, strict=True):
                    blended = render.overlay(image, one, vmin=low, vmax=high, mode=mode)
                    render.save_jpeg(folder / f"{images.paths[row]}_{ending}.jpg", blended)
                    written += 1
    left = f" ({skipped} unreadable images left out)" if skipped else ""
    return f"{written} overlays in {folder}{left}"
