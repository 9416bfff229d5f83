"""Masks of what is shown, from a folder beside the pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxcam.classifier import Classifier
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError

SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jpg")


def read_masks(folder: Path, images: ImageSet, rows: np.ndarray, classifier: Classifier) -> Bool[np.ndarray, "n h w"]:
    """Masks at the size of the network's input, resized as the images are; False where there is none."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} with masks")
    nearest = replace(classifier.preprocessing, resize="nearest")
    found = np.zeros((len(rows), *nearest.size), bool)
    count = 0
    for place, row in enumerate(rows.tolist()):
        file = mask_file(folder, images, row)
        if file is None:
            continue
        try:
            values = decode(file, nearest).max(-1)
        except UnreadableImage as error:
            raise UserError(f"mask {str(file)!r} cannot be read: {error.reason}") from error
        found[place] = values > (127 if values.max() > 1 else 0)
        count += 1
    if not count:
        example = images.paths[int(rows[0])]
        raise UserError(f"no mask for any image in {str(folder)!r}; {example!r} was looked for there, as .png too")
    return found


def mask_file(folder: Path, images: ImageSet, row: int) -> Path | None:
    """The mask of an image: under its relative path, in the folder itself or below the split's name."""
    path = Path(images.paths[row])
    for below in (folder, folder / images.root.name, folder / images.name):
        for suffix in (path.suffix, *SUFFIXES):
            file = (below / path).with_suffix(suffix)
            if file.is_file():
                return file
    return None
