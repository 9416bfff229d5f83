"""Small drawing kit for the made-up pictures: a pen with its own coordinates, colours, noise and camera faults.

A `Pen` draws on a Pillow image in unit coordinates (x to the right, y down, the object roughly inside -1..1) and
carries the transform to pixels, so that the same few lines draw an object at any place, size and angle.
"""

import colorsys
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

Colour: TypeAlias = tuple[int, int, int]
Number: TypeAlias = float | int
Points: TypeAlias = Sequence[tuple[Number, Number]]


@dataclass(frozen=True)
class Pen:
    """An `ImageDraw` with a transform: pixel = (a x + b y + c, d x + e y + f) for `matrix` = (a, b, c, d, e, f)."""

    canvas: ImageDraw.ImageDraw
    matrix: tuple[Number, Number, Number, Number, Number, Number]

    @property
    def unit(self) -> float:
        """Length of one unit in pixels (geometric mean of both directions)."""
        a, b, _, d, e, _ = self.matrix
        return math.sqrt(abs(a * e - b * d))

    def moved(
        self, x: Number = 0.0, y: Number = 0.0, *, angle: Number = 0.0, sx: Number = 1.0, sy: Number = 1.0
    ) -> "Pen":
        """The pen of a part: its origin at (x, y), turned by `angle` radians (clockwise) and scaled by sx, sy."""
        a, b, c, d, e, f = self.matrix
        cosine, sine = math.cos(angle), math.sin(angle)
        return replace(
            self,
            matrix=(
                (a * cosine + b * sine) * sx,
                (-a * sine + b * cosine) * sy,
                a * x + b * y + c,
                (d * cosine + e * sine) * sx,
                (-d * sine + e * cosine) * sy,
                d * x + e * y + f,
            ),
        )

    def place(self, points: Points) -> list[tuple[float, float]]:
        """The points in pixels."""
        a, b, c, d, e, f = self.matrix
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]

    def polygon(self, points: Points, fill: Colour | None, *, ink: Colour | None = None, width: Number = 0.0) -> None:
        """A filled polygon, with an outline of `width` units where `ink` is given."""
        if fill is not None:
            self.canvas.polygon(self.place(points), fill=fill)
        if ink is not None and width > 0:
            self.line([*points, points[0], points[1]], ink, width)

    def line(self, points: Points, fill: Colour, width: Number) -> None:
        """A line of `width` units with round joints and round ends."""
        placed, pixels = self.place(points), max(1.0, width * self.unit)
        self.canvas.line(placed, fill=fill, width=round(pixels), joint="curve")
        if pixels > 2:
            for x, y in (placed[0], placed[-1]):
                self.canvas.circle((x, y), pixels / 2, fill=fill)

    def oval(
        self,
        x: Number,
        y: Number,
        rx: Number,
        ry: Number | None = None,
        *,
        fill: Colour | None,
        ink: Colour | None = None,
        width: Number = 0.0,
    ) -> None:
        """A disc, or an ellipse with half axes rx, ry."""
        self.polygon(arc(x, y, rx, rx if ry is None else ry), fill, ink=ink, width=width)


def pen_on(
    image: Image.Image, x: Number, y: Number, scale: Number, *, angle: Number = 0.0, mirror: bool = False
) -> Pen:
    """A pen whose origin is at pixel (x, y), one unit `scale` pixels long."""
    pen = Pen(ImageDraw.Draw(image), (scale, 0.0, x, 0.0, scale, y)).moved(angle=angle)
    return pen.moved(sx=-1.0) if mirror else pen


def arc(
    x: Number, y: Number, rx: Number, ry: Number, start: Number = 0.0, stop: Number = 360.0, *, steps: int = 32
) -> list[tuple[float, float]]:
    """Points of an ellipse from `start` to `stop` degrees (0 = right, 90 = down)."""
    angles = np.radians(np.linspace(start, stop, steps))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def regular(corners: int, *, inner: Number = 1.0, turn: Number = -90.0) -> list[tuple[float, float]]:
    """A regular polygon of radius 1; with `inner` < 1 a star with that many points."""
    count = corners if inner == 1.0 else 2 * corners
    radii = [1.0 if inner == 1.0 or index % 2 == 0 else inner for index in range(count)]
    angles = [math.radians(turn + 360.0 * index / count) for index in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in zip(radii, angles, strict=True)]


def hsv(hue: Number, saturation: Number, value: Number) -> Colour:
    """A colour from hue (any number, taken modulo 1), saturation and value (cut to 0..1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def random_colour(rng: np.random.Generator) -> Colour:
    """Any colour, from grey to vivid and from dark to light."""
    return hsv(rng.random(), rng.beta(1.2, 1.0), rng.uniform(0.1, 1.0))


def contrasting(rng: np.random.Generator, other: Colour, distance: Number = 120.0) -> Colour:
    """A random colour at least `distance` away from `other` (Euclidean in RGB; the farthest of eight if none is)."""
    tries = [random_colour(rng) for _ in range(8)]
    far = [colour for colour in tries if math.dist(colour, other) >= distance]
    return far[0] if far else max(tries, key=lambda colour: math.dist(colour, other))


def shade(colour: Colour, factor: Number) -> Colour:
    """The colour made darker (factor < 1) or lighter (factor > 1, towards white)."""
    if factor <= 1:
        return tuple(round(value * factor) for value in colour)  # type: ignore[return-value]
    return tuple(round(255 - (255 - value) / factor) for value in colour)  # type: ignore[return-value]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: Number, *, octaves: int = 1
) -> Float[np.ndarray, "h w"]:
    """Noise in 0..1 with about `cells` bumps across the shorter side; each octave more: twice as many, half as high."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = min(shape) / (cells * 2**octave)
        grid = tuple(max(2, round(length / step) + 1) for length in shape)
        coarse = Image.fromarray(rng.random(grid, dtype=np.float32))
        total += np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def blend(field: Float[np.ndarray, "h w"], low: Colour, high: Colour) -> UInt8[np.ndarray, "h w 3"]:
    """A picture that goes from colour `low` where the field is 0 to `high` where it is 1."""
    start, stop = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return (start + np.clip(field, 0, 1)[..., None] * (stop - start) + 0.5).clip(0, 255).astype(np.uint8)


def camera(rng: np.random.Generator, image: Image.Image, *, strength: Number = 1.0) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as a camera would give it: uneven light, blur, noise, sometimes JPEG blocks; `strength` 0 is none."""
    if strength and rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.1)) * strength))
    pixels = np.asarray(image, np.float32)
    height, width, _ = pixels.shape
    if strength:
        ys, xs = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
        slope = rng.uniform(-0.25, 0.25, 2) * strength
        pixels = pixels * (rng.uniform(0.75, 1.15) + slope[0] * ys + slope[1] * xs)[..., None]
        pixels = pixels * rng.uniform(0.9, 1.1, 3).astype(np.float32)
        if rng.random() < 0.6:
            pixels = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * (rng.uniform(1, 14) * strength)
    result = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if strength and rng.random() < 0.25:
        file = io.BytesIO()
        Image.fromarray(result).save(file, "JPEG", quality=int(rng.integers(25, 80)))
        result = np.array(Image.open(file))
    return result


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image array as a PNG file, whole or not at all; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    Image.fromarray(pixels).save(part, "PNG", compress_level=6)
    os.replace(part, path)
