"""What is odd about pictures that can be used all the same, in plain sentences."""

import numpy as np
from jaxtyping import Float, UInt8

from jaxcam.data.colour_order import ColourOrder

BLANK = 2
"""a picture whose values lie no further apart than this in every channel shows nothing"""
DARK = 1
"""a picture with no value above this was probably divided by 255 before it became uint8"""


def doubts(
    pixels: UInt8[np.ndarray, "n h w 3"],
    order: ColourOrder | None = None,
    logits: Float[np.ndarray, "n k"] | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Warnings for each of some pictures: blank, nearly black, colours in another order, an answer of no numbers.

    Only pictures are judged, never how sure the classifier is: on pictures without any object it may be as sure as on
    others.
    """
    exchanged = order.suspected(pixels) if order is not None and len(pixels) else np.zeros(len(pixels), bool)
    broken = np.zeros(len(pixels), bool) if logits is None else ~np.isfinite(logits).all(1)
    found = []
    for row, picture in enumerate(pixels):
        words = []
        low, high = picture.min((0, 1)), picture.max((0, 1))
        if int(high.max()) <= DARK and (high > low).any():
            words.append("no value is above 1 of 255: it looks divided by 255 before it became uint8")
        elif int((high - low).max()) <= BLANK:
            middle = tuple(((low.astype(int) + high) // 2).tolist())
            words.append(f"the picture is blank (all of it about RGB {middle}); the answer means nothing")
        if exchanged[row]:
            words.append(
                "red and blue look exchanged: the other way round the picture is more like the training pictures; "
                "OpenCV reads BGR, give x[..., ::-1]"
            )
        if broken[row]:
            words.append("the classifier's logits are NaN or infinite; the answer means nothing")
        found.append(tuple(words))
    return tuple(found)
