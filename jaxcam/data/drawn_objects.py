"""The objects of the drawn set: outlines of shapes, texture fields and small composite objects.

Outlines are functions without arguments that return points in -1..1. Painters take `(pen, look, rng)`. Fields take
`(u, v)`, coordinates that grow by one for each period of the pattern, and return values in 0..1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from jaxcam.data.drawing import Colour, Pen, Points, arc, regular, shade


@dataclass(frozen=True)
class Look:
    """The colours of one object: main, second, ink (lines), and the line width in units."""

    main: Colour
    second: Colour
    ink: Colour
    width: float


Painter: TypeAlias = Callable[[Pen, Look, np.random.Generator], None]


def _heart() -> Points:
    angles = np.linspace(0, 2 * math.pi, 40)
    return [
        (math.sin(a) ** 3, -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16)
        for a in angles
    ]


def _crescent() -> Points:
    return [*arc(0, 0, 1, 1, 60, 300), *reversed(arc(0.45, 0, 0.95, 0.9, 78, 282))]


def _gear() -> Points:
    angles = np.linspace(0, 2 * math.pi, 8 * 4, endpoint=False)
    radii = [1.0, 1.0, 0.72, 0.72] * 8
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


OUTLINES: dict[str, Callable[[], Points]] = {
    "ellipse": lambda: arc(0, 0, 1, 0.5),
    "triangle": lambda: regular(3),
    "square": lambda: [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "bar": lambda: [(-1, -0.22), (1, -0.22), (1, 0.22), (-1, 0.22)],
    "pentagon": lambda: regular(5),
    "octagon": lambda: regular(8),
    "star": lambda: regular(5, inner=0.42),
    "sparkle": lambda: regular(4, inner=0.28),
    "burst": lambda: regular(12, inner=0.6),
    "plus": lambda: [
        *[(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)],
        *[(0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)],
    ],
    "heart": _heart,
    "arrow": lambda: [(-1, -0.25), (0.1, -0.25), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.25), (-1, 0.25)],
    "crescent": _crescent,
    "half_disc": lambda: arc(0, -0.4, 1, 1, 0, 180),
    "open_mouth": lambda: [(0, 0), *arc(0, 0, 1, 1, 40, 320)],
    "drop": lambda: [(0, -1), *arc(0, 0.35, 0.62, 0.62, -25, 205)],
    "bolt": lambda: [(0.2, -1), (-0.6, 0.2), (-0.05, 0.2), (-0.25, 1), (0.6, -0.3), (0.05, -0.3), (0.55, -1)],
    "corner": lambda: [(-0.8, -1), (-0.25, -1), (-0.25, 0.45), (0.8, 0.45), (0.8, 1), (-0.8, 1)],
    "gear": _gear,
}


# --- textures ---


def _wave(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(2 * math.pi * values)


def _hard(values: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + 4 * (values - 0.5), 0, 1)


def _bricks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    shifted = u / 2 + 0.5 * (np.floor(v) % 2)
    return ((v % 1 > 0.16) & (shifted % 1 > 0.08)).astype(np.float32)


def _scales(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v)
    across = (u + 0.5 * (row % 2)) % 1 - 0.5
    return np.clip(np.hypot(across * 1.9, v % 1) * 1.3 - 0.25, 0, 1)


def _dots(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.clip((0.32 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)) * 10, 0, 1)


FIELDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "stripes": lambda u, v: _hard(_wave(v)),
    "soft_stripes": lambda u, v: _wave(v),
    "thin_lines": lambda u, v: (v % 1 < 0.22).astype(np.float32),
    "checks": lambda u, v: _hard(0.5 + 0.5 * np.sin(math.pi * u) * np.sin(math.pi * v) * 3),
    "dots": _dots,
    "grid": lambda u, v: ((u % 1 < 0.18) | (v % 1 < 0.18)).astype(np.float32),
    "bricks": _bricks,
    "waves": lambda u, v: _hard(_wave(v + 0.35 * np.sin(math.pi * u))),
    "zigzag": lambda u, v: _hard(_wave(v + np.abs(u % 2 - 1))),
    "scales": _scales,
    "plaid": lambda u, v: 0.5 * _hard(_wave(u)) + 0.5 * _hard(_wave(v)),
    "honeycomb": lambda u, v: np.clip(
        (np.cos(4.2 * u) + np.cos(2.1 * u + 3.64 * v) + np.cos(2.1 * u - 3.64 * v) + 1.2) / 1.4, 0, 1
    ),
}


# --- composite objects ---


def face(pen: Pen, look: Look, rng: np.random.Generator, *, mood: int) -> None:
    """A round face, smiling (mood 1) or sad (mood -1)."""
    pen.oval(0, 0, 0.95, rng.uniform(0.85, 1.1), fill=look.main, ink=look.ink, width=look.width)
    for side in (-1, 1):
        pen.oval(0.36 * side, -0.28, 0.2, 0.24, fill=(250, 250, 250), ink=look.ink, width=0.05)
        pen.oval(0.36 * side + rng.uniform(-0.06, 0.06), -0.25, 0.09, fill=(20, 20, 20))
    mouth = arc(0, 0.22, 0.45, 0.38, 20, 160) if mood > 0 else arc(0, 0.72, 0.42, 0.36, 200, 340)
    pen.line(mouth, look.ink, 0.1)


def house(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A wall with a roof, a door and windows."""
    pen.polygon([(-0.8, -0.1), (0.8, -0.1), (0.8, 0.9), (-0.8, 0.9)], look.main, ink=look.ink, width=look.width)
    pen.polygon([(-1, -0.1), (0, -0.95), (1, -0.1)], look.second, ink=look.ink, width=look.width)
    pen.polygon([(-0.18, 0.35), (0.18, 0.35), (0.18, 0.9), (-0.18, 0.9)], shade(look.second, 0.6))
    for x in (-0.52, 0.52):
        pen.polygon([(x - 0.16, 0.15), (x + 0.16, 0.15), (x + 0.16, 0.5), (x - 0.16, 0.5)], shade(look.main, 1.8))


