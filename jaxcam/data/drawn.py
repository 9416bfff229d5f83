"""A made-up classification set: 111 classes of shapes, colours, signs, textures, things, creatures and counts.

It exists to train a small convolutional base offline, before it is used on other pictures, so every picture varies what
a base should learn to see through: place, size, angle, colours, clutter behind and around the object, light, blur and
noise. Everything is drawn from `(seed, index)` alone: the same numbers give the same picture, whatever the number of
workers.
"""

import concurrent.futures
import itertools
import math
import multiprocessing
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxcam.data.drawing import (
    Colour,
    Number,
    Pen,
    Points,
    arc,
    blend,
    camera,
    contrasting,
    hsv,
    pen_on,
    random_colour,
    save_png,
    shade,
    smooth_noise,
)
from jaxcam.data.drawn_creatures import PAINTERS
from jaxcam.data.drawn_objects import FIELDS, OUTLINES, Look
from jaxcam.data.marker import claim, finish
from jaxcam.errors import UserError

_COLOURS: dict[str, tuple[float, float, float]] = {  # hue, saturation, value; each varies a little
    "red": (0.0, 0.9, 0.85),
    "orange": (0.075, 0.92, 0.97),
    "yellow": (0.15, 0.85, 0.98),
    "green": (0.34, 0.8, 0.65),
    "blue": (0.61, 0.85, 0.8),
    "purple": (0.78, 0.65, 0.7),
    "white": (0.1, 0.03, 0.97),
    "black": (0.6, 0.1, 0.1),
}
_PAIRS = ("red_blue", "yellow_blue", "red_yellow", "green_white", "purple_orange", "black_white")
_SIGNS = "0123456789ABEGHKMRS"
_UPRIGHT = ("6", "9", "M", "E")
_TEXTURES = {  # class: (field, angle in degrees or None for any, periods across the picture)
    "stripes_level": ("stripes", 0.0, (4, 9)),
    "stripes_upright": ("stripes", 90.0, (4, 9)),
    "stripes_rising": ("stripes", -45.0, (4, 9)),
    "stripes_falling": ("stripes", 45.0, (4, 9)),
    "stripes_fine": ("stripes", None, (14, 20)),
    "stripes_soft": ("soft_stripes", None, (2, 4)),
    "thin_lines": ("thin_lines", None, (5, 9)),
    **{name: (name, None, (4, 9)) for name in ("checks", "dots", "grid", "waves", "zigzag", "plaid", "honeycomb")},
    "bricks": ("bricks", 0.0, (5, 9)),
    "scales": ("scales", 0.0, (4, 9)),
}
_NOISES = {"noise_fine": (18.0, 1, 1.0), "noise_coarse": (3.5, 1, 1.0), "clouds": (2.5, 4, 1.0), "wood": (3.0, 2, 6.0)}
_CENTRED = ("rings", "rays", "spiral")
MARKER = "drawn.json"
_NUMBERS = ("one", "two", "three", "four", "five", "six")

CLASS_NAMES: tuple[str, ...] = (
    *OUTLINES,
    "disc_outline",
    "ring",
    *[f"{name}_disc" for name in _COLOURS],
    *[f"{name}_halves" for name in _PAIRS],
    *[f"sign_{sign}" for sign in _SIGNS],
    *_TEXTURES,
    *_NOISES,
    *_CENTRED,
    *PAINTERS,
    *[f"{name}_dots" for name in _NUMBERS[1:]],
)


@lru_cache(maxsize=8)
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=pixels)


def _named(name: str, rng: np.random.Generator) -> Colour:
    hue, saturation, value = _COLOURS[name]
    return hsv(hue + rng.normal(0, 0.012), saturation + rng.normal(0, 0.05), value + rng.normal(0, 0.05))


def _field(name: str, side: int, periods: Number, angle: Number, rng: np.random.Generator) -> np.ndarray:
    """A texture of about `periods` repeats across `side` pixels, turned by `angle` degrees, at a random phase."""
    ys, xs = np.mgrid[:side, :side].astype(np.float32) * (periods / side)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    shift = rng.uniform(0, 2, 2)
    return FIELDS[name](xs * cosine + ys * sine + shift[0], ys * cosine - xs * sine + shift[1])


def _centred(name: str, side: int, rng: np.random.Generator) -> np.ndarray:
    centre = rng.uniform(0.3, 0.7, 2) * side
    ys, xs = np.mgrid[:side, :side].astype(np.float32)
    radius, turn = np.hypot(ys - centre[0], xs - centre[1]) / side, np.arctan2(ys - centre[0], xs - centre[1])
    count = int(rng.integers(5, 10))
    phase = {
        "rings": radius * count * 2 + rng.random(),
        "rays": turn * count / math.tau + rng.random(),
        "spiral": radius * count + turn * 2 / math.tau + rng.random(),
    }[name]
    return np.clip(0.5 + 2 * np.sin(math.tau * phase), 0, 1)


