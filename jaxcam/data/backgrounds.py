"""Pictures marked with their masks, for the exchange of backgrounds on the device (`jaxcam.data.exchange`).

The mask travels in the lowest bit of the blue channel: the pictures stay three-channel `uint8` everywhere (in memory,
in the loader, on the devices), and blue is off by one level of 255 at most.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from jaxcam.data.exchange import BIT
from jaxcam.data.images import ImageSet, Source
from jaxcam.data.loader import batches
from jaxcam.data.masks import LEAST, STATIC, mask_file, median_scene, new_in, read_mask
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

DERIVED = "derived"
"""instead of a folder: masks of what stands out from each class' median picture"""
SAMPLE = 64
"""pictures of a class that its median is made of"""


class Marked(Source):
    """The pictures of a set at the network's size, each with its mask in the lowest bit of blue."""

    def __init__(
        self, images: ImageSet, preprocessing: Preprocessing, masks: Path | dict[int, UInt8[np.ndarray, "h w 3"]]
    ):
        self.images, self.preprocessing, self.masks = images, preprocessing, masks

    def read(self, place: int) -> UInt8[np.ndarray, "h w 3"]:
        """The marked pixels of a row; a picture without a mask is marked nowhere."""
        pixels = self.images.decode(place, self.preprocessing)
        pixels[..., 2] &= ~BIT
        pixels[..., 2] |= self.mask(place, pixels).astype(np.uint8)
        return pixels

    def mask(self, place: int, pixels: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
        """Where the object of a row is."""
        if isinstance(self.masks, dict):
            scene = self.masks.get(int(self.images.labels[place]))
            return np.zeros(pixels.shape[:2], bool) if scene is None else new_in(pixels, scene)
        file = mask_file(self.masks, self.images, place)
        return np.zeros(pixels.shape[:2], bool) if file is None else read_mask(file, self.preprocessing)

    def stamp(self, place: int) -> str:
        """Masks change nothing about which pictures these are."""
        return self.images.subset([place]).stamps()[0]


def marked(images: ImageSet, masks: str, preprocessing: Preprocessing, *, progress: Progress) -> ImageSet:
    """The same rows, marked with their masks: of a folder, or `derived` ones.

    Raises `UserError` for a folder without a mask for any picture, a mask that cannot be read, and where no class
    stands before a fixed scene that masks could be derived from.
    """
    source: Path | dict[int, np.ndarray]
    if masks == DERIVED:
        source, moving = medians(images, preprocessing, progress=progress)
        if not source:
            raise UserError(
                "--data.masks derived: the scene is not the same in all pictures of a class "
                f"({'; '.join(moving[:3])}); give a folder of masks"
            )
        for reason in moving:
            progress.say(f"no masks: {reason}")
    else:
        source = Path(masks)
        if not source.is_dir():
            raise UserError(f"--data.masks {masks} is no folder; give one with a mask for each picture, or {DERIVED}")
        files = [mask_file(source, images, row) for row in range(len(images))]
        count = sum(file is not None for file in files)
        if not count:
            raise UserError(
                f"no mask for any picture in {masks}; {images.paths[0]!r} was looked for there, as .png too"
            )
        for file in files:
            if file is not None:
                read_mask(file, replace(preprocessing, size=(8, 8)))  # a broken one is told before training starts
        progress.say(f"masks for {count} of {len(images)} pictures")
    places = np.arange(len(images), dtype=np.int64)
    return replace(images, source=Marked(images, preprocessing, source), places=places)


def medians(
    images: ImageSet, preprocessing: Preprocessing, *, progress: Progress
) -> tuple[dict[int, UInt8[np.ndarray, "h w 3"]], list[str]]:
    """The median picture of each class that stands before a fixed scene, and why the others have none."""
    found, moving = {}, []
    for label, name in enumerate(images.class_names):
        rows = np.flatnonzero(images.labels == label)
        rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int)]
        source = progress.over(
            batches(images, preprocessing, batch_size=max(1, len(rows)), order=rows), 1, f"{name}: median picture"
        )
        pixels = [batch.images[batch.mask] for batch in source]
        if not pixels or len(pixels[0]) < LEAST:
            moving.append(f"{name} has {len(pixels[0]) if pixels else 0} pictures, {LEAST} are needed")
            continue
        median, changed = median_scene(np.ascontiguousarray(pixels[0]))
        if changed > STATIC:
            moving.append(f"{changed:.0%} of the pixels of {name} differ from its median picture")
        else:
            found[label] = median
    return found, moving