def tree(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A trunk with a round crown."""
    green = (int(rng.integers(30, 120)), int(rng.integers(110, 200)), int(rng.integers(20, 90)))
    pen.polygon([(-0.14, 0.1), (0.14, 0.1), (0.2, 1), (-0.2, 1)], (110, 75, 40))
    for _ in range(5):
        pen.oval(rng.uniform(-0.4, 0.4), rng.uniform(-0.6, 0.0), 0.5, fill=shade(green, rng.uniform(0.75, 1.2)))


def pine(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A fir tree of three triangles."""
    green = (int(rng.integers(10, 70)), int(rng.integers(80, 150)), int(rng.integers(30, 90)))
    pen.polygon([(-0.1, 0.6), (0.1, 0.6), (0.1, 1), (-0.1, 1)], (95, 65, 40))
    for top, half in ((0.05, 0.75), (-0.4, 0.6), (-0.95, 0.45)):
        pen.polygon([(-half, top + 0.65), (0, top), (half, top + 0.65)], shade(green, rng.uniform(0.8, 1.2)))


def car(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A car from the side."""
    body = [(-1, 0.05), (-0.6, 0), (-0.35, -0.45), (0.35, -0.45), (0.62, 0), (1, 0.1), (1, 0.4), (-1, 0.4)]
    pen.polygon(body, look.main, ink=look.ink, width=look.width)
    pen.polygon([(-0.45, -0.02), (-0.28, -0.36), (-0.03, -0.36), (-0.03, -0.02)], (190, 220, 235))
    pen.polygon([(0.05, -0.02), (0.05, -0.36), (0.28, -0.36), (0.46, -0.02)], (190, 220, 235))
    for x in (-0.55, 0.55):
        pen.oval(x, 0.42, 0.24, fill=(25, 25, 25))
        pen.oval(x, 0.42, 0.11, fill=(170, 170, 170))


def flower(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A stem with a leaf and a ring of petals."""
    pen.line([(0, 0), (0.06, 0.5), (0, 1)], (50, 130, 50), 0.12)
    pen.oval(0.25, 0.62, 0.24, 0.1, fill=(60, 150, 60))
    count = int(rng.integers(5, 9))
    for angle in np.linspace(0, 2 * math.pi, count, endpoint=False):
        pen.moved(0, -0.3, angle=float(angle)).oval(0.4, 0, 0.28, 0.19, fill=look.main, ink=look.ink, width=0.04)
    pen.oval(0, -0.3, 0.22, fill=look.second)


def fish(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A fish with a tail, a fin and stripes."""
    pen.polygon([(0.5, 0), (1, -0.42), (0.9, 0), (1, 0.42)], look.second, ink=look.ink, width=look.width)
    pen.polygon([(-0.2, -0.35), (0.1, -0.75), (0.35, -0.3)], look.second)
    pen.oval(-0.12, 0, 0.75, 0.45, fill=look.main, ink=look.ink, width=look.width)
    for x in (0.0, 0.25):
        pen.line(arc(x - 0.2, 0, 0.25, 0.38, -60, 60), look.second, 0.09)
    pen.oval(-0.55, -0.1, 0.1, fill=(255, 255, 255))
    pen.oval(-0.57, -0.1, 0.05, fill=(0, 0, 0))


def boat(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A hull with a mast and a sail."""
    pen.polygon([(-0.9, 0.4), (0.9, 0.4), (0.55, 0.85), (-0.55, 0.85)], look.main, ink=look.ink, width=look.width)
    pen.line([(0, 0.4), (0, -0.95)], look.ink, 0.08)
    pen.polygon([(0.08, -0.9), (0.75, 0.25), (0.08, 0.25)], look.second)
    pen.polygon([(-0.08, -0.7), (-0.55, 0.25), (-0.08, 0.25)], shade(look.second, 1.6))


def mushroom(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A stalk with a spotted cap."""
    pen.polygon([(-0.25, 0), (0.25, 0), (0.35, 0.9), (-0.35, 0.9)], (235, 225, 200), ink=look.ink, width=look.width)
    pen.polygon(arc(0, 0.05, 0.95, 0.9, 180, 360), look.main, ink=look.ink, width=look.width)
    for x, y in ((-0.5, -0.25), (0, -0.55), (0.45, -0.25), (-0.1, -0.15)):
        pen.oval(x, y, 0.13, fill=look.second)


def cup(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A cup with a handle."""
    pen.line(arc(0.5, 0.05, 0.42, 0.36, -80, 80), look.main, 0.16)
    pen.polygon([(-0.7, -0.6), (0.6, -0.6), (0.45, 0.75), (-0.55, 0.75)], look.main, ink=look.ink, width=look.width)
    pen.oval(-0.05, -0.6, 0.65, 0.16, fill=look.second)


def umbrella(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """An open umbrella with coloured panels."""
    pen.line([(0, -0.9), (0, 0.7), *arc(0.15, 0.72, 0.15, 0.2, 180, 0)], look.ink, 0.08)
    edges = np.linspace(180, 360, 6)
    for index in range(5):
        part = arc(0, 0, 0.95, 0.8, float(edges[index]), float(edges[index + 1]), steps=8)
        pen.polygon([*part, (0, -0.05)], look.main if index % 2 else look.second)


def eye(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """One large eye with lashes."""
    outline = [*arc(0, 0.45, 1.05, 0.95, 205, 335), *arc(0, -0.45, 1.05, 0.95, 25, 155)]
    pen.polygon(outline, (245, 245, 245), ink=look.ink, width=0.08)
    pen.oval(0, 0, 0.42, fill=look.main)
    pen.oval(0, 0, 0.2, fill=(10, 10, 10))
    for x in (-0.55, 0, 0.55):
        pen.line([(x, -0.5 + 0.2 * abs(x)), (x * 1.25, -0.85 + 0.2 * abs(x))], look.ink, 0.07)


def cloud(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A white or grey cloud."""
    grey = int(rng.integers(195, 255))
    for x, y, r in ((-0.55, 0.15, 0.4), (0.55, 0.15, 0.38), (-0.15, -0.15, 0.5), (0.25, -0.05, 0.45), (0, 0.2, 0.45)):
        pen.oval(x, y, r, r * 0.85, fill=(grey, grey, min(255, grey + 6)))


def key(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A key with a ring and two teeth."""
    pen.line(arc(-0.6, 0, 0.3, 0.3), look.main, 0.16)
    pen.line([(-0.3, 0), (0.95, 0)], look.main, 0.16)
    for x in (0.62, 0.9):
        pen.line([(x, 0), (x, 0.36)], look.main, 0.14)
