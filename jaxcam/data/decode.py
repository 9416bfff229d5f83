"""One image file to pixels of the size that a network takes.

Any number of threads may call the functions; see `jaxcam.data.image_files` for what is refused and how much memory they
take together.
"""

import os
from contextlib import ExitStack
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxcam.data.arrays import ValueRange, pictures, to_picture
from jaxcam.data.image_files import FORMATS as FORMATS
from jaxcam.data.image_files import (
    LARGE,
    UnreadableImage,
    header_orientation,
    opened,
    orientation,
    room,
    upright_rgb,
    wrapped,
)
from jaxcam.data.image_files import MAX_PIXELS as MAX_PIXELS
from jaxcam.data.image_files import probe as probe
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
}


def decode(path: str | os.PathLike | bytes, preprocessing: Preprocessing) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture (a file, or a file's bytes) as RGB, upright, resized to `preprocessing.size` with filter and fit.

    The result equals Pillow's `resize` (with "crop": `ImageOps.fit`) of the full picture, turned as its EXIF
    orientation says, with two exceptions (neither with "nearest"): a JPEG at least four times as large as needed is
    decoded at a reduced scale that leaves at least twice the wanted size, and pictures over 16 million pixels are
    reduced likewise, by the mean of boxes.

    Alpha: a constant 255 is dropped, anything else is laid over white. 16-bit grey is divided by 257. 32-bit integer
    and float grey is taken to have the smallest white of 1 (float only), 255 and 65535 that holds its values; others
    are refused. CMYK, LAB and palettes are converted by Pillow. Of several frames the first is taken.

    Raises `UnreadableImage` for everything that goes wrong with the file, a missing file too, and for a picture over
    `MAX_PIXELS` or one that takes more than `image_files.MAX_MEMORY` to decode.
    """
    height, width = preprocessing.size
    with ExitStack() as held, opened(path) as image:
        extent, full = None, image.size
        if image.format in ("JPEG", "MPO") and preprocessing.resize != "nearest":
            turned = header_orientation(image) > 4
            drafted = image.draft(None, (2 * height, 2 * width) if turned else (2 * width, 2 * height))
            extent = drafted[1][2:] if drafted else None
        reduced = _factors(image, preprocessing, header_orientation(image)) != (1, 1)
        held.enter_context(room(image, full, reduced=reduced))
        pixels = _pixels(image, extent, preprocessing)
        image.close()
        del image  # a picture's memory is free before another one takes the room
    return pixels


def to_pixels(
    images: Any, preprocessing: Preprocessing, *, value_range: ValueRange | None = None
) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures in memory or in files, resized as `decode` does it.

    `images` is one file name, PIL image or array (h, w, 3), a list of file names, PIL images and arrays (h, w, 3), or
    one array (n, h, w, 3). Arrays are RGB `uint8`, or other numbers that can only mean 0..255 (see
    `jaxcam.data.arrays`); `value_range` = (black, white) says what the values of arrays mean. Alpha is laid over white,
    grey becomes RGB.

    Raises `UserError` for unreadable files, naming the first, and for arrays of another type, shape or range.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    if not isinstance(images, list | tuple):
        images = pictures(images, value_range=value_range)
        value_range = None
    several = len(images) > 1
    pixels = [
        _any_to_pixels(image, preprocessing, value_range, f"image {place}" if several else "image")
        for place, image in enumerate(images)
    ]
    return np.stack(pixels) if pixels else np.zeros((0, *preprocessing.size, 3), np.uint8)


def _any_to_pixels(
    image: Any, preprocessing: Preprocessing, value_range: ValueRange | None, name: str
) -> UInt8[np.ndarray, "h w 3"]:
    try:
        if isinstance(image, str | os.PathLike):
            name = str(image)
            return decode(image, preprocessing)
        if not isinstance(image, Image.Image):
            image = to_picture(image, value_range=value_range, name=name)
        with wrapped():
            return _pixels(image, None, preprocessing)
    except UnreadableImage as error:
        raise UserError(f"{name}: {error.reason}") from error


def _pixels(
    image: Image.Image, extent: tuple[float, float] | None, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "h w 3"]:
    """Load, convert, turn and resize; `extent` is the size that a reduced JPEG's pixels stand for (see `_box`)."""
    height, width = preprocessing.size
    image.load()
    # Only now: other formats than JPEG may hold the tag behind the pixels, and Pillow has turned a TIFF already.
    way = orientation(image)
    extent = extent or (float(image.width), float(image.height))
    factors = _factors(image, preprocessing, way)
    picture = upright_rgb(image, factors)
    box = _box(picture.size, (extent[0] / factors[0], extent[1] / factors[1]), way)
    if preprocessing.fit == "crop":
        box = _centre(box, width / height)
    return np.array(picture.resize((width, height), _FILTERS[preprocessing.resize], box=box))


def _factors(image: Image.Image, preprocessing: Preprocessing, way: int) -> tuple[int, int]:
    """By how much a large picture is reduced before it is resized: at least twice the wanted size is left."""
    if image.width * image.height <= LARGE or preprocessing.resize == "nearest":
        return (1, 1)
    height, width = preprocessing.size if way < 5 else preprocessing.size[::-1]
    across, down = max(1, image.width // (2 * width)), max(1, image.height // (2 * height))
    return (across, down) if preprocessing.fit == "stretch" else (min(across, down), min(across, down))


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
