"""Creatures of the drawn set: animals and people made of a few parts, in random poses."""

import math
from functools import partial

import numpy as np

from jaxcam.data.drawing import Colour, Number, Pen, arc, hsv, shade
from jaxcam.data.drawn_objects import (
    Look,
    Painter,
    boat,
    car,
    cloud,
    cup,
    eye,
    face,
    fish,
    flower,
    house,
    key,
    mushroom,
    pine,
    tree,
    umbrella,
)

_SKIN: tuple[Colour, ...] = ((250, 214, 70), (245, 205, 170), (200, 145, 105), (120, 80, 55), (255, 225, 190))


def _fur(rng: np.random.Generator) -> Colour:
    hues = ((0.08, 0.6), (0.07, 0.35), (0.1, 0.15), (0.6, 0.05))
    hue, saturation = hues[int(rng.integers(len(hues)))]
    return hsv(hue + rng.uniform(-0.02, 0.02), saturation + rng.uniform(-0.05, 0.1), rng.uniform(0.25, 0.95))


def _head(pen: Pen, rng: np.random.Generator, fur: Colour, *, cat: bool) -> None:
    """A cat's head (pointed ears, whiskers, slit eyes) or a dog's (hanging ears, long muzzle, tongue)."""
    dark = shade(fur, 0.65)
    if cat:
        for side in (-1, 1):
            pen.polygon([(side * 0.75, -0.15), (side * 0.72, -1.0), (side * 0.1, -0.62)], fur)
            pen.polygon([(side * 0.64, -0.35), (side * 0.63, -0.8), (side * 0.3, -0.6)], (225, 160, 160))
        pen.oval(0, 0, 0.82, 0.7, fill=fur)
        for x in (-0.2, 0.0, 0.2):
            pen.line([(x, -0.66), (x * 0.8, -0.4)], dark, 0.07)
        for side in (-1, 1):
            pen.oval(side * 0.34, -0.1, 0.17, 0.15, fill=(190, 215, 90))
            pen.oval(side * 0.34, -0.1, 0.05, 0.14, fill=(10, 10, 10))
            for tilt in (-0.1, 0.03, 0.16):
                pen.line([(side * 0.2, 0.27), (side * 0.95, 0.22 + tilt * 2)], (240, 240, 240), 0.025)
        pen.polygon([(-0.1, 0.14), (0.1, 0.14), (0, 0.27)], (215, 120, 130))
        pen.line([(-0.18, 0.42), (0, 0.3), (0.18, 0.42)], shade(fur, 0.4), 0.04)
        return
    pen.oval(0, 0, 0.7, 0.78, fill=fur)
    for side in (-1, 1):
        pen.moved(side * 0.66, -0.1, angle=side * -0.25).oval(0, 0.12, 0.22, 0.58, fill=dark)
        pen.oval(side * 0.28, -0.2, 0.11, 0.12, fill=(30, 20, 15))
        pen.oval(side * 0.25, -0.23, 0.03, fill=(255, 255, 255))
    pen.oval(0, 0.36, 0.42, 0.38, fill=shade(fur, 1.7))
    if rng.random() < 0.7:
        pen.oval(0, 0.72, 0.14, 0.25, fill=(225, 95, 110))
    pen.oval(0, 0.16, 0.2, 0.14, fill=(20, 18, 18))
    pen.line([(-0.25, 0.52), (0, 0.44), (0.25, 0.52)], shade(fur, 0.35), 0.05)


def head(pen: Pen, look: Look, rng: np.random.Generator, *, cat: bool) -> None:
    """An animal's head from the front."""
    _head(pen, rng, _fur(rng), cat=cat)


