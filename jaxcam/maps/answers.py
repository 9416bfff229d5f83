"""Pictures with a classifier's answers below them, and the same as lines of text. NumPy and Pillow only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from jaxcam.errors import UserError
from jaxcam.maps.panels import PAPER, grid, shrunk

if TYPE_CHECKING:
    from jaxcam.classifier import Predictions

BAR = 6
FIRST, OTHERS = (68, 119, 170), (200, 205, 210)
"""colours of the shares below a picture: of the best class, of the others"""


def best_classes(predictions: "Predictions", row: int, count: int) -> list[tuple[str, float]]:
    """The most probable classes of an image with their probabilities, the best first."""
    shares = predictions.probabilities[row]
    order = np.argsort(-np.nan_to_num(shares, nan=-1.0), kind="stable")[:count]
    return [(predictions.class_names[place], float(shares[place])) for place in order.tolist()]


def answer_lines(predictions: "Predictions", *, classes: int = 2, limit: int = 50) -> str:
    """A line an image: its best classes with their probabilities, and what is odd about it."""
    lines = []
    for row in range(min(limit, len(predictions))):
        words = ", ".join(f"{name} {share:.4f}" for name, share in best_classes(predictions, row, classes))
        odd = predictions.warnings[row] if predictions.warnings else ()
        lines.append(f"{row}: {words}" + "".join(f"; {one}" for one in odd))
    if len(predictions) > limit:
        lines.append(f"and {len(predictions) - limit} more")
    return "\n".join(lines)


def answers_panel(
    predictions: "Predictions",
    *,
    truth: Sequence[str] = (),
    columns: int = 6,
    width: int = 160,
    limit: int = 24,
    classes: int = 2,
) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures in rows, each with a bar of its probabilities and its best classes; `limit` pictures at most.

    `truth` are the right classes, where they are known: a wrong answer says what it should have been. Raises
    `UserError` where there are no pictures, or not as many classes as pictures.
    """
    images = predictions.images
    if images is None or not len(images):
        raise UserError("there are no pictures to show; `classifier.predict` keeps them with its answers")
    if truth and len(truth) != len(images):
        raise UserError(f"got {len(truth)} right classes for {len(images)} pictures; give one for each")
    if columns < 1 or width < 8 or limit < 1:
        raise UserError(f"got columns {columns}, width {width}, limit {limit}; at least 1, 8 pixels and 1")
    height = max(1, round(width * images.shape[1] / images.shape[2]))
    tiles, captions = [], []
    for row in range(min(limit, len(images))):
        best = best_classes(predictions, row, classes)
        bar = np.full((BAR, width, 3), PAPER, np.uint8)
        start = 0
        for place, (_, share) in enumerate(best):
            end = min(width, start + round(width * share)) if np.isfinite(share) else start
            bar[2:, start:end] = FIRST if place == 0 else OTHERS
            start = end
        tiles.append(np.concatenate([shrunk(images[row], (height, width)), bar]))
        lines = [f"{name} {share:.2f}" for name, share in best]
        if truth:
            lines.append("" if best[0][0] == truth[row] else f"wrong: {truth[row]}")
        captions.append(lines)
    return grid(tiles, columns=min(columns, len(tiles)), captions=captions)