def _background(side: int, rng: np.random.Generator) -> Image.Image:
    """A cluttered empty scene: flat, gradient, noise, weak texture or sky over ground, with distractors."""
    kind, base = rng.random(), random_colour(rng)
    other = contrasting(rng, base, 40.0) if rng.random() < 0.5 else shade(base, float(rng.uniform(0.6, 1.7)))
    half = side // 2
    if kind < 0.15:
        field = np.full((half, half), rng.random(), np.float32)
    elif kind < 0.35:
        ys, xs = np.mgrid[:half, :half].astype(np.float32) / half
        angle = rng.uniform(0, math.tau)
        field = 0.5 + 0.6 * ((xs - 0.5) * math.cos(angle) + (ys - 0.5) * math.sin(angle))
    elif kind < 0.75:
        field = smooth_noise(rng, (half, half), float(rng.uniform(1.5, 8)), octaves=int(rng.integers(1, 5)))
    elif kind < 0.85:
        names = tuple(FIELDS)
        field = _field(names[int(rng.integers(len(names)))], half, rng.uniform(3, 10), rng.uniform(0, 180), rng)
        other = tuple(round(0.7 * a + 0.3 * b) for a, b in zip(base, other, strict=True))  # type: ignore[assignment]
    else:
        horizon = half * rng.uniform(0.3, 0.8) + smooth_noise(rng, (2, half), 3.0)[0] * half * rng.uniform(0, 0.3)
        field = (np.arange(half)[:, None] > horizon).astype(np.float32)
        field = 0.75 * field + 0.25 * smooth_noise(rng, (half, half), 6.0, octaves=2)
    image = Image.fromarray(blend(field, base, other)).resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 6))):
        xs, ys = rng.uniform(0, side, 4), rng.uniform(0, side, 4)
        draw.line(
            list(zip(xs.tolist(), ys.tolist(), strict=True))[: int(rng.integers(2, 4))],
            fill=random_colour(rng),
            width=int(rng.integers(1, 5)),
        )
    for _ in range(int(rng.integers(0, 4))):
        names = tuple(OUTLINES)
        scale = side * rng.uniform(0.03, 0.09)
        place = rng.uniform(0, side, 2)
        pen = pen_on(image, place[0], place[1], scale, angle=rng.uniform(0, math.tau))
        pen.polygon(OUTLINES[names[int(rng.integers(len(names)))]](), random_colour(rng))
    return image


def _region(side: int, rng: np.random.Generator) -> Image.Image:
    """Where a texture shows: everywhere, or a large blob."""
    mask = Image.new("L", (side, side), 255)
    if rng.random() < 0.6:
        mask = Image.new("L", (side, side), 0)
        radii = rng.uniform(0.38, 0.62, 8) * side
        middle = rng.uniform(0.4, 0.6, 2) * side
        angles = np.linspace(0, math.tau, 8, endpoint=False) + rng.random()
        points = [
            (middle[0] + r * math.cos(a), middle[1] + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)
        ]
        ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask


def _paint_texture(image: Image.Image, name: str, rng: np.random.Generator) -> None:
    side = image.width
    if name in _TEXTURES:
        field_name, fixed, (low, high) = _TEXTURES[name]
        angle = rng.uniform(0, 180) if fixed is None else fixed + rng.uniform(-13, 13)
        field = _field(field_name, side, rng.uniform(low, high), angle, rng)
    elif name in _NOISES:
        cells, octaves, stretch = _NOISES[name]
        cells *= rng.uniform(0.75, 1.3)
        rows = max(2, round(side / stretch))
        field = smooth_noise(rng, (rows, side), cells, octaves=octaves)
        if stretch != 1.0:  # long grain: stretched noise, cut into bands
            field = np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)).T
            field = 0.5 + 0.5 * np.sin(field * rng.uniform(12, 22))
        elif name != "clouds":
            field = np.clip(0.5 + 2.0 * (field - 0.5), 0, 1)
    else:
        field = _centred(name, side, rng)
    low_colour = random_colour(rng)
    picture = blend(np.asarray(field, np.float32), low_colour, contrasting(rng, low_colour, 110.0))
    image.paste(Image.fromarray(picture), (0, 0), _region(side, rng))


