"""One image file to pixels: the only place that touches the bytes of files that nobody vouches for.

The functions hold no state and change none of Pillow's settings or Python's warning filters, so that any number of
threads may call them.
"""

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Pillow's names of the formats that are tried; a file's suffix plays no part"""
MAX_PIXELS = 89_478_485
"""larger pictures are refused (the size over which Pillow warns of a decompression bomb)"""

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, OSError, struct.error, Warning)
_REASON_LENGTH = 120

Image.init()  # registers the formats now, not from several threads at the first picture


class UnreadableImage(Exception):
    """A file that is not a picture, or a broken, refused or unsupported one; `reason` is one short line."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def decode(path: str | os.PathLike, preprocessing: Preprocessing) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB, upright, resized to `preprocessing.size` with its filter and fit.

    The result equals Pillow's `resize` (with "crop": `ImageOps.fit`) of the full picture, turned as its EXIF
    orientation says, with one exception: a JPEG at least four times as large as needed is decoded at a reduced scale
    that leaves at least twice the wanted size (not with "nearest").

    Alpha: a constant 255 is dropped, anything else is laid over white. 16-bit grey is divided by 257. 32-bit integer
    and float grey is taken to have the smallest white of 1 (float only), 255 and 65535 that holds its values; others
    are refused. CMYK, LAB and palettes are converted by Pillow. Of several frames the first is taken.

    Raises `UnreadableImage` for everything that goes wrong with the file, a missing file too.
    """
    height, width = preprocessing.size
    with _opened(path) as image:
        extent = None
        if image.format in ("JPEG", "MPO") and preprocessing.resize != "nearest":
            turned = _orientation(image) > 4
            drafted = image.draft(None, (2 * height, 2 * width) if turned else (2 * width, 2 * height))
            extent = drafted[1][2:] if drafted else None
        return _pixels(image, extent, preprocessing)


def probe(path: str | os.PathLike) -> tuple[int, int, str]:
    """Width, height and format by the header alone, before any EXIF orientation; cheap (about 0.2 ms).

    Raises `UnreadableImage`. A file that passes may still fail in `decode`.
    """
    with _opened(path) as image:
        return image.width, image.height, "JPEG" if image.format == "MPO" else str(image.format)


def to_pixels(images: Any, preprocessing: Preprocessing) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures in memory or in files, resized as `decode` does it.

    `images` is one file name or PIL image, a list of file names, PIL images and RGB `uint8` arrays (h, w, 3), or one
    such array (n, h, w, 3).

    Raises `UserError` for unreadable files, naming the first, and for arrays of another type or shape.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    if not isinstance(images, list | tuple):
        images = np.asarray(images)
        _check_array(images, "(n, h, w, 3)", 4)
    pixels = [_any_to_pixels(image, preprocessing) for image in images]
    return np.stack(pixels) if pixels else np.zeros((0, *preprocessing.size, 3), np.uint8)


def _any_to_pixels(image: Any, preprocessing: Preprocessing) -> UInt8[np.ndarray, "h w 3"]:
    try:
        if isinstance(image, str | os.PathLike):
            return decode(image, preprocessing)
        if not isinstance(image, Image.Image):
            image = np.asarray(image)
            _check_array(image, "(h, w, 3)", 3)
            image = Image.fromarray(image)
        with _wrapped():
            return _pixels(image, None, preprocessing)
    except UnreadableImage as error:
        raise UserError(f"{image if isinstance(image, str | os.PathLike) else 'image'}: {error.reason}") from error


def _check_array(array: np.ndarray, wanted: str, dimensions: int) -> None:
    if array.dtype != np.uint8 or array.ndim != dimensions or array.shape[-1] != 3:
        raise UserError(
            f"got a {array.dtype} array of shape {array.shape}; images are files, PIL images or RGB uint8 arrays"
            f" {wanted}, not normalised yet"
        )


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Open a picture without reading its pixels; whatever goes wrong, here or in the caller's block, is wrapped."""
    with _wrapped():
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise UnreadableImage("not a regular file")
        if status.st_size == 0:
            raise UnreadableImage("empty file")
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{image.width}x{image.height}, over the limit of {MAX_PIXELS} pixels")
            yield image


@contextmanager
def _wrapped() -> Iterator[None]:
    """Turn every exception into `UnreadableImage`: what Pillow raises for hostile bytes is not enumerable."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error)) from error


def _pixels(
    image: Image.Image, extent: tuple[float, float] | None, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "h w 3"]:
    """Load, convert, turn and resize; `extent` is the size that a reduced JPEG's pixels stand for (see `_box`)."""
    height, width = preprocessing.size
    image.load()
    # Only now: other formats than JPEG may hold the tag behind the pixels, and Pillow has turned a TIFF already.
    orientation = _orientation(image)
    picture = _to_rgb(image)
    if orientation in _TURNS:
        picture = picture.transpose(_TURNS[orientation])
    box = _box(picture.size, extent or (float(image.width), float(image.height)), orientation)
    if preprocessing.fit == "crop":
        box = _centre(box, width / height)
    return np.array(picture.resize((width, height), _FILTERS[preprocessing.resize], box=box))


def _reason(error: Exception) -> str:
    """One short line for an exception from Pillow or the file system, without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return "no JPEG, PNG, WebP, BMP, GIF or TIFF image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"over the limit of {MAX_PIXELS} pixels"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split()) or type(error).__name__
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 3] + "..."


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or where the EXIF block is broken."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _EXIF_ERRORS:
        return 1
    return int(value) if value in _TURNS else 1


def _box(size: tuple[int, int], extent: tuple[float, float], orientation: int) -> tuple[float, float, float, float]:
    """The part of an upright picture that its pixels cover.

    A JPEG decoded at 1/s has ceil(size / s) pixels, but the stored picture ends at size / s (`extent`, before turning),
    inside the last column and row. Turning moves these to the left or to the top.
    """
    width, height = extent if orientation < 5 else extent[::-1]
    left = size[0] - width if orientation in (2, 3, 6, 7) else 0.0
    top = size[1] - height if orientation in (3, 4, 7, 8) else 0.0
    return (left, top, left + width, top + height)


def _centre(box: tuple[float, float, float, float], ratio: float) -> tuple[float, float, float, float]:
    """The largest centred box of the given width / height within a box."""
    left, top, right, bottom = box
    width = min(right - left, ratio * (bottom - top))
    height = min(bottom - top, (right - left) / ratio)
    left += (right - left - width) / 2
    top += (bottom - top - height) / 2
    return (left, top, min(left + width, right), min(top + height, bottom))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as 8-bit RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    blended = image.convert("RGBA")
    alpha, colours = blended.getchannel("A"), blended.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return colours
    white = Image.new("RGB", colours.size, "white")
    white.paste(colours, mask=alpha)
    return white


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey levels as 8-bit ones, rounded; Pillow's own conversion clips them."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    low, high = float(values.min()), float(values.max())
    # Such a file does not say what its white is, and its own maximum would change with every picture.
    whites = [white for white in ((1, 255, 65535) if image.mode == "F" else (255, 65535)) if high <= white]
    if not (low >= 0 and whites):  # NaN fails here too
        raise UnreadableImage(f"32-bit grey levels from {low:g} to {high:g}; only 0..1, 0..255 and 0..65535 are known")
    return Image.fromarray((values * (255 / whites[0]) + 0.5).astype(np.uint8))
