"""Object masks beside the pictures: found by name, read at the size that a network takes, or derived."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from jaxcam.data.composites import clean
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jpg")
DIFFERENT = 40
"""largest difference of a channel, of 255, up to which a pixel is the scene's"""
STATIC = 0.5
"""mean share of pixels that differ from the median, up to which the scene is a fixed one"""
LEAST = 8
"""pictures that a median needs"""
PART = 64


def mask_file(folder: Path, images: ImageSet, row: int) -> Path | None:
    """The mask of an image: under its relative path, in the folder itself or below the split's name."""
    path = Path(images.paths[row])
    for below in (folder, folder / images.root.name, folder / images.name):
        for suffix in (path.suffix, *SUFFIXES):
            file = (below / path).with_suffix(suffix)
            if file.is_file():
                return file
    return None


def read_mask(file: Path, preprocessing: Preprocessing) -> Bool[np.ndarray, "h w"]:
    """A mask at the network's input size, resized as its image is; above half of white (or above 0 of 1) is the object.

    Raises `UserError` for a file that cannot be read.
    """
    try:
        values = decode(file, replace(preprocessing, resize="nearest")).max(-1)
    except UnreadableImage as error:
        raise UserError(f"mask {str(file)!r} cannot be read: {error.reason}") from error
    return values > (127 if values.max() > 1 else 0)


def novelty(pixels: UInt8[np.ndarray, "*n h w 3"], scene: UInt8[np.ndarray, "*m h w 3"]) -> UInt8[np.ndarray, "..."]:
    """The largest difference of the three channels."""
    return (np.maximum(pixels, scene) - np.minimum(pixels, scene)).max(-1)


def median_scene(pixels: UInt8[np.ndarray, "n h w 3"]) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """The pixel-wise median of pictures, and the mean share of their pixels that differ from it.

    Where the camera does not move the median is the empty scene, and the share is small.
    """
    median = np.median(pixels, axis=0).astype(np.uint8)
    changed = [float((novelty(part, median) > DIFFERENT).mean()) * len(part) for part in _parts(pixels)]
    return median, sum(changed) / max(1, len(pixels))


def new_in(picture: UInt8[np.ndarray, "h w 3"], scene: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """What a picture shows before a scene that is known nearly: clear differences, without specks."""
    return clean(novelty(picture, scene) > DIFFERENT)


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(pixels), PART):
        yield pixels[first : first + PART]