def _paint_sign(image: Image.Image, sign: str, colour: Colour, rng: np.random.Generator) -> None:
    side = image.width
    pixels = round(side * rng.uniform(0.4, 0.85))
    font = _font(128)
    left, top, right, bottom = (round(value) for value in font.getbbox(sign))
    glyph = Image.new("L", (right - left + 8, bottom - top + 8), 0)
    ImageDraw.Draw(glyph).text(
        (4 - left, 4 - top), sign, fill=255, font=font, stroke_width=int(rng.integers(0, 7)), stroke_fill=255
    )
    width = round(glyph.width * pixels / glyph.height * rng.uniform(0.75, 1.3))
    limit = 12 if sign in _UPRIGHT else 25
    glyph = glyph.resize((max(8, width), pixels), Image.Resampling.BILINEAR)
    glyph = glyph.rotate(float(rng.uniform(-limit, limit)), expand=True, resample=Image.Resampling.BILINEAR)
    room = (max(1, side - glyph.width), max(1, side - glyph.height))
    image.paste(colour, (int(rng.integers(room[0])), int(rng.integers(room[1]))), glyph)


def _paint_outline(image: Image.Image, pen: Pen, points: Points, look: Look, rng: np.random.Generator) -> None:
    """A shape, filled, filled with an edge, only its edge, or filled with a texture."""
    style = rng.random()
    if style < 0.45:
        pen.polygon(points, look.main)
    elif style < 0.65:
        pen.polygon(points, look.main, ink=look.ink, width=look.width)
    elif style < 0.85:
        pen.polygon(points, None, ink=look.main, width=rng.uniform(0.12, 0.24))
    else:
        side = image.width
        names = tuple(FIELDS)
        field = _field(names[int(rng.integers(len(names)))], side, rng.uniform(8, 16), rng.uniform(0, 180), rng)
        mask = Image.new("L", image.size, 0)
        ImageDraw.Draw(mask).polygon(pen.place(points), fill=255)
        image.paste(Image.fromarray(blend(field.astype(np.float32), look.main, shade(look.main, 1.8))), (0, 0), mask)


def _paint_dots(image: Image.Image, count: int, colour: Colour, rng: np.random.Generator) -> None:
    side = image.width
    draw = ImageDraw.Draw(image)
    centres: list[tuple[float, float]] = []
    radius = side * rng.uniform(0.06, 0.1)
    for _ in range(200):
        x, y = rng.uniform(radius, side - radius, 2)
        if all(math.hypot(x - a, y - b) > 2.4 * radius for a, b in centres):
            centres.append((x, y))
            draw.circle((x, y), radius, fill=colour)
        if len(centres) == count:
            return


def _paint(image: Image.Image, name: str, rng: np.random.Generator) -> None:
    side = image.width
    middle = rng.uniform(0.34, 0.66, 2) * side
    behind = image.resize((8, 8), Image.Resampling.BOX).getpixel(
        (round(middle[0] / side * 7), round(middle[1] / side * 7))
    )
    main = contrasting(rng, behind)  # type: ignore[arg-type]
    look = Look(main, contrasting(rng, main), contrasting(rng, main, 160.0), rng.uniform(0.06, 0.14))
    scale, free = side * rng.uniform(0.2, 0.42), rng.uniform(0, math.tau)
    tilt, mirror = rng.uniform(-0.35, 0.35), bool(rng.random() < 0.5)
    stretch = rng.uniform(0.85, 1.18)
    pen = pen_on(image, middle[0], middle[1], scale, angle=tilt if name in PAINTERS else free, mirror=mirror)
    pen = pen.moved(sx=stretch, sy=1 / stretch)
    if name in PAINTERS:
        PAINTERS[name](pen, look, rng)
    elif name in OUTLINES:
        _paint_outline(image, pen, OUTLINES[name](), look, rng)
    elif name in ("disc_outline", "ring"):
        pen.oval(0, 0, 0.9, fill=None, ink=main, width=rng.uniform(0.08, 0.14) if name == "disc_outline" else 0.5)
    elif name.endswith("_disc"):
        pen.oval(0, 0, 0.95, fill=_named(name.removesuffix("_disc"), rng))
    elif name.endswith("_halves"):
        first, second = name.removesuffix("_halves").split("_")
        pen.polygon(arc(0, 0, 1, 1, 0, 180), _named(first, rng))
        pen.polygon(arc(0, 0, 1, 1, 180, 360), _named(second, rng))
    elif name.startswith("sign_"):
        _paint_sign(image, name.removeprefix("sign_"), main, rng)
    elif name.endswith("_dots"):
        _paint_dots(image, 1 + _NUMBERS.index(name.removesuffix("_dots")), main, rng)
    else:
        _paint_texture(image, name, rng)


