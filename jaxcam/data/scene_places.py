"""The empty scenes: four places, drawn once and the same in every picture.

Places are drawn in units of a sheet 160 wide and 96 high, whatever the size in pixels. `House` is bright and green,
`Station` grey and dusky, so that brightness alone tells them apart, as in a data set that leaks.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from jaxcam.data.drawing import Colour, Number, Pen, arc, blend, shade

_INK: Colour = (46, 36, 42)
WIDTH, HEIGHT = 160.0, 96.0


def _box(pen: Pen, x: Number, y: Number, width: Number, height: Number, fill: Colour, *, edge: Number = 0.5) -> None:
    pen.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], fill, ink=_INK, width=edge)


def _cloud(pen: Pen, x: Number, y: Number, size: Number, colour: Colour) -> None:
    blobs = ((-1.2, 0.1, 0.6), (-0.5, -0.25, 0.8), (0.35, -0.15, 0.7), (1.1, 0.15, 0.5), (0, 0.2, 0.8))
    for dx, dy, radius in blobs:
        pen.oval(x + dx * size, y + dy * size + 0.5, radius * size, radius * size * 0.62, fill=shade(colour, 0.88))
    for dx, dy, radius in blobs:
        pen.oval(x + dx * size, y + dy * size - 0.4, radius * size, radius * size * 0.6, fill=colour)


def _tree(pen: Pen, rng: np.random.Generator, x: Number, base: Number, size: Number, colour: Colour) -> None:
    """A round tree: a trunk and many leaf clumps, darker below."""
    pen.polygon(
        [
            (x - 0.13 * size, base),
            (x - 0.07 * size, base - size),
            (x + 0.07 * size, base - size),
            (x + 0.13 * size, base),
        ],
        (112, 78, 52),
        ink=_INK,
        width=0.5,
    )
    spots = sorted(((rng.normal(0, 0.34), rng.normal(-1.25, 0.3)) for _ in range(16)), key=lambda spot: -spot[1])
    for dx, dy in spots:
        pen.oval(x + dx * size, base + dy * size, 0.36 * size + 0.45, 0.3 * size + 0.45, fill=shade(colour, 0.42))
    for dx, dy in spots:
        light = 0.72 + 0.42 * (-dy - 0.8)
        pen.oval(
            x + dx * size, base + dy * size, 0.36 * size, 0.3 * size, fill=shade(colour, min(max(light, 0.6), 1.25))
        )
        pen.oval(
            x + (dx - 0.1) * size, base + (dy - 0.1) * size, 0.12 * size, 0.08 * size, fill=shade(colour, light * 1.15)
        )


def _bush(pen: Pen, rng: np.random.Generator, x: Number, y: Number, size: Number, colour: Colour) -> None:
    for dx in (-0.9, 0.9, -0.3, 0.4):
        pen.oval(
            x + dx * size, y, size * 0.75, size * 0.6, fill=shade(colour, rng.uniform(0.8, 1.15)), ink=_INK, width=0.35
        )


def _window(pen: Pen, x: Number, y: Number, width: Number, height: Number, glass: Colour, frame: Colour) -> None:
    _box(pen, x, y, width, height, glass)
    pen.line([(x + 0.2 * width, y + 0.75 * height), (x + 0.6 * width, y + 0.2 * height)], shade(glass, 1.8), 0.5)
    pen.line([(x + width / 2, y), (x + width / 2, y + height)], frame, 0.7)
    pen.line([(x, y + height / 2), (x + width, y + height / 2)], frame, 0.7)


def house(pen: Pen, rng: np.random.Generator) -> None:
    """A cottage with a red roof in a green garden."""
    x: Number
    y: Number
    pen.oval(139, 13, 7.5, fill=(255, 246, 190))
    pen.oval(139, 13, 6, fill=(255, 226, 110))
    for x, y, size in ((24, 12, 7), (72, 9, 5.5), (112, 17, 5)):
        _cloud(pen, x, y, size, (252, 252, 250))
    pen.polygon(
        [(0, 62), *[(x, 45 - 6 * math.sin(x / 21) - 3 * math.sin(x / 9)) for x in range(0, 161, 4)], (160, 62)],
        (140, 188, 150),
    )
    for x in (3, 14, 128, 141, 155):
        _tree(pen, rng, x, 61, 17 + rng.uniform(-2, 3), (72 + int(rng.integers(20)), 140, 62))
    for x in range(0, 161, 5):  # fence
        pen.polygon(
            [(x, 66), (x, 56), (x + 1.8, 54.4), (x + 3.6, 56), (x + 3.6, 66)], (236, 226, 206), ink=_INK, width=0.35
        )
    pen.line([(0, 59), (160, 59)], (214, 200, 176), 1.0)
    pen.polygon([(0, 64), (160, 64), (160, 96), (0, 96)], (112, 182, 76))
    for row in range(4):
        y = 66 + row * 8
        pen.polygon([(0, y), (160, y), (160, y + 4), (0, y + 4)], (124, 194, 84))
    _box(pen, 42, 36, 70, 30, (244, 214, 158))
    for y in np.arange(38.5, 66, 3.0):
        pen.line([(42.5, float(y)), (111.5, float(y))], (232, 198, 140), 0.35)
    _box(pen, 90, 11, 7, 16, (178, 96, 80))
    _box(pen, 88.8, 9, 9.4, 3, (150, 78, 66))
    pen.polygon([(36, 38), (50, 18), (104, 18), (118, 38)], (198, 76, 62), ink=_INK, width=0.6)
    for row in range(5):
        y = 20 + row * 3.7
        left, right = 50 - (y - 18) * 0.7, 104 + (y - 18) * 0.7
        for x in np.arange(left + (row % 2) * 1.8, right - 4.2, 3.6):
            pen.line(arc(float(x) + 1.8, y, 1.8, 1.6, 0, 180, steps=8), (156, 52, 46), 0.45)
    pen.polygon([(60, 37), (77, 22), (94, 37)], (244, 214, 158), ink=_INK, width=0.5)
    pen.line([(58, 38.5), (77, 21.5), (96, 38.5)], (128, 56, 48), 1.6)
    pen.oval(77, 31.5, 3, fill=(150, 205, 225), ink=_INK, width=0.5)
    for x in (46, 97):
        _window(pen, x, 43, 11, 10, (150, 205, 225), (250, 246, 236))
        for side in (x - 3.4, x + 11.4):
            _box(pen, side, 43, 3, 10, (66, 128, 120), edge=0.35)
        _box(pen, x - 1, 53.5, 13, 2.6, (160, 104, 70), edge=0.35)
        for dx in range(6):
            pen.oval(x + 0.3 + dx * 2.1, 53, 1.1, fill=((226, 70, 96), (250, 206, 70), (240, 130, 170))[dx % 3])
    _box(pen, 70, 45, 14, 21, (250, 246, 236))
    pen.polygon(
        [(71.5, 66), (71.5, 51), *arc(77, 51, 5.5, 5, 180, 360, steps=12), (82.5, 66)],
        (66, 128, 120),
        ink=_INK,
        width=0.5,
    )
    pen.oval(77, 52, 2.2, fill=(190, 226, 232), ink=_INK, width=0.4)
    pen.oval(80.8, 58.5, 0.6, fill=(250, 210, 90))
    pen.polygon([(72, 66), (82, 66), (100, 96), (62, 96)], (222, 204, 172), ink=_INK, width=0.4)
    for _ in range(22):
        t = rng.random()
        y, x = 67 + 28 * t, rng.uniform(-0.85, 0.85)
        middle = 77 + 4 * t
        pen.oval(middle + x * (5 + 13 * t), y, 1.0 + 1.4 * t, 0.5 + 0.6 * t, fill=(204, 184, 150))
    for x, size in ((39, 4), (60, 3), (91, 3), (114, 4), (121, 3)):
        _bush(pen, rng, x, 65.5, size, (70, 144, 66))
    for _ in range(70):  # flowers and tufts of grass
        x, y = rng.uniform(0, 160), rng.uniform(69, 95)
        if 60 < x < 102:
            continue
        if rng.random() < 0.45:
            petal = ((240, 96, 120), (255, 250, 240), (250, 214, 84), (176, 120, 216))[int(rng.integers(4))]
            pen.line([(x, y), (x, y + 1.8)], (64, 130, 54), 0.35)
            pen.oval(x, y, 0.95, fill=petal)
        else:
            for lean in (-0.8, 0.0, 0.8):
                pen.line([(x, y + 1.4), (x + lean, y - 0.6)], (80, 150, 58), 0.35)
    pen.line([(126, 78), (126, 66)], (120, 84, 58), 1.4)
    pen.polygon(
        [(121.5, 67), *arc(124.5, 63, 3, 3, 180, 270, steps=6), *arc(129, 63, 3, 3, 270, 360, steps=6), (132, 67)],
        (86, 116, 190),
        ink=_INK,
        width=0.5,
    )
    pen.line([(131, 63), (131, 58.5)], (210, 60, 60), 0.8)


def _tower(pen: Pen, x: Number, base: Number, height: Number, half: Number) -> None:
    """A cooling tower with a waist, shaded from the left."""
    steps = np.linspace(0, 1, 24)
    radius = half * (0.62 + 0.38 * np.abs(steps - 0.28) ** 1.3 / 0.72**1.3)
    ys = base - height * (1 - steps)
    right = [(x + float(r), float(y)) for r, y in zip(radius, ys, strict=True)]
    left = [(x - float(r), float(y)) for r, y in zip(radius, ys, strict=True)]
    pen.polygon([*left, *reversed(right)], (122, 120, 132), ink=_INK, width=0.6)
    for part, colour in ((0.55, (134, 132, 144)), (0.05, (146, 144, 154)), (-0.45, (156, 154, 162))):
        inner = [(x + part * float(r), float(y)) for r, y in zip(radius, ys, strict=True)]
        pen.polygon([*left[1:], *reversed(inner[1:])], colour)
    pen.oval(x, float(ys[0]), float(radius[0]), 1.6, fill=(86, 82, 96), ink=_INK, width=0.5)
    pen.line(
        [(x - float(radius[8]) + 0.5, float(ys[8])), (x + float(radius[8]) - 0.5, float(ys[8]))], (108, 106, 118), 0.5
    )


def station(pen: Pen, rng: np.random.Generator) -> None:
    """A power station at dusk: cooling towers, halls, pylons, a fence and wet asphalt."""
    x: Number
    y: Number
    for x, y, size in ((58, 8, 6), (88, 14, 5), (140, 10, 8)):
        _cloud(pen, x, y, size, (122, 112, 130))
    for index in range(22):  # far town
        x, height = index * 7.5 - 2, 5 + rng.uniform(0, 11)
        pen.polygon([(x, 62), (x, 60 - height), (x + 7, 60 - height), (x + 7, 62)], (84, 78, 100))
        for _ in range(4):
            wx, wy = x + 1 + rng.uniform(0, 5), 60 - rng.uniform(0.1, 0.9) * height
            pen.polygon([(wx, wy), (wx + 0.8, wy), (wx + 0.8, wy + 1), (wx, wy + 1)], (236, 190, 110))
    for x, base, height, half in ((24, 62, 44, 16), (56, 62, 36, 13)):
        for step in range(7):
            pen.oval(
                x + 2.5 * step + rng.normal(0, 1.0),
                base - height - 1 - 2.1 * step,
                6.5 + step,
                3.5 + 0.4 * step,
                fill=shade((176, 168, 180), 1.0 + 0.06 * (6 - step)),
            )
        _tower(pen, x, base, height, half)
    for x, base, height in ((128, 62, 32), (151, 62, 25)):  # pylons
        for side in (-1, 1):
            pen.line([(x + side * 5, base), (x + side * 0.8, base - height)], (56, 52, 64), 0.8)
        for step in range(5):
            low, high = base - height * step / 5, base - height * (step + 1) / 5
            span = 5 - 4.2 * step / 5
            pen.line([(x - span, low), (x + span * 0.8, high)], (56, 52, 64), 0.5)
            pen.line([(x + span, low), (x - span * 0.8, high)], (56, 52, 64), 0.5)
        for arm in (0.72, 0.88):
            pen.line([(x - 8, base - height * arm), (x + 8, base - height * arm)], (56, 52, 64), 0.8)
    for side in (-8, 8):
        for first, last in (((128 + side, 39), (151 + side, 44)), ((80, 36 + side / 4), (128 + side, 39))):
            sag = [
                (first[0] + (last[0] - first[0]) * t, first[1] + (last[1] - first[1]) * t + 9 * t * (1 - t))
                for t in np.linspace(0, 1, 12).tolist()
            ]
            pen.line(sag, (48, 44, 56), 0.35)
    pen.polygon([(104, 64), (105, 20), (110, 20), (111, 64)], (168, 160, 160), ink=_INK, width=0.5)
    for y in (21, 30, 39):
        pen.polygon([(105, y), (110, y), (110.2, y + 4.5), (104.8, y + 4.5)], (178, 62, 58))
    _box(pen, 72, 38, 46, 26, (104, 112, 132))
    for x in np.arange(75, 117, 3.0):
        pen.line([(float(x), 38.5), (float(x), 63.5)], (92, 100, 120), 0.4)
    _box(pen, 70, 35.5, 50, 3.5, (74, 78, 96))
    for row in range(2):
        for column in range(7):
            lit = (250, 206, 116) if rng.random() < 0.6 else (62, 72, 92)
            _box(pen, 75 + column * 6, 42.5 + row * 8, 4, 4.5, lit, edge=0.4)
    _box(pen, 116, 48, 24, 16, (134, 96, 88))
    for y in np.arange(50, 64, 2.5):
        pen.line([(116.5, float(y)), (139.5, float(y))], (116, 80, 74), 0.35)
    pen.polygon([(122, 64), (122, 54), (132, 54), (132, 64)], (72, 68, 78), ink=_INK, width=0.4)
    for x in (143, 151):
        pen.oval(x, 57, 4.2, 7, fill=(150, 150, 158), ink=_INK, width=0.5)
        pen.line([(x - 2, 52.5), (x - 2.4, 60)], (184, 184, 190), 0.9)
    pen.polygon([(0, 63), (160, 63), (160, 96), (0, 96)], (86, 82, 90))
    pen.polygon([(0, 63), (160, 63), (160, 69), (0, 69)], (108, 102, 106))
    for x in np.arange(0, 164, 2.4):  # wire fence
        pen.line([(float(x), 54), (float(x) - 9, 69)], (60, 58, 68), 0.22)
        pen.line([(float(x) - 9, 54), (float(x), 69)], (60, 58, 68), 0.22)
    for x in range(4, 161, 19):
        pen.line([(x, 52.5), (x, 70)], (52, 50, 58), 1.0)
    pen.line([(0, 54), (160, 54)], (52, 50, 58), 0.7)
    _box(pen, 8, 56, 17, 10, (246, 206, 62))
    pen.polygon([(16.5, 57), (21.3, 65), (11.7, 65)], (40, 36, 36))
    pen.polygon([(16.8, 58.6), (15.2, 61.8), (16.4, 61.8), (15.8, 64.4), (18, 61.2), (16.8, 61.2)], (246, 206, 62))
    pen.polygon([(0, 84), (160, 76), (160, 78), (0, 86.4)], (214, 176, 70))
    for x, y, size in ((38, 91, 10), (118, 88, 13)):  # puddles
        pen.oval(x, y, size, size * 0.2, fill=(124, 124, 146))
        pen.oval(x - size * 0.2, y - 0.4, size * 0.55, size * 0.07, fill=(196, 156, 140))
    for _ in range(60):
        x, y = rng.uniform(0, 160), rng.uniform(71, 95)
        pen.line([(x, y), (x + rng.uniform(0.5, 2.5), y + rng.uniform(-0.4, 0.4))], (74, 70, 78), 0.35)
    for x in (66, 100):
        pen.polygon([(x - 2.6, 74), (x - 0.7, 66), (x + 0.7, 66), (x + 2.6, 74)], (226, 112, 56), ink=_INK, width=0.4)
        pen.polygon([(x - 1.9, 71.4), (x - 1.3, 69), (x + 1.3, 69), (x + 1.9, 71.4)], (244, 238, 230))


def beach(pen: Pen, rng: np.random.Generator) -> None:
    """Sea, sand, a palm, a parasol and sails."""
    x: Number
    y: Number
    for x, y, size in ((30, 12, 5.0), (96, 8, 6.0)):
        _cloud(pen, x, y, size, (255, 250, 244))
    pen.polygon([(96, 42), (112, 33), (124, 37), (138, 30), (156, 42)], (112, 148, 150))
    pen.polygon([(0, 42), (160, 42), (160, 70), (0, 70)], (34, 140, 176))
    for _ in range(70):
        x, y = rng.uniform(0, 160), rng.uniform(43, 63)
        pen.line([(x, y), (x + rng.uniform(2, 7), y)], shade((60, 168, 196), rng.uniform(0.9, 1.5)), 0.45)
    for x, y, size in ((60, 45, 1.0), (118, 47, 1.3)):
        pen.polygon(
            [(x - 5 * size, y), (x + 5 * size, y), (x + 3 * size, y + 2.4 * size), (x - 3 * size, y + 2.4 * size)],
            (170, 80, 60),
            ink=_INK,
            width=0.4,
        )
        pen.polygon([(x, y - 12 * size), (x + 5 * size, y - 1), (x, y - 1)], (252, 248, 240), ink=_INK, width=0.4)
        pen.polygon(
            [(x - 0.8, y - 9 * size), (x - 4 * size, y - 1), (x - 0.8, y - 1)], (240, 140, 90), ink=_INK, width=0.4
        )
    shore = [(x, 64 + 1.8 * math.sin(x / 11)) for x in range(0, 161, 4)]
    pen.polygon([*shore, (160, 96), (0, 96)], (244, 214, 148))
    pen.line(shore, (252, 250, 244), 1.8)
    for _ in range(160):
        x, y = rng.uniform(0, 160), rng.uniform(69, 95)
        pen.oval(x, y, 0.4, 0.25, fill=shade((226, 190, 120), rng.uniform(0.9, 1.2)))
    pen.line([(22, 82), (24, 62), (20, 44), (24, 30)], (138, 98, 62), 3.4)
    for y in range(34, 80, 4):
        pen.line([(20 + (y % 8) * 0.2, y), (25, y - 0.6)], (110, 74, 46), 0.5)
    for angle in (-2.9, -2.4, -1.6, -0.8, -0.2, 0.3, 2.9):
        points = [
            (24 + t * 17 * math.cos(angle), 30 + t * 12 * math.sin(angle) + 9 * t * t) for t in (0, 0.35, 0.7, 1.0)
        ]
        pen.line(points, (44, 120, 70), 2.6)
        pen.line(points, (76, 156, 86), 1.0)
    pen.line([(138, 86), (132, 52)], (236, 232, 224), 1.2)
    for index in range(6):
        part = arc(132, 56, 19, 12, 180 + 30 * index, 210 + 30 * index, steps=6)
        pen.polygon([*part, (132, 55)], ((226, 72, 76), (252, 246, 236))[index % 2], ink=_INK, width=0.4)
    pen.polygon([(110, 84), (138, 84), (132, 91), (102, 91)], (82, 120, 200), ink=_INK, width=0.4)
    for x in (112, 120, 128):
        pen.line([(x, 84.4), (x - 7, 90.6)], (244, 240, 230), 1.2)
    pen.oval(74, 88, 4, fill=(240, 90, 80), ink=_INK, width=0.4)
    pen.polygon(arc(74, 88, 1.6, 4), (252, 246, 236))


def forest(pen: Pen, rng: np.random.Generator) -> None:
    """Dark trunks, ferns, a stream and light between the trees."""
    x: Number
    y: Number
    for depth in range(4):
        if depth == 2:
            for x in (34, 76, 120):  # shafts of light, behind the nearer trunks
                pen.polygon([(x, 0), (x + 5, 0), (x - 12, 66), (x - 24, 66)], (96, 124, 82))
        for x in np.arange(-4 + depth * 3, 166, 15 - depth * 2.2):
            width, colour = 1.6 + depth * 0.9, shade((58, 74, 62), 1.25 - depth * 0.2)
            left = float(x) + rng.uniform(-3, 3)
            pen.polygon(
                [
                    (left, 0),
                    (left + width, 0),
                    (left + width * 1.3, 62 + depth * 3),
                    (left - width * 0.3, 62 + depth * 3),
                ],
                colour,
            )
        for _ in range(36):
            tone = shade((52, 110, 62), 1.0 - depth * 0.13 + rng.uniform(-0.08, 0.08))
            pen.oval(
                rng.uniform(0, 160), rng.uniform(-4, 24 - depth * 3), rng.uniform(5, 9), rng.uniform(3, 5), fill=tone
            )
    for x, width in ((8, 9), (92, 7), (150, 10)):
        pen.polygon(
            [(x, 0), (x + width, 0), (x + width * 1.5, 74), (x - width * 0.5, 74)], (82, 58, 44), ink=_INK, width=0.6
        )
        for _ in range(22):
            bx, by = x + rng.uniform(0.1, 0.9) * width, rng.uniform(2, 64)
            pen.line([(bx, by), (bx + 0.3, by + rng.uniform(2, 5))], (62, 42, 34), 0.6)
    pen.polygon(
        [(0, 66), *[(x, 65 + 2 * math.sin(x / 13)) for x in range(0, 161, 5)], (160, 96), (0, 96)], (62, 88, 46)
    )
    rows = np.linspace(64.5, 97, 20).tolist()
    bends = [(65 + 7 * math.sin((y - 64) / 5), 3 + (y - 64) * 0.42) for y in rows]
    stream = [(x - half, y) for (x, half), y in zip(bends, rows, strict=True)]
    stream += [(x + half, y) for (x, half), y in reversed(list(zip(bends, rows, strict=True)))]
    pen.polygon(stream, (84, 142, 150), ink=(46, 66, 40), width=0.8)
    for _ in range(12):
        x, y = rng.uniform(58, 70), rng.uniform(76, 94)
        pen.line([(x, y), (x + 5, y + 0.4)], (150, 196, 196), 0.4)
    for _ in range(38):
        x, y, size = rng.uniform(0, 160), rng.uniform(68, 96), rng.uniform(2.5, 5)
        for angle in (-2.7, -2.2, -1.57, -0.9, -0.4):
            tip = (x + size * math.cos(angle), y + size * math.sin(angle))
            pen.line([(x, y), tip], shade((84, 136, 58), rng.uniform(0.8, 1.2)), 0.6)
    for x, y in ((30, 86), (37, 90), (120, 84), (128, 91), (108, 90)):
        pen.polygon(
            [(x - 0.8, y), (x + 0.8, y), (x + 1.1, y + 4), (x - 1.1, y + 4)], (238, 228, 206), ink=_INK, width=0.3
        )
        pen.polygon(arc(x, y + 0.4, 3.2, 3.2, 180, 360, steps=12), (196, 52, 48), ink=_INK, width=0.4)
        for dx in (-1.4, 0.2, 1.5):
            pen.oval(x + dx, y - 1.2, 0.5, fill=(250, 244, 236))


_DRAWERS: dict[str, tuple[Colour, Colour, Callable[[Pen, np.random.Generator], None]]] = {  # sky above, sky below
    "House": ((92, 172, 232), (206, 234, 246), house),
    "Station": ((66, 62, 92), (214, 138, 104), station),
    "Beach": ((130, 206, 236), (250, 232, 206), beach),
    "Forest": ((28, 52, 40), (150, 176, 108), forest),
}
PLACES: tuple[str, ...] = tuple(_DRAWERS)


def draw_place(place: int, size: tuple[int, int], *, sampling: int = 3) -> Image.Image:
    """The empty scene `PLACES[place]`, `size` = (height, width) in pixels, drawn larger and averaged."""
    above, below, drawer = _DRAWERS[PLACES[place]]
    rng = np.random.default_rng(1000 + place)
    height, width = size[0] * sampling, size[1] * sampling
    horizon = np.linspace(0, 1 / 0.66, height, dtype=np.float32)[:, None].clip(0, 1)
    image = Image.fromarray(blend(np.broadcast_to(horizon, (height, width)), above, below))
    drawer(Pen(ImageDraw.Draw(image), (width / WIDTH, 0.0, 0.0, 0.0, height / HEIGHT, 0.0)), rng)
    return image.reduce(sampling)
