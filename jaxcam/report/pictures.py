"""Pictures inside a page: images and coloured maps as data URIs."""

import base64
import io
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Num, UInt8
from PIL import ExifTags, Image, features

from jaxcam.data.decode import probe
from jaxcam.data.images import Raw, decode_raw
from jaxcam.maps import render
from jaxcam.preprocessing import Preprocessing

HEAT_WIDTH = 80
"""pixels of the longer side of a coloured map; the browser enlarges it further"""


def picture_kind(format: Literal["webp", "jpeg", "png"] = "webp") -> Literal["webp", "jpeg", "png"]:
    """The format that pictures are written in: JPEG instead of WebP where Pillow was built without it."""
    return "jpeg" if format == "webp" and not features.check("webp") else format


def thumbnail(
    image: UInt8[np.ndarray, "h w 3"], width: int, format: Literal["webp", "jpeg", "png"] = "webp", *, quality: int = 72
) -> str:
    """A picture as a data URI, shrunk to at most `width` pixels across; never enlarged.

    Where Pillow was built without WebP a JPEG is made instead.
    """
    return data_uri(file_content(image, width, format, quality=quality), format)


def file_content(
    image: UInt8[np.ndarray, "h w 3"], width: int, format: Literal["webp", "jpeg", "png"] = "webp", *, quality: int = 72
) -> bytes:
    """The same picture as the content of a file of `picture_kind(format)`."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    if width < image.shape[1]:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    return render.encode(image, picture_kind(format), quality=quality)


def data_uri(content: bytes, format: Literal["webp", "jpeg", "png"] = "webp") -> str:
    """A picture file's content as an address that a page can show without loading anything."""
    return f"data:image/{picture_kind(format)};base64,{base64.b64encode(content).decode()}"


def heat(values: Num[np.ndarray, "h w"], *, low: float, high: float, colormap: str | None = None) -> str:
    """A map in colours (`coloured`) as a data URI."""
    colours = coloured(values, low=low, high=high, colormap=colormap)
    return thumbnail(colours, colours.shape[1], quality=80)


def coloured(
    values: Num[np.ndarray, "h w"],
    *,
    low: float,
    high: float,
    colormap: str | None = None,
    size: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """A map in colours, enlarged by the half-pixel rule before it is coloured.

    A map that is larger (one value a pixel) is shrunk first, by means over blocks. Without a `size` the longer side is
    `HEAT_WIDTH` and the proportions are the map's.
    """
    block = max(1, max(values.shape) // HEAT_WIDTH)
    if block > 1:
        height, width = (max(1, side // block) for side in values.shape)
        block_h, block_w = values.shape[0] // height, values.shape[1] // width
        cut = np.nan_to_num(values[: height * block_h, : width * block_w].astype(np.float32), posinf=high, neginf=low)
        values = cut.reshape(height, block_h, width, block_w).mean((1, 3))
    scale = HEAT_WIDTH / max(values.shape)
    size = size or (max(1, round(values.shape[0] * scale)), max(1, round(values.shape[1] * scale)))
    large = render.resize_map(np.nan_to_num(values.astype(np.float32), posinf=high, neginf=low), size)
    mode: render.Mode = "signed" if low < 0 else "unsigned"
    return render.colour(large, colormap=colormap, vmin=low, vmax=high, mode=mode)


def open_picture(raw: Raw, *, longest: int, crop_to: tuple[int, int] | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """The part of an image that the network saw, upright, in its own proportions and at most `longest` pixels long.

    `crop_to` is the (height, width) that the network cuts out of the centre; None where it stretches the whole image.
    Pixels of a prepared set are what the network saw already. Raises `UnreadableImage`.
    """
    if isinstance(raw, np.ndarray):
        whole, crop_to = (raw.shape[1], raw.shape[0]), None
    else:
        whole = _upright_size(raw)
    width, height = whole
    if crop_to is not None:
        share = min(whole[1] / crop_to[0], whole[0] / crop_to[1])
        height, width = round(crop_to[0] * share), round(crop_to[1] * share)
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return decode_raw(raw, Preprocessing(size=size, fit="stretch" if crop_to is None else "crop"))


def _upright_size(raw: Path | bytes) -> tuple[int, int]:
    width, height, kind = probe(raw)
    if kind == "TIFF":  # Pillow turns these itself
        return width, height
    try:
        with Image.open(io.BytesIO(raw) if isinstance(raw, bytes) else raw) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, TypeError, LookupError, SyntaxError, ArithmeticError):
        turned = False  # as `decode` does where the EXIF block is broken
    return (height, width) if turned else (width, height)


PLACES = (
    "nowhere", "upper left", "upper centre", "upper right", "middle left", "centre", "middle right", "lower left",
    "lower centre", "lower right",
)  # fmt: skip
"""where the largest value of a map may lie"""


def hottest_place(values: Num[np.ndarray, "h w"]) -> str:
    """Where the largest value of a map lies, as one of `PLACES`; for those who cannot see it."""
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        return PLACES[0]
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return PLACES[1 + 3 * (3 * int(row) // values.shape[0]) + 3 * int(column) // values.shape[1]]