def draw(label: int, rng: np.random.Generator, *, size: int = 64) -> UInt8[np.ndarray, "size size 3"]:
    """One picture of class `CLASS_NAMES[label]`, `size` pixels high and wide.

    Raises ValueError for a label out of range.
    """
    if not 0 <= label < len(CLASS_NAMES):
        raise ValueError(f"label {label} is not in 0..{len(CLASS_NAMES) - 1}")
    image = _background(2 * size, rng)
    _paint(image, CLASS_NAMES[label], rng)
    return camera(rng, image.reduce(2))


def label_of(index: int) -> int:
    """The class of picture `index`: classes take turns, so any run of pictures is balanced."""
    return index % len(CLASS_NAMES)


def _draw_range(start: int, stop: int, seed: int, size: int) -> UInt8[np.ndarray, "n s s 3"]:
    images = np.empty((stop - start, size, size, 3), np.uint8)
    for row, index in enumerate(range(start, stop)):
        images[row] = draw(label_of(index), np.random.default_rng([seed, index]), size=size)
    return images


def draw_set(
    count: int, seed: int, *, size: int = 64, workers: int = 1
) -> tuple[UInt8[np.ndarray, "n s s 3"], Int32[np.ndarray, "n"]]:
    """Pictures 0 to `count` - 1 of the set `seed` and their labels; classes take turns.

    Picture i depends on (seed, i, size) alone: more workers (processes) change nothing but the time, and a larger set
    begins with the smaller one.
    """
    labels = np.arange(count, dtype=np.int32) % np.int32(len(CLASS_NAMES))
    images = np.empty((count, size, size, 3), np.uint8)
    edges = [*range(0, count, 500), count]
    jobs = list(itertools.pairwise(edges))
    if workers <= 1 or len(jobs) <= 1:
        for start, stop in jobs:
            images[start:stop] = _draw_range(start, stop, seed, size)
        return images, labels
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        work = partial(_draw_range, seed=seed, size=size)
        for (start, stop), part in zip(jobs, pool.map(work, edges[:-1], edges[1:]), strict=True):
            images[start:stop] = part
    return images, labels


def write_folder(
    folder: Path,
    count: int,
    seed: int,
    *,
    size: int = 64,
    valid_count: int | None = None,
    classes: Sequence[str] = (),
) -> int:
    """Write a folder of pictures: `folder/Train/<class>/NNNNNN.png` and `folder/Valid/...`.

    Train holds the pictures 0 to `count` - 1 of the set `seed`, Valid the next `valid_count`; the `classes` (by default
    all) take turns. `valid_count` is a fifth of `count` where not given. `drawn.json` holds the parameters: a complete
    folder keeps its files, missing ones are written. Returns how many pictures the folder holds. Raises UserError where
    the folder holds something else, or for a class that is not drawn.
    """
    check_classes(classes, CLASS_NAMES)
    extra = count // 5 if valid_count is None else valid_count
    parameters: dict[str, object] = {"count": count, "valid_count": extra, "seed": seed, "size": size}
    if classes:
        parameters["classes"] = list(classes)
    paint = lambda name, rng: draw(CLASS_NAMES.index(name), rng, size=size)
    return write_splits(folder, parameters, classes or CLASS_NAMES, paint, count=count, extra=extra, seed=seed)


def check_classes(classes: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise `UserError` for a class that is not drawn, or that is named twice."""
    if unknown := sorted(set(classes) - set(allowed)):
        raise UserError(f"no drawn class {', '.join(unknown)}; there are: {', '.join(allowed)}")
    if len(set(classes)) < len(classes):
        raise UserError(f"a class is named twice in {' '.join(classes)}; name each once")


def write_splits(
    folder: Path,
    parameters: dict[str, object],
    names: Sequence[str],
    paint: Callable[[str, np.random.Generator], UInt8[np.ndarray, "h w 3"]],
    *,
    count: int,
    extra: int,
    seed: int,
) -> int:
    """The pictures 0 to `count` - 1 under `folder/Train/NAME`, the next `extra` under `Valid`; the names take turns."""
    complete = claim(folder, MARKER, parameters)
    for index in range(count + extra):
        name = names[index % len(names)]
        path = folder / ("Train" if index < count else "Valid") / name / f"{index:06d}.png"
        if not (complete and path.exists()):
            save_png(path, paint(name, np.random.default_rng([seed, index])))
    finish(folder, MARKER, parameters)
    return count + extra
