"""Whether red and blue were exchanged: OpenCV reads BGR, and most classifiers answer wrongly without a sign of it.

No picture shows its colour order by itself, but the training pictures say what is usual: skin, grass, sky. A linear
model of the joint colour histogram learns to tell them from themselves with red and blue exchanged. How well it does is
measured by cross-validation, and where it does badly nothing is ever said.

Measured with 280 photographs of cats and dogs to learn from: of 120 others none was suspected wrongly, alone or in
series; exchanged, 44 % were found alone and 80 % in series of 8. With 58 cartoons of one scene to learn from, all 8
exchanged ones of that scene were found, and none of another scene, unlike any training picture; of the 120 photographs,
just as unlike, none was suspected wrongly (of which only the comparison with what is usual is the cause: 12 % without
it). A warning is worth a look; no warning proves nothing.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from jaxcam.data.image_files import UnreadableImage
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.files import read_json, write_json
from jaxcam.preprocessing import Preprocessing

FILE = "colours.json"
LEAST_IMAGES = 24
"""below so many training pictures nothing is learnt"""
LEAST_RIGHT = 0.75
"""share of training pictures, left out in turn, that must be told from their exchange"""
SAMPLE = 300
SERIES = 4
"""from so many pictures on they are also judged together"""
_LEVELS, _SIDE, _FOLDS = 4, 96, 5
_TOGETHER = -8.0


@dataclass(frozen=True)
class ColourOrder:
    """A linear score of colour histograms: above 0 RGB is likelier, below 0 BGR."""

    weights: Float64[np.ndarray, " 64"]
    usual: Float64[np.ndarray, " 64"]
    """mean of the training pictures' root histograms, of length 1"""
    likeness: float
    """all but one in twenty training pictures are at least so like `usual` (cosine)"""
    threshold: float
    """of the training pictures one in a hundred lies below it (in cross-validation)"""
    images: int
    """training pictures it was learnt from"""
    right: float
    """share of them that was told from their exchange, in cross-validation"""
    found: float
    """share of them that would be suspected if exchanged, likewise"""

    def scores(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Float64[np.ndarray, " n"]:
        """The log odds of RGB against BGR for each picture; 0 for grey ones."""
        as_given, exchanged = roots(pixels)
        return (as_given - exchanged) @ self.weights

    def suspected(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Bool[np.ndarray, " n"]:
        """Which pictures look exchanged, alone or in a series that does as a whole.

        Only those that the exchange would make as usual as the training pictures are: others are merely different.
        """
        as_given, exchanged = roots(pixels)
        scores = (as_given - exchanged) @ self.weights
        below = scores < 0
        together = len(scores) >= SERIES and below.mean() >= 0.75 and scores.sum() < _TOGETHER
        return ((scores < self.threshold) | (below & together)) & (exchanged @ self.usual >= self.likeness)

    def write(self, folder: Path) -> None:
        """Write `colours.json` into a classifier's folder."""
        values = {name: getattr(self, name) for name in ("threshold", "likeness", "images", "right", "found")}
        write_json(folder / FILE, {**values, "weights": self.weights.tolist(), "usual": self.usual.tolist()})

    @classmethod
    def read(cls, folder: Path) -> "ColourOrder | None":
        """What `write` wrote; None where there is none. Raises `UserError` for a broken file."""
        if not (folder / FILE).is_file():
            return None
        values = read_json(folder / FILE)
        try:
            weights, usual = (np.array(values[k], np.float64).reshape(_LEVELS**3) for k in ("weights", "usual"))
            likeness, threshold, right, found = (float(values[k]) for k in ("likeness", "threshold", "right", "found"))
            if not np.isfinite([*weights, *usual, likeness, threshold, right, found]).all():
                raise ValueError("not all numbers are finite")
            return cls(weights, usual, likeness, threshold, int(values["images"]), right, found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / FILE} cannot be read ({error}); delete it, and no warning is given") from error


def roots(pixels: UInt8[np.ndarray, "n h w 3"]) -> tuple[Float64[np.ndarray, "n 64"], Float64[np.ndarray, "n 64"]]:
    """Root of the joint histogram of four levels of red, green and blue: of each picture, and of its exchange."""
    found = np.empty((2, len(pixels), _LEVELS**3))
    for row, picture in enumerate(pixels):
        step = max(1, math.isqrt(picture.shape[0] * picture.shape[1]) // _SIDE)
        red, green, blue = np.moveaxis(picture[::step, ::step] >> 6, -1, 0).astype(np.int64)
        for way, (first, last) in enumerate(((red, blue), (blue, red))):
            places = np.ravel(_LEVELS * (_LEVELS * first + green) + last)
            found[way, row] = np.sqrt(np.bincount(places, minlength=_LEVELS**3) / places.size)
    return found[0], found[1]


def learn(pixels: UInt8[np.ndarray, "n h w 3"]) -> ColourOrder | None:
    """Learn from RGB pictures; None where they are too few, or their colours do not tell the order."""
    as_given, exchanged = roots(pixels)
    rows, count = as_given - exchanged, len(pixels)
    if count < LEAST_IMAGES or not rows.any():
        return None
    spread = rows.std(0) + 1e-3
    rows = rows / spread
    left_out = np.empty(count)
    for fold in range(_FOLDS):
        inside = np.arange(count) % _FOLDS == fold
        left_out[inside] = rows[inside] @ _fit(rows[~inside])
    threshold = min(float(np.quantile(left_out, 0.01, method="lower")), -1.0)
    right = float((left_out > 0).mean())
    if right < LEAST_RIGHT:
        return None
    usual = as_given.mean(0)
    usual = usual / np.linalg.norm(usual)
    like = as_given @ usual
    likeness = float(np.quantile(like, 0.05))
    found = float(((-left_out < threshold) & (like >= likeness)).mean())
    return ColourOrder(_fit(rows) / spread, usual, likeness, threshold, count, right, found)


def learn_from(images: ImageSet, preprocessing: Preprocessing, *, seed: int = 0) -> ColourOrder | None:
    """`learn` from a sample of an image set; unreadable pictures are left out."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:SAMPLE]
    pixels = []
    for row in chosen if len(images) >= LEAST_IMAGES else ():
        try:
            pixels.append(images.decode(int(row), preprocessing))
        except UnreadableImage:
            continue
    return learn(np.stack(pixels)) if pixels else None


def _fit(rows: Float64[np.ndarray, "n 64"]) -> Float64[np.ndarray, " 64"]:
    from sklearn.linear_model import LogisticRegression

    # Each picture and its exchange, whose features are the negative: so there is no intercept.
    model = LogisticRegression(fit_intercept=False, C=0.03, max_iter=1000)
    return model.fit(np.concatenate([rows, -rows]), np.repeat([1, 0], len(rows))).coef_[0]
