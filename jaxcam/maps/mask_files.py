"""Masks of what is shown, from a folder beside the pictures."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.masks import SUFFIXES as SUFFIXES
from jaxcam.data.masks import mask_file as mask_file
from jaxcam.data.masks import read_mask
from jaxcam.errors import UserError


def read_masks(folder: Path, images: ImageSet, rows: np.ndarray, classifier: Classifier) -> Bool[np.ndarray, "n h w"]:
    """Masks at the size of the network's input, resized as the images are; False where there is none."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} with masks")
    found = np.zeros((len(rows), *classifier.preprocessing.size), bool)
    count = 0
    for place, row in enumerate(rows.tolist()):
        file = mask_file(folder, images, row)
        if file is not None:
            found[place] = read_mask(file, classifier.preprocessing)
            count += 1
    if not count:
        example = images.paths[int(rows[0])]
        raise UserError(f"no mask for any image in {str(folder)!r}; {example!r} was looked for there, as .png too")
    return found
