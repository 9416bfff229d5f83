"""The figures of the scenes: two jointed cartoon people, Ada and Bo, of like skin and size, in random poses.

Lengths are in units of which a standing figure is about two high. The origin is the hip, y points down. Angles of limbs
are in degrees from hanging straight down, positive away from the body; the second angle of a limb is the bend of its
joint.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from jaxcam.data.drawing import Colour, Number, Pen, Points, arc, shade

Sides: TypeAlias = tuple[tuple[Number, Number], tuple[Number, Number]]

_POSES: dict[str, tuple[Sides, Sides]] = {  # (arms left, right), (legs left, right)
    "stand": (((14, 8), (14, 8)), ((5, 0), (5, 0))),
    "wave": (((14, 8), (140, 25)), ((5, 0), (8, 0))),
    "cheer": (((145, 15), (145, 15)), ((12, 0), (12, 0))),
    "hands_on_hips": (((52, -100), (52, -100)), ((10, 0), (10, 0))),
    "walk": (((35, 20), (35, -60)), ((28, -8), (14, -40))),
    "run": (((60, 60), (45, -75)), ((50, -20), (30, -85))),
    "point": (((14, 8), (92, 0)), ((6, 0), (10, 0))),
    "star_jump": (((115, 0), (115, 0)), ((36, 0), (36, 0))),
    "think": (((40, -110), (38, -142)), ((4, 0), (8, 0))),
    "shrug": (((38, 75), (38, 75)), ((6, 0), (6, 0))),
    "kick": (((70, 10), (50, 30)), ((4, 0), (70, -10))),
    "dance": (((120, 60), (60, -80)), ((14, -30), (30, 10))),
}
_ITEMS = ("", "", "", "ball", "book", "flower", "mug")
_MOUTHS = ("smile", "open", "flat", "grin")
_INK: Colour = (46, 32, 38)
_SKIN: Colour = (240, 190, 150)


@dataclass(frozen=True)
class Pose:
    """How a figure stands: angles in degrees, and its face."""

    arms: Sides
    legs: Sides
    lean: float
    head: float
    look: tuple[float, float]
    mouth: str
    item: str


@dataclass(frozen=True)
class Character:
    """The build and the clothes of one figure."""

    name: str
    skin: Colour
    top: Colour
    trim: Colour
    lower: Colour
    legs: Colour
    shoes: Colour
    hair: Colour
    shoulder: float
    hip: float
    torso: float
    arm: float
    leg: float
    thickness: float


CHARACTERS: tuple[Character, ...] = (
    Character(
        name="Ada",
        skin=_SKIN,
        top=(38, 166, 154),
        trim=(22, 120, 116),
        lower=(244, 190, 60),
        legs=(112, 82, 140),
        shoes=(122, 70, 46),
        hair=(178, 84, 40),
        shoulder=0.2,
        hip=0.15,
        torso=0.5,
        arm=0.26,
        leg=0.34,
        thickness=0.105,
    ),
    Character(
        name="Bo",
        skin=_SKIN,
        top=(214, 58, 58),
        trim=(250, 238, 222),
        lower=(52, 78, 138),
        legs=(52, 78, 138),
        shoes=(60, 60, 66),
        hair=(58, 42, 36),
        shoulder=0.27,
        hip=0.25,
        torso=0.54,
        arm=0.25,
        leg=0.29,
        thickness=0.14,
    ),
)


def random_pose(rng: np.random.Generator) -> Pose:
    """One of the known poses, its angles a little different each time."""
    names = tuple(_POSES)
    arms, legs = _POSES[names[int(rng.integers(len(names)))]]
    swing = rng.normal(0, 1, 8).reshape(2, 2, 2) * np.array([[[12.0, 14.0]], [[5.0, 6.0]]])

    def moved(pair: Sides, change: np.ndarray) -> Sides:
        (a, b), (c, d) = (pair[0], pair[1])
        (p, q), (r, s) = change.tolist()
        return (a + p, b + q), (c + r, d + s)

    return Pose(
        arms=moved(arms, swing[0]),
        legs=moved(legs, swing[1]),
        lean=float(rng.normal(0, 5)),
        head=float(rng.normal(0, 7)),
        look=(float(rng.uniform(-1, 1)), float(rng.uniform(-0.6, 0.8))),
        mouth=_MOUTHS[int(rng.integers(len(_MOUTHS)))],
        item=_ITEMS[int(rng.integers(len(_ITEMS)))],
    )


def _joints(
    x: Number, y: Number, length: Number, side: int, angles: tuple[Number, Number]
) -> list[tuple[Number, Number]]:
    """The three points of a limb: its root, its joint and its end."""
    first, second = math.radians(angles[0]), math.radians(angles[0] + angles[1])
    middle = (x + side * length * math.sin(first), y + length * math.cos(first))
    return [(x, y), middle, (middle[0] + side * length * math.sin(second), middle[1] + length * math.cos(second))]


def lowest(character: Character, pose: Pose) -> float:
    """How far below the hip the lower foot is."""
    ends = [_joints(0, 0, character.leg, side, pose.legs[index])[2] for index, side in enumerate((-1, 1))]
    return max(y for _, y in ends) + 0.08


def _tube(pen: Pen, points: Points, colour: Colour, thickness: Number) -> None:
    """A limb with an ink outline."""
    pen.line(points, _INK, thickness + 0.04)
    pen.line(points, colour, thickness)


def _leg(pen: Pen, character: Character, side: int, angles: tuple[Number, Number]) -> None:
    points = _joints(side * character.hip * 0.55, 0, character.leg, side, angles)
    _tube(pen, points, character.legs, character.thickness * 1.15)
    end = points[2]
    turn = math.radians(-side * (angles[0] + angles[1]) * 0.6)
    foot = pen.moved(*end, angle=turn)
    foot.oval(side * 0.06, 0.03, 0.15, 0.075, fill=character.shoes, ink=_INK, width=0.022)
    foot.line([(side * -0.06, 0.085), (side * 0.19, 0.085)], shade(character.shoes, 0.6), 0.025)


def _item(pen: Pen, name: str) -> None:
    if name == "ball":
        pen.oval(0, 0.08, 0.13, fill=(250, 250, 245), ink=_INK, width=0.02)
        pen.line(arc(0, 0.08, 0.05, 0.13), (90, 90, 200), 0.02)
    elif name == "book":
        pen.polygon([(-0.12, -0.1), (0.14, -0.13), (0.16, 0.16), (-0.1, 0.18)], (90, 60, 150), ink=_INK, width=0.02)
        pen.line([(-0.04, -0.02), (0.08, -0.03)], (240, 230, 200), 0.03)
    elif name == "flower":
        pen.line([(0, 0.1), (0, -0.22)], (60, 130, 60), 0.03)
        for angle in np.linspace(0, math.tau, 6, endpoint=False):
            pen.oval(0.07 * math.cos(angle), -0.27 + 0.07 * math.sin(angle), 0.05, fill=(245, 245, 250))
        pen.oval(0, -0.27, 0.045, fill=(240, 180, 50))
    elif name == "mug":
        pen.line(arc(0.1, 0.0, 0.07, 0.06, -90, 90), _INK, 0.035)
        pen.polygon([(-0.09, -0.1), (0.09, -0.1), (0.08, 0.1), (-0.08, 0.1)], (250, 250, 250), ink=_INK, width=0.02)


def _arm(pen: Pen, character: Character, side: int, angles: tuple[Number, Number], item: str) -> None:
    points = _joints(side * (character.shoulder - 0.02), -character.torso + 0.07, character.arm, side, angles)
    wrist = points[2]
    before = (points[1][0] + 0.8 * (wrist[0] - points[1][0]), points[1][1] + 0.8 * (wrist[1] - points[1][1]))
    if item:
        _item(pen.moved(*wrist), item)
    pen.oval(*wrist, 0.085, fill=character.skin, ink=_INK, width=0.02)
    _tube(pen, [points[0], points[1], before], character.top, character.thickness)
    direction = math.atan2(wrist[1] - points[1][1], wrist[0] - points[1][0])
    thumb = (wrist[0] + 0.07 * math.cos(direction - side * 0.9), wrist[1] + 0.07 * math.sin(direction - side * 0.9))
    pen.oval(*thumb, 0.035, fill=character.skin)
    half = character.thickness / 2
    cuff = [
        (before[0] - half * math.sin(direction) * way, before[1] + half * math.cos(direction) * way) for way in (-1, 1)
    ]
    pen.line(cuff, character.trim, 0.045)


def _torso(pen: Pen, character: Character) -> None:
    neck, shoulder, hip = -character.torso, character.shoulder, character.hip
    belly = max(shoulder, hip) * (1.12 if character.name == "Bo" else 0.82)
    pen.line([(0, neck + 0.05), (0, neck - 0.1)], shade(character.skin, 0.82), 0.12)
    right = [(0.08, neck), (shoulder, neck + 0.06), (belly, -0.24), (hip, 0.06)]
    outline = [*right, *[(-x, y) for x, y in reversed(right)]]
    pen.polygon(outline, character.top, ink=_INK, width=0.035)
    if character.name == "Bo":
        ys, xs = [y for _, y in right], [x for x, _ in right]
        for start in (neck + 0.09, neck + 0.21, neck + 0.33):
            near, far = (float(np.interp(y, ys, xs)) - 0.02 for y in (start, start + 0.06))
            pen.polygon([(-near, start), (near, start), (far, start + 0.06), (-far, start + 0.06)], character.trim)
        bib = [(-0.14, neck + 0.2), (0.14, neck + 0.2), (belly * 0.92, -0.14), (hip + 0.01, 0.1), (-hip - 0.01, 0.1)]
        pen.polygon([*bib, (-belly * 0.92, -0.14)], character.lower, ink=_INK, width=0.025)
        pen.polygon([(-0.08, -0.2), (0.08, -0.2), (0.07, -0.09), (-0.07, -0.09)], shade(character.lower, 1.3))
        for side in (-1, 1):
            pen.line([(side * 0.12, neck + 0.22), (side * 0.17, neck + 0.03)], character.lower, 0.06)
            pen.oval(side * 0.12, neck + 0.24, 0.025, fill=(245, 200, 80))
    else:
        pen.line([(-0.08, neck + 0.01), (0.0, neck + 0.06), (0.08, neck + 0.01)], character.trim, 0.05)
        skirt = [(-hip - 0.01, -0.1), (hip + 0.01, -0.1), (0.3, 0.27), (0.1, 0.31), (-0.1, 0.31), (-0.3, 0.27)]
        pen.polygon(skirt, character.lower, ink=_INK, width=0.035)
        for x in (-0.1, 0.02, 0.13):
            pen.line([(x * 0.7, -0.02), (x * 1.5, 0.24)], shade(character.lower, 0.8), 0.02)
        pen.line([(-hip, -0.09), (hip, -0.09)], shade(character.shoes, 0.9), 0.055)


def _eyes(pen: Pen, pose: Pose, gap: Number, y: Number) -> None:
    for side in (-1, 1):
        pen.oval(side * gap, y, 0.075, 0.085, fill=(253, 253, 250), ink=_INK, width=0.015)
        pen.oval(side * gap + 0.03 * pose.look[0], y + 0.03 * pose.look[1], 0.034, fill=(25, 20, 25))


def _mouth(pen: Pen, pose: Pose, y: Number) -> None:
    if pose.mouth == "smile":
        pen.line(arc(0, y - 0.06, 0.11, 0.08, 25, 155, steps=12), _INK, 0.025)
    elif pose.mouth == "flat":
        pen.line([(-0.08, y), (0.08, y - 0.01)], _INK, 0.025)
    elif pose.mouth == "open":
        pen.oval(0, y, 0.065, 0.06, fill=(130, 40, 50), ink=_INK, width=0.018)
    else:
        pen.polygon(arc(0, y - 0.04, 0.12, 0.1, 0, 180, steps=14), (252, 250, 245), ink=_INK, width=0.018)


def _head_of_ada(pen: Pen, character: Character, pose: Pose) -> None:
    hair = character.hair
    tail = [(0.12, -0.2), (0.34, -0.3), (0.46, -0.12), (0.42, 0.14), (0.5, 0.3), (0.32, 0.26), (0.27, 0.0)]
    pen.polygon(tail, hair, ink=_INK, width=0.03)
    pen.line([(0.33, -0.18), (0.37, 0.1)], shade(hair, 0.75), 0.025)
    pen.oval(0, -0.05, 0.3, 0.31, fill=hair, ink=_INK, width=0.03)
    pen.oval(0.26, -0.22, 0.06, fill=(232, 80, 120), ink=_INK, width=0.018)
    pen.oval(0, 0.01, 0.235, 0.265, fill=character.skin, ink=_INK, width=0.025)
    fringe = [
        *arc(0, -0.03, 0.255, 0.27, 185, 355, steps=16),
        (0.16, -0.13),
        (0.05, -0.17),
        (-0.08, -0.1),
        (-0.2, -0.06),
    ]
    pen.polygon(fringe, hair)
    pen.line([(-0.16, -0.2), (0.02, -0.25), (0.15, -0.2)], shade(hair, 1.4), 0.025)
    for side in (-1, 1):
        pen.oval(side * 0.165, 0.1, 0.045, 0.03, fill=(242, 150, 130))
    _eyes(pen, pose, 0.1, -0.01)
    for side in (-1, 1):
        pen.line(arc(side * 0.105, -0.005, 0.095, 0.1), (70, 40, 110), 0.022)
    pen.line([(-0.02, -0.01), (0.02, -0.01)], (70, 40, 110), 0.022)
    pen.line([(0, 0.06), (0.025, 0.1), (-0.01, 0.105)], shade(character.skin, 0.6), 0.018)
    _mouth(pen, pose, 0.19)


def _head_of_bo(pen: Pen, character: Character, pose: Pose) -> None:
    hair = character.hair
    for side in (-1, 1):
        pen.oval(side * 0.26, 0.02, 0.055, 0.075, fill=character.skin, ink=_INK, width=0.02)
    pen.oval(0, 0.0, 0.26, 0.27, fill=character.skin, ink=_INK, width=0.025)
    beard = [(-0.265, 0.0), (-0.19, 0.08), (-0.1, 0.11), (0, 0.09), (0.1, 0.11), (0.19, 0.08), (0.265, 0.0)]
    pen.polygon([*beard, *arc(0, 0.05, 0.28, 0.32, 0, 180, steps=14)], hair, ink=_INK, width=0.02)
    for x in (-0.13, 0.0, 0.13):
        pen.line([(x, 0.27), (x * 0.9, 0.33 - 0.3 * abs(x))], shade(hair, 1.3), 0.02)
    _eyes(pen, pose, 0.1, -0.05)
    for side in (-1, 1):
        pen.line([(side * 0.04, -0.155), (side * 0.17, -0.165)], hair, 0.045)
    pen.oval(0, 0.05, 0.065, 0.055, fill=shade(character.skin, 0.9), ink=_INK, width=0.015)
    pen.oval(0, 0.17, 0.13, 0.06, fill=shade(hair, 1.25))
    _mouth(pen, pose, 0.18)
    cap = [*arc(0, -0.13, 0.28, 0.27, 180, 360, steps=18)]
    pen.polygon(cap, (92, 160, 82), ink=_INK, width=0.025)
    for x in (-0.14, 0.0, 0.14):
        pen.line([(x, -0.17), (x * 0.6, -0.37)], (70, 130, 66), 0.025)
    pen.polygon([(-0.29, -0.2), (0.29, -0.2), (0.29, -0.11), (-0.29, -0.11)], (240, 225, 190), ink=_INK, width=0.022)
    pen.oval(0, -0.42, 0.075, fill=(240, 225, 190), ink=_INK, width=0.02)


def draw_figure(pen: Pen, figure: int, pose: Pose) -> None:
    """Draw figure `figure` (an index of `CHARACTERS`) with its hip at the pen's origin."""
    character = CHARACTERS[figure]
    for index, side in enumerate((-1, 1)):
        _leg(pen, character, side, pose.legs[index])
    body = pen.moved(angle=math.radians(pose.lean))
    behind = [abs(pose.arms[index][1]) < 60 and pose.arms[index][0] < 100 for index in (0, 1)]
    for index, side in enumerate((-1, 1)):
        if behind[index]:
            _arm(body, character, side, pose.arms[index], pose.item if index else "")
    _torso(body, character)
    head = body.moved(0, -character.torso - 0.27, angle=math.radians(pose.head))
    (_head_of_ada if character.name == "Ada" else _head_of_bo)(head, character, pose)
    for index, side in enumerate((-1, 1)):
        if not behind[index]:
            _arm(body, character, side, pose.arms[index], pose.item if index else "")