def animal(pen: Pen, look: Look, rng: np.random.Generator, *, cat: bool) -> None:
    """A whole animal from the side, walking, its head towards the viewer."""
    fur = _fur(rng)
    stride = rng.uniform(-0.15, 0.15)
    for x, way in ((-0.55, 1), (-0.38, -1), (0.28, 1), (0.45, -1)):
        colour = shade(fur, 0.8) if way < 0 else fur
        pen.line([(x, 0.1), (x + stride * way, 0.75)], colour, 0.15 if cat else 0.19)
    if cat:
        lift = rng.uniform(-0.2, 0.2)
        pen.line([(-0.6, 0.0), (-0.85, -0.2), (-0.88, -0.55 + lift), (-0.7, -0.8 + lift)], fur, 0.12)
        pen.oval(-0.08, 0.08, 0.62, 0.26, fill=fur)
        for x in (-0.4, -0.2, 0.0, 0.2):
            pen.line([(x, -0.14), (x + 0.04, 0.08)], shade(fur, 0.6), 0.06)
        _head(pen.moved(0.55, -0.28, sx=0.4, sy=0.4), rng, fur, cat=True)
    else:
        pen.line([(-0.6, -0.05), (-0.9, -0.4 + rng.uniform(-0.15, 0.2))], fur, 0.13)
        pen.oval(-0.08, 0.06, 0.66, 0.32, fill=fur)
        pen.oval(rng.uniform(-0.4, 0.2), -0.02, 0.22, 0.16, fill=shade(fur, 0.6))
        _head(pen.moved(0.58, -0.35, sx=0.45, sy=0.45), rng, fur, cat=False)


