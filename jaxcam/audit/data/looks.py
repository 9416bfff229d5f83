"""What the data tests see of each picture: numbers, words, two thumbnails and checksums; each is read once."""

import hashlib
import math
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8
from PIL import Image

from jaxcam.data.image_files import UnreadableImage, opened, room, upright_rgb, wrapped
from jaxcam.data.images import ImageSet, Raw
from jaxcam.data.scan.examine import Findings, examine
from jaxcam.data.scan.measures import COLOUR_SIZE, LUMA_SIZE, MEASURES, measure, middle, small_copies
from jaxcam.data.scan.pool import cores
from jaxcam.progress import Progress

NUMBERS = ("width", "height", "aspect", "pixels", "file size", "bytes per pixel", "JPEG quality")
"""numbers of a file, beside `measures.MEASURES`"""
WORDS = ("format", "colour mode", "file ending", "JPEG tables", "EXIF", "camera", "EXIF rotation", "name pattern")


@dataclass(frozen=True, eq=False)
class Looks:
    """Readable pictures of a set and what is known of them."""

    rows: Int64[np.ndarray, " n"]
    """row in the set"""
    labels: Int32[np.ndarray, " n"]
    paths: tuple[str, ...]
    measures: Float32[np.ndarray, "n m"]
    """`measures.MEASURES`"""
    colour: UInt8[np.ndarray, "n 16 16 3"]
    luma: UInt8[np.ndarray, "n 64 64"]
    bytes_hash: tuple[str, ...]
    """SHA-256 of the file; empty where there is none"""
    pixels_hash: tuple[str, ...]
    """SHA-256 of the upright RGB values"""
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    """`NUMBERS`, for pictures that are files"""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """`WORDS`, for pictures that are files"""
    unreadable: int = 0
    of: int = 0
    """pictures with a label that the set has"""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: np.ndarray) -> "Looks":
        """The pictures at some places."""
        chosen = places.tolist()
        return replace(
            self,
            rows=self.rows[places],
            labels=self.labels[places],
            measures=self.measures[places],
            colour=self.colour[places],
            luma=self.luma[places],
            paths=tuple(self.paths[i] for i in chosen),
            bytes_hash=tuple(self.bytes_hash[i] for i in chosen),
            pixels_hash=tuple(self.pixels_hash[i] for i in chosen),
            numbers={name: values[places] for name, values in self.numbers.items()},
            words={name: tuple(values[i] for i in chosen) for name, values in self.words.items()},
        )


def look(images: ImageSet, *, most: int, seed: int = 0, progress: Progress) -> Looks:
    """Read at most `most` labelled pictures of a set, equal shares of the classes; unreadable ones are left out."""
    rows = chosen_rows(images.labels, most, seed)
    with ThreadPoolExecutor(cores(), thread_name_prefix="jaxcam-look") as pool:
        work = pool.map(lambda row: _findings(images, row), rows.tolist())
        found = list(progress.over(work, len(rows), f"{images.name}: looking at the pictures"))
    good = [place for place, one in enumerate(found) if one.pixels and one.luma is not None]
    kept, rows = [found[place] for place in good], rows[good]
    paths = tuple(images.paths[row] for row in rows.tolist())
    files = images.source is None
    return Looks(
        rows=rows,
        labels=images.labels[rows].astype(np.int32),
        paths=paths,
        measures=_stack([one.measures for one in kept], (len(MEASURES),), np.float32),
        colour=_stack([one.colour for one in kept], (COLOUR_SIZE, COLOUR_SIZE, 3), np.uint8),
        luma=_stack([one.luma for one in kept], (LUMA_SIZE, LUMA_SIZE), np.uint8),
        bytes_hash=tuple(one.sha256 for one in kept),
        pixels_hash=tuple(one.pixels for one in kept),
        numbers=_numbers(images, rows, kept) if files else {},
        words=_words(paths, kept) if files else {},
        unreadable=len(found) - len(kept),
        of=int((images.labels >= 0).sum()),
    )


def chosen_rows(labels: Int32[np.ndarray, " n"], most: int, seed: int) -> Int64[np.ndarray, " m"]:
    """Labelled rows, sorted: all where there are at most `most`, else classes in equal shares, as far as they go."""
    from jaxcam.audit.sample import quotas

    known = np.flatnonzero(labels >= 0)
    if len(known) <= most:
        return known.astype(np.int64)
    counts = np.bincount(labels[known])
    each = quotas(counts.astype(np.int64), most, most)
    generator = np.random.default_rng([seed, 0xDA7A])
    parts = [generator.permutation(np.flatnonzero(labels == c))[:count] for c, count in enumerate(each.tolist())]
    return np.sort(np.concatenate(parts)).astype(np.int64)


def _findings(images: ImageSet, row: int) -> Findings:
    if images.source is None:
        return examine(os.fspath(images.file(row)))
    try:
        return _of_memory(images.read(row))
    except UnreadableImage as error:
        return Findings(reason=error.reason)


def _of_memory(raw: Raw) -> Findings:
    """Pictures that are no files: their pixels tell all there is to tell."""
    if isinstance(raw, Path):
        return examine(os.fspath(raw))
    if isinstance(raw, np.ndarray):
        picture = Image.fromarray(raw)
    else:
        with opened(raw) as image, room(image, image.size, reduced=False):
            image.load()
            picture = upright_rgb(image).copy()
    with wrapped():
        luma, colour = small_copies(picture)
        digest = hashlib.sha256(f"{picture.width}x{picture.height}".encode() + picture.tobytes())
        found = Findings(pixels=digest.hexdigest(), width=picture.width, height=picture.height)
        found.luma, found.colour, found.measures = luma, colour, measure(luma, colour, middle(picture))
    return found


def _stack(parts: list, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack(parts).astype(dtype) if parts else np.zeros((0, *shape), dtype)


def _numbers(images: ImageSet, rows: Int64[np.ndarray, " n"], found: list[Findings]) -> dict[str, np.ndarray]:
    width = np.array([one.width or math.nan for one in found])
    height = np.array([one.height or math.nan for one in found])
    size = np.array([_size(images.file(row)) for row in rows.tolist()])
    quality = np.array([one.quality for one in found])
    values = (width, height, width / height, width * height, size, size / (width * height), quality)
    return dict(zip(NUMBERS, values, strict=True))


def _size(path: Path) -> float:
    try:
        return float(path.stat().st_size)
    except OSError:
        return math.nan


def _words(paths: tuple[str, ...], found: list[Findings]) -> dict[str, tuple[str, ...]]:
    columns = [
        (
            one.format,
            one.mode,
            os.path.splitext(path)[1].lower(),
            one.tables,
            "present" if one.has_exif else "none",
            one.camera,
            "turned" if "rotated" in one.notes else "upright",
            re.sub(r"\d+", "#", path.rsplit("/", 1)[-1]),
        )
        for path, one in zip(paths, found, strict=True)
    ]
    return dict(zip(WORDS, zip(*columns, strict=True), strict=True)) if columns else {}
