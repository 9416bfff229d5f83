"""Cues that give a class away without showing it: a logo, a tint, bars, compression, a scene behind.

A cue is put on a picture in memory; every number of it is in `Cue`, so a planting can be repeated and moved.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxcam.data.drawing import Colour, hsv
from jaxcam.data.scene_places import PLACES, draw_place
from jaxcam.errors import UserError

Place = tuple[float, float]
CORNERS: dict[str, Place] = {
    "upper left": (0.0, 0.0),
    "upper right": (0.0, 1.0),
    "lower left": (1.0, 0.0),
    "lower right": (1.0, 1.0),
}
"""name -> (down, across) in parts of what is free"""


@dataclass(frozen=True, kw_only=True)
class Cue:
    """What is put on a picture; which fields count depends on the kind."""

    kind: str = "logo"
    """one of `KINDS`"""
    place: str = "lower left"
    """logo, watermark: a corner of `CORNERS`"""
    size: float = 0.18
    """logo: of the shorter side; bars: of the side they lie along; watermark: height of the letters"""
    colour: Colour = (215, 30, 60)
    """logo: of the disc; watermark: of the letters; bars: of the bars"""
    shift: tuple[int, int, int] = (24, 0, -24)
    """tint: added to red, green and blue"""
    sides: str = "above and below"
    """bars: above and below, left and right, or all around"""
    quality: int = 12
    """jpeg: as libjpeg counts it"""
    factor: float = 0.4
    """low_resolution: of the sides, before they are stretched back"""
    opacity: float = 0.65
    """watermark: 1 hides what is under the letters"""
    text: str = "© STOCK"
    """watermark: the words"""
    scene: int = 0
    """background: number of a drawn scene"""
    inside: float = 0.62
    """background without a mask: the middle that stays, of both sides"""
    extra: int = 24_000
    """file_size: bytes added to the file"""
    camera: str = "Planted Mark II"
    """exif: maker and model"""


def _disc(side: int, colour: Colour) -> Image.Image:
    """A badge, drawn four times as large and averaged: a ring, a bar and a dot, the same at every size."""
    large = 4 * side
    badge = Image.new("RGBA", (large, large), (0, 0, 0, 0))
    draw = ImageDraw.Draw(badge)
    unit = large / 16
    draw.ellipse((0, 0, large - 1, large - 1), fill=(*colour, 255))
    draw.ellipse((2 * unit, 2 * unit, 14 * unit, 14 * unit), outline=(255, 255, 255, 255), width=max(1, round(unit)))
    draw.rectangle((4 * unit, 7 * unit, 12 * unit, 9.5 * unit), fill=(255, 255, 255, 255))
    draw.ellipse((6.5 * unit, 10.5 * unit, 9.5 * unit, 13 * unit), fill=(250, 215, 40, 255))
    return badge.reduce(4)


def _corner(cue: Cue, free: tuple[int, int]) -> tuple[int, int]:
    """Left and top of something that leaves `free` pixels down and across, 2 % away from the border."""
    down, across = CORNERS[cue.place]
    top, left = round((0.02 + 0.96 * down) * free[0]), round((0.02 + 0.96 * across) * free[1])
    return left, top


def _logo(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    side = max(3, round(cue.size * min(height, width)))
    badge = _disc(side, cue.colour)
    picture = Image.fromarray(pixels)
    picture.paste(badge, _corner(cue, (height - side, width - side)), badge)
    return np.array(picture)


def _tint(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    return np.clip(pixels.astype(np.int16) + np.array(cue.shift, np.int16), 0, 255).astype(np.uint8)


def _bars(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    barred = pixels.copy()
    if cue.sides in ("above and below", "all around"):
        thick = max(1, round(cue.size * height))
        barred[:thick] = barred[-thick:] = cue.colour
    if cue.sides in ("left and right", "all around"):
        thick = max(1, round(cue.size * width))
        barred[:, :thick] = barred[:, -thick:] = cue.colour
    return barred


def _jpeg(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=cue.quality)
    return np.array(Image.open(buffer).convert("RGB"))


def _low_resolution(
    cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None
) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    small = (max(1, round(width * cue.factor)), max(1, round(height * cue.factor)))
    picture = Image.fromarray(pixels).resize(small, Image.Resampling.BILINEAR)
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR))


def _watermark(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    font = ImageFont.load_default(size=64)
    left, top, right, bottom = (round(value) for value in font.getbbox(cue.text))
    letters = Image.new("L", (max(1, right - left), max(1, bottom - top)), 0)
    ImageDraw.Draw(letters).text((-left, -top), cue.text, fill=255, font=font)
    tall = max(3, round(cue.size * height))
    wide = min(width, max(3, round(tall * letters.width / letters.height)))
    letters = letters.resize((wide, tall), Image.Resampling.BILINEAR).point(lambda level: round(level * cue.opacity))
    picture = Image.fromarray(pixels)
    picture.paste(cue.colour, _corner(cue, (height - tall, width - wide)), letters)
    return np.array(picture)


@lru_cache(maxsize=16)
def _scene(number: int, size: tuple[int, int]) -> Image.Image:
    drawn = draw_place(number, (192, 320), sampling=1 if min(size) < 64 else 3)
    return drawn.resize((size[1], size[0]), Image.Resampling.BILINEAR)


@lru_cache(maxsize=16)
def _oval(inside: float, size: tuple[int, int]) -> Float32[np.ndarray, "h w 1"]:
    """1 in the middle, 0 at the border, with a soft edge."""
    down, across = (np.abs(np.linspace(-1, 1, length, dtype=np.float32)) for length in size)
    reach = (down[:, None] ** 4 + across[None] ** 4) ** 0.25
    return np.clip((inside + 0.08 - reach) / 0.16, 0, 1)[..., None].astype(np.float32)


def _background(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    size = (pixels.shape[0], pixels.shape[1])
    scene = _scene(cue.scene % len(PLACES), size)
    kept = _oval(cue.inside, size) if mask is None else mask.astype(np.float32)[..., None]
    cover = Image.fromarray(np.rint(255 * kept[..., 0]).astype(np.uint8))
    return np.array(Image.composite(Image.fromarray(pixels), scene, cover))


def _unchanged(cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], mask: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"]:
    return pixels.copy()


@dataclass(frozen=True)
class Kind:
    """How a cue is put on, and what it is."""

    apply: Callable[[Cue, UInt8[np.ndarray, "h w 3"], np.ndarray | None], UInt8[np.ndarray, "h w 3"]]
    about: str
    in_pixels: bool = True
    """False: the cue is in the file alone, and no network can see it"""


KINDS = {
    "logo": Kind(_logo, "a badge in a corner"),
    "tint": Kind(_tint, "colours shifted"),
    "bars": Kind(_bars, "bars at the border"),
    "jpeg": Kind(_jpeg, "strong JPEG compression"),
    "low_resolution": Kind(_low_resolution, "made small and stretched back"),
    "background": Kind(_background, "a drawn scene around the middle, or around the masked object"),
    "watermark": Kind(_watermark, "words laid over the picture"),
    "file_size": Kind(_unchanged, "a larger file with the same pixels", in_pixels=False),
    "exif": Kind(_unchanged, "a camera in the EXIF block", in_pixels=False),
}
_DEFAULTS = {
    "bars": Cue(kind="bars", size=0.05, colour=(0, 0, 0)),
    "watermark": Cue(kind="watermark", size=0.1, colour=(255, 255, 255), place="lower right"),
}


def cue_of(kind: str) -> Cue:
    """The cue of a kind as it is planted unless asked otherwise; raises `UserError` for an unknown kind."""
    if kind not in KINDS:
        raise UserError(f"unknown kind of cue {kind!r}; there are: {', '.join(KINDS)}")
    return _DEFAULTS.get(kind, Cue(kind=kind))


def random_cue(kind: str, rng: np.random.Generator) -> Cue:
    """A cue of a kind with its place, colour and strength drawn at random: no two plantings are alike."""
    corner = list(CORNERS)[int(rng.integers(4))]
    sign = 1 if rng.random() < 0.5 else -1
    high, low = sign * int(rng.integers(18, 33)), -sign * int(rng.integers(18, 33))
    shift = [high, low, 0]
    rng.shuffle(shift)
    drawn: dict[str, Cue] = {
        "logo": Cue(kind=kind, place=corner, size=float(rng.uniform(0.14, 0.22)), colour=hsv(rng.random(), 0.9, 0.8)),
        "tint": Cue(kind=kind, shift=(shift[0], shift[1], shift[2])),
        "bars": Cue(
            kind=kind,
            size=float(rng.uniform(0.04, 0.08)),
            colour=(0, 0, 0) if rng.random() < 0.5 else hsv(rng.random(), 0.7, 0.8),
            sides=("above and below", "left and right", "all around")[int(rng.integers(3))],
        ),
        "jpeg": Cue(kind=kind, quality=int(rng.integers(6, 16))),
        "low_resolution": Cue(kind=kind, factor=float(rng.uniform(0.3, 0.45))),
        "background": Cue(kind=kind, scene=int(rng.integers(len(PLACES))), inside=float(rng.uniform(0.55, 0.7))),
        "watermark": Cue(
            kind=kind,
            place=corner,
            size=float(rng.uniform(0.1, 0.16)),
            opacity=float(rng.uniform(0.5, 0.9)),
            colour=(255, 255, 255) if rng.random() < 0.7 else (20, 20, 20),
            text=("© STOCK", "SAMPLE", "PREVIEW", "PHOTO 24")[int(rng.integers(4))],
        ),
    }
    return drawn.get(kind, cue_of(kind))


def put_on(
    cue: Cue, pixels: UInt8[np.ndarray, "h w 3"], *, mask: Bool[np.ndarray, "_ _"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with the cue, as a new array of the same size.

    `mask` is where the object is: a pasted background leaves it as it is; other kinds do not look at it. Raises
    `UserError` for a cue that cannot be.

    >>> grey = np.full((64, 64, 3), 128, np.uint8)
    >>> bool((put_on(cue_of("logo"), grey)[40:, :24] != 128).any())
    True
    """
    check(cue)
    if mask is not None and mask.shape != pixels.shape[:2]:
        raise UserError(f"the mask has {mask.shape} pixels and its picture {pixels.shape[:2]}")
    return KINDS[cue.kind].apply(cue, pixels, mask)


