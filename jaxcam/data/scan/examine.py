"""One file, looked at from all sides: what it is, whether it can be used, what is odd about it.

Runs in the processes of `jaxcam.data.scan.pool`, for a hostile file may take the process down. No JAX here.
"""

import hashlib
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image

from jaxcam.data.image_files import LARGE, UnreadableImage, bands, opened, orientation, room, upright_rgb
from jaxcam.data.scan import measures, structure

TINY = 32
"""pixels of the shorter side below which a picture is called tiny"""
LONG = 4.0
"""longer side over shorter side from which on a picture is called long"""


@dataclass(slots=True)
class Findings:
    """What is known of one file; the fields that decoding gives are empty where it failed."""

    reason: str = ""
    """why the file cannot be used, one line; empty for a good one"""
    problem: str = ""
    """the kind of that reason, one of `kinds.PROBLEMS`"""
    notes: tuple[str, ...] = ()
    """what is odd about it, of `kinds.NOTES`"""
    format: str = ""
    mode: str = ""
    width: int = 0
    """pixels across, upright"""
    height: int = 0
    sha256: str = ""
    """of the bytes"""
    pixels: str = ""
    """SHA-256 of the upright size and RGB values"""
    quality: float = math.nan
    """of a JPEG's quantisation table, as libjpeg counts it"""
    tables: str = ""
    """short hash of a JPEG's quantisation tables"""
    camera: str = ""
    """maker and model by EXIF"""
    has_exif: bool = False
    measures: Float32[np.ndarray, " m"] | None = None
    luma: UInt8[np.ndarray, "64 64"] | None = field(default=None, repr=False)
    colour: UInt8[np.ndarray, "16 16 3"] | None = field(default=None, repr=False)


def examine(path: str) -> Findings:
    """Read a file to its last pixel; whatever is wrong with it is in the result, nothing is raised."""
    found = Findings()
    try:
        status = os.stat(path)
        if os.path.isfile(path) and status.st_size:
            found.sha256 = _hash_of(path)
    except OSError:
        pass  # `opened` says why
    try:
        with opened(path) as image:
            _look(path, image, found)
    except UnreadableImage as error:
        found.reason = error.reason
        found.problem = structure.problem(path, error.reason)
        found.measures = found.luma = found.colour = None
        found.pixels = ""
    return found


def _look(path: str, image: Image.Image, found: Findings) -> None:
    found.format = "JPEG" if image.format == "MPO" else str(image.format)
    found.mode, full = image.mode, image.size
    found.width, found.height = full
    notes = structure.header_notes(path, image)
    factors = _factors(image)
    with room(image, full, reduced=factors != (1, 1)):
        image.load()
        if orientation(image) > 4:
            found.width, found.height = full[1], full[0]
        elif image.format == "TIFF":  # turned by Pillow while it was loaded
            found.width, found.height = image.size
        _metadata(image, found)
        notes += _notes(image, found, notes)
        picture = upright_rgb(image, factors)
        found.pixels = _pixel_hash(image, picture, factors)
        found.luma, found.colour = measures.small_copies(picture)
        native = picture if factors == (1, 1) else upright_rgb(_centre(image))
        found.measures = measures.measure(found.luma, found.colour, measures.middle(native))
    if found.luma.std() < 1.5 and np.ptp(found.colour.reshape(-1, 3), axis=0).max() < 6:
        notes.append("one colour")
    found.notes = tuple(dict.fromkeys([*notes, *structure.frame_notes(image)]))


def _factors(image: Image.Image) -> tuple[int, int]:
    """By how much a large picture is reduced: a side of 512 is left."""
    if image.width * image.height <= LARGE:
        return (1, 1)
    return max(1, image.width // 512), max(1, image.height // 512)


def _centre(image: Image.Image) -> Image.Image:
    """The middle of a large picture, on the grid of 8 pixels."""
    left, top = (max(0, (side - measures.NATIVE) // 16 * 8) for side in image.size)
    right, bottom = min(left + measures.NATIVE, image.width), min(top + measures.NATIVE, image.height)
    return image.crop((left, top, right, bottom))


def _hash_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pixel_hash(image: Image.Image, picture: Image.Image, factors: tuple[int, int]) -> str:
    """Of the upright RGB values; of a large picture, of the stored values and what is done with them."""
    if factors == (1, 1):
        digest = hashlib.sha256(f"{picture.width}x{picture.height}".encode())
        for _, band in bands(picture):
            digest.update(band.tobytes())
        return digest.hexdigest()
    digest = hashlib.sha256(f"{image.width}x{image.height} {orientation(image)}".encode())
    for _, band in bands(image):
        digest.update((upright_rgb(band) if image.mode not in ("I", "F") else band).tobytes())
    return digest.hexdigest()


def _metadata(image: Image.Image, found: Findings) -> None:
    if tables := getattr(image, "quantization", None):
        found.quality = structure.jpeg_quality(tables)
        found.tables = hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()[:8]
    try:
        exif = image.getexif()
        found.has_exif = len(exif) > 0 and image.format != "TIFF"
        words = [_plain(exif.get(tag, "")) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
        found.camera = " ".join(word for word in words if word)[:60]
    except Exception:  # a broken EXIF block raises anything, and loses no picture
        found.has_exif = True


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _notes(image: Image.Image, found: Findings, known: list[str]) -> list[str]:
    notes = []
    if image.mode == "CMYK":
        notes.append("CMYK")
    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16"):
        notes.append("grey")
    if (image.mode in ("I", "F") or image.mode.startswith("I;16")) and "16-bit" not in known:
        notes.append("16-bit")
    if image.mode in ("P", "PA"):
        notes.append("palette")
    if image.has_transparency_data:
        notes.append("alpha")
    if orientation(image) != 1 or "rotated" in known:
        notes.append("rotated")
    short, long = sorted((found.width, found.height))
    if short < TINY:
        notes.append("tiny")
    if found.width * found.height > LARGE:
        notes.append("huge")
    if long >= LONG * short:
        notes.append("long")
    return notes
