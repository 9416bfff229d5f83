"""What some methods need to know of a set before its first batch: its mean colour, and pictures to compare with."""

import numpy as np
from jaxtyping import Float32, UInt8

from jaxcam.classifier import Classifier
from jaxcam.data.decode import UnreadableImage
from jaxcam.data.folder import ImageSet
from jaxcam.errors import UserError
from jaxcam.maps.program import Surroundings, surroundings
from jaxcam.maps.request import Request

COLOUR_SAMPLE = 256
"""pictures whose mean colour is taken; of more every so many-th"""


def spread(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` of the numbers below `count`, evenly spread: the same in every process and at every start.

    >>> spread(10, 4).tolist()
    [0, 2, 5, 7]
    """
    return np.unique(np.arange(min(count, wanted)) * count // max(1, min(count, wanted)))


def pictures(classifier: Classifier, images: ImageSet, wanted: int) -> UInt8[np.ndarray, "m h w 3"]:
    """An even sample of a set as the network sees them; unreadable ones are left out."""
    found = []
    for row in spread(len(images), wanted).tolist():
        try:
            found.append(images.decode(row, classifier.preprocessing))
        except UnreadableImage:
            continue
    if not found:
        raise UserError(f"none of the pictures looked at in {str(images.root)!r} can be read")
    return np.stack(found)


def mean_colour(images: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, " 3"]:
    """Mean RGB 0..255, rounded to a thousandth: summed as whole numbers, so that no order of adding matters."""
    return np.round(images.reshape(-1, 3).sum(0, dtype=np.int64) / max(1, images.size // 3), 3).astype(np.float32)


def look(classifier: Classifier, images: ImageSet, request: Request) -> Surroundings:
    """The surroundings of a checked request for a set: only what its methods use is looked at."""
    used = {name for spec in request.specs() for name in spec.method.options}
    wanted = request.options.references if "references" in used else 0
    mean = "fill" in used and request.options.fill == "mean"
    colours = mean_colour(pictures(classifier, images, COLOUR_SAMPLE)) if mean else None
    return surroundings(request, mean=colours, references=pictures(classifier, images, wanted) if wanted else None)