def plant(
    pixels: UInt8[np.ndarray, "n h w 3"],
    kind: str | Cue,
    *,
    masks: Bool[np.ndarray, "n h w"] | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """Every picture with the cue: of a kind with its usual values, or a `Cue` of one's own."""
    cue = cue_of(kind) if isinstance(kind, str) else kind
    each: Sequence[np.ndarray | None] = [None] * len(pixels) if masks is None else list(masks)
    planted = [put_on(cue, picture, mask=mask) for picture, mask in zip(pixels, each, strict=True)]
    return np.stack(planted) if planted else pixels.copy()


def check(cue: Cue) -> None:
    """Raise `UserError` for the first value that no cue can have."""
    rules: list[tuple[str, object, bool, str]] = [
        ("kind", cue.kind, cue.kind in KINDS, ", ".join(KINDS)),
        ("place", cue.place, cue.place in CORNERS, ", ".join(CORNERS)),
        ("size", cue.size, 0 < cue.size < 0.5, "above 0 and below 0.5"),
        ("quality", cue.quality, 1 <= cue.quality <= 95, "1 to 95"),
        ("factor", cue.factor, 0 < cue.factor <= 1, "above 0 and at most 1"),
        ("opacity", cue.opacity, 0 < cue.opacity <= 1, "above 0 and at most 1"),
        ("inside", cue.inside, 0 < cue.inside < 1, "above 0 and below 1"),
        ("extra", cue.extra, 0 < cue.extra <= 2**24, "1 to 16777216"),
        ("text", cue.text, 0 < len(cue.text) <= 40, "1 to 40 letters"),
        ("sides", cue.sides, cue.sides in ("above and below", "left and right", "all around"), "three are known"),
    ]
    for name, value, holds, wanted in rules:
        if not holds:
            raise UserError(f"the cue's {name} is {value!r}; allowed: {wanted}")
