"""Made-up house numbers: one digit in the middle of a small picture, its neighbours cut off at the sides.

They stand in for the cropped digits of SVHN (Netzer et al., 2011), whose label is the digit in the middle: plates of
any colour, digits lighter or darker than the plate, uneven light, blur and noise. Everything is drawn from the
generator alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxcam.data.drawing import Colour, camera, contrasting, random_colour, shade
from jaxcam.data.drawn import check_classes, write_splits

DIGITS = tuple("0123456789")
_SAMPLING = 2
_NEIGHBOURS = 0.5
"""share of the pictures with a neighbour, on each side"""


def draw_number(digit: str | None, rng: np.random.Generator, *, size: int = 32) -> UInt8[np.ndarray, "size size 3"]:
    """One picture of `digit`, `size` pixels high and wide; None: a plate without any digit.

    Raises ValueError for a digit that is none.
    """
    if digit is not None and digit not in DIGITS:
        raise ValueError(f"{digit!r} is no digit")
    side = size * _SAMPLING
    plate = random_colour(rng)
    ink = contrasting(rng, plate, 160.0)
    image = Image.new("RGB", (side, side), plate)
    line = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        y = float(rng.uniform(0, side))
        line.line([(0, y), (side, y + float(rng.uniform(-4, 4)))], fill=shade(plate, 0.6), width=2)
    if digit is not None:
        _paste(image, digit, ink, 0.0, rng)
        for direction in (-1, 1):
            if rng.random() < _NEIGHBOURS:
                _paste(image, DIGITS[int(rng.integers(10))], ink, direction * float(rng.uniform(0.5, 0.6)), rng)
    return camera(rng, image.reduce(_SAMPLING), strength=0.6)


def _paste(image: Image.Image, digit: str, ink: Colour, right: float, rng: np.random.Generator) -> None:
    """A digit, moved to the right by a share of the width, a little turned, stretched and off its place."""
    side = image.width
    font = ImageFont.load_default(size=96)
    box = tuple(round(value) for value in font.getbbox(digit))
    glyph = Image.new("L", (box[2] - box[0] + 8, box[3] - box[1] + 8), 0)
    stroke = int(rng.integers(0, 5))
    draw = ImageDraw.Draw(glyph)
    draw.text((4 - box[0], 4 - box[1]), digit, fill=255, font=font, stroke_width=stroke, stroke_fill=255)
    height = round(side * rng.uniform(0.68, 0.88))
    width = max(6, round(glyph.width * height / glyph.height * rng.uniform(0.8, 1.15)))
    glyph = glyph.resize((width, height), Image.Resampling.BILINEAR)
    glyph = glyph.rotate(float(rng.uniform(-8, 8)), expand=True, resample=Image.Resampling.BILINEAR)
    x = side * (0.5 + right + rng.uniform(-0.05, 0.05)) - glyph.width / 2
    y = side * (0.5 + rng.uniform(-0.05, 0.05)) - glyph.height / 2
    image.paste(ink, (round(x), round(y)), glyph)


def write_numbers(
    folder: Path,
    count: int,
    seed: int,
    *,
    size: int = 32,
    valid_count: int | None = None,
    classes: Sequence[str] = (),
) -> int:
    """Write `folder/Train/DIGIT/NNNNNN.png` and `folder/Valid/...`, as `drawn.write_folder` does.

    `classes`: the digits in the middle, by default all ten. Raises UserError for what is no digit.
    """
    check_classes(classes, DIGITS)
    extra = count // 5 if valid_count is None else valid_count
    parameters: dict[str, object] = {"kind": "numbers", "count": count, "valid_count": extra}
    parameters |= {"seed": seed, "size": size, "classes": list(classes)}
    paint = lambda name, rng: draw_number(name, rng, size=size)
    return write_splits(folder, parameters, classes or DIGITS, paint, count=count, extra=extra, seed=seed)