def bird(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A bird from the side with a beak, a wing and thin legs."""
    for x in (-0.05, 0.15):
        pen.line([(x, 0.4), (x, 0.9)], (200, 130, 40), 0.06)
    pen.polygon([(-0.5, 0.0), (-1.0, -0.25), (-0.95, 0.15)], shade(look.main, 0.7))
    pen.oval(0, 0.1, 0.62, 0.42, fill=look.main)
    pen.oval(0.5, -0.35, 0.3, fill=look.main)
    pen.polygon([(0.75, -0.45), (1.05, -0.3), (0.75, -0.22)], (240, 160, 30))
    pen.moved(-0.1, 0.05, angle=rng.uniform(-0.4, 0.4)).oval(-0.08, 0, 0.38, 0.2, fill=shade(look.main, 0.6))
    pen.oval(0.58, -0.42, 0.06, fill=(10, 10, 10))


def butterfly(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """Two pairs of spotted wings."""
    for side in (-1, 1):
        pen.moved(side * 0.05, 0, angle=side * -0.5).oval(side * 0.5, -0.15, 0.48, 0.36, fill=look.main)
        pen.moved(side * 0.05, 0.1, angle=side * 0.6).oval(side * 0.4, 0.1, 0.36, 0.26, fill=look.second)
        pen.oval(side * 0.55, -0.35, 0.12, fill=look.second)
        pen.line([(0, -0.4), (side * 0.2, -0.8)], look.ink, 0.05)
    pen.oval(0, 0.05, 0.1, 0.5, fill=look.ink)


def spider(pen: Pen, look: Look, rng: np.random.Generator) -> None:
    """A body with eight bent legs."""
    for side in (-1, 1):
        for angle in np.linspace(-0.9, 0.9, 4):
            knee = (side * 0.6 * math.cos(angle), 0.7 * math.sin(angle) - 0.2)
            pen.line([(0, 0), knee, (side * math.cos(angle), math.sin(angle) + 0.1)], look.main, 0.07)
    pen.oval(0, 0.12, 0.34, 0.42, fill=look.main)
    pen.oval(0, -0.32, 0.2, fill=look.second)


def stick(pen: Pen, look: Look, rng: np.random.Generator, *, arms: Number, legs: Number) -> None:
    """A line figure; `arms` and `legs` are angles from hanging down, in degrees, with some freedom."""
    pen.line([(0, -0.4), (0, 0.25)], look.main, 0.12)
    pen.oval(0, -0.68, 0.27, fill=None if rng.random() < 0.5 else look.main, ink=look.main, width=0.1)
    for side in (-1, 1):
        for start, base, length in ((-0.3, arms, 0.6), (0.25, legs, 0.75)):
            angle = math.radians(base + rng.uniform(-12, 12))
            pen.line([(0, start), (side * length * math.sin(angle), start + length * math.cos(angle))], look.main, 0.11)


def _limb(
    pen: Pen,
    x: Number,
    y: Number,
    length: Number,
    width: Number,
    colours: tuple[Colour, Colour],
    angle: Number,
    bend: Number,
) -> None:
    """Two jointed parts of a limb, the lower one in the second colour, from (x, y) down."""
    knee = (x + length * math.sin(angle), y + length * math.cos(angle))
    end = (knee[0] + length * math.sin(angle + bend), knee[1] + length * math.cos(angle + bend))
    pen.line([knee, end], colours[1], width * 0.9)
    pen.line([(x, y), knee], colours[0], width)
    pen.oval(*end, width * 0.75, fill=colours[1])


def person(pen: Pen, look: Look, rng: np.random.Generator, *, kind: str) -> None:
    """A cartoon person: "child" (spiky hair, large head), "man" (bald, wide), "woman" (long hair, dress)."""
    skin = _SKIN[int(rng.integers(len(_SKIN)))]
    ink = shade(skin, 0.35)
    wide, head_size = {"child": (0.24, 0.3), "man": (0.38, 0.25), "woman": (0.22, 0.24)}[kind]
    for side in (-1, 1):
        leg, bend = rng.normal(0.12, 0.25), rng.normal(0, 0.3)
        lower = skin if kind != "man" else look.second
        _limb(
            pen, side * wide * 0.5, 0.3, 0.33, 0.17 if kind != "man" else 0.22, (look.second, lower), side * leg, bend
        )
    if kind == "woman":
        pen.polygon([(-0.18, -0.35), (0.18, -0.35), (0.5, 0.55), (-0.5, 0.55)], look.main)
    else:
        pen.oval(0, 0.02, wide, 0.42, fill=look.main)
    for side in (-1, 1):
        arm = rng.uniform(0.1, 2.8)
        _limb(pen, side * wide * 0.8, -0.28, 0.27, 0.14, (look.main, skin), side * arm, side * rng.normal(0, 0.5))
    top = pen.moved(0, -0.62, angle=rng.normal(0, 0.12))
    hair = shade(look.ink, 0.8)
    if kind == "woman":
        top.oval(0, 0.1, head_size * 1.35, head_size * 1.6, fill=hair)
    top.oval(0, 0, head_size, head_size * 1.1, fill=skin, ink=ink, width=0.03)
    if kind == "child":
        spikes = [(x, -head_size * (0.75 if i % 2 == 0 else 1.5)) for i, x in enumerate(np.linspace(-0.28, 0.28, 9))]
        top.polygon(
            [(-0.28, -0.1), *[(float(x), y) for x, y in spikes], (0.28, -0.1)], hair if rng.random() < 0.5 else skin
        )
    if kind == "man":
        top.polygon(arc(0, 0.12, head_size * 0.75, head_size * 0.75, 10, 170), shade(skin, 0.65))
    for side in (-1, 1):
        top.oval(side * 0.1, -0.04, 0.085, fill=(252, 252, 252), ink=ink, width=0.015)
        top.oval(side * 0.1 + rng.uniform(-0.03, 0.03), -0.03, 0.03, fill=(10, 10, 10))
    top.line([(-0.09, 0.15), (0.09, 0.15 + rng.uniform(-0.04, 0.04))], ink, 0.04)


PAINTERS: dict[str, Painter] = {
    "smiling_face": partial(face, mood=1),
    "sad_face": partial(face, mood=-1),
    "house": house,
    "tree": tree,
    "pine": pine,
    "car": car,
    "flower": flower,
    "fish": fish,
    "boat": boat,
    "mushroom": mushroom,
    "cup": cup,
    "umbrella": umbrella,
    "eye": eye,
    "cloud": cloud,
    "key": key,
    "cat_head": partial(head, cat=True),
    "dog_head": partial(head, cat=False),
    "cat": partial(animal, cat=True),
    "dog": partial(animal, cat=False),
    "bird": bird,
    "butterfly": butterfly,
    "spider": spider,
    "stick_arms_up": partial(stick, arms=145, legs=20),
    "stick_arms_out": partial(stick, arms=90, legs=20),
    "stick_arms_down": partial(stick, arms=35, legs=20),
    "stick_split": partial(stick, arms=90, legs=60),
    "child": partial(person, kind="child"),
    "man": partial(person, kind="man"),
    "woman": partial(person, kind="woman"),
}
