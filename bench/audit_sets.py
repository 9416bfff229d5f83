"""The sets on which the audit is calibrated: drawn at random, a cue planted in one class or not, all in memory."""

import hashlib
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from jaxcam.data import drawn, scenes
from jaxcam.data.folder import load_split
from jaxcam.data.images import ImageSet, Source
from jaxcam.data.planted.cues import Cue, plant, random_cue
from jaxcam.preprocessing import Preprocessing

SHARED = Path(os.environ.get("JAXCAM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NAMES = ("first", "second")
KINDS_EACH = {"mini": (4, 10), "mobilenet": (4, 10), "convnet": (1, 3)}
"""base -> fewest and most drawn kinds in one class; a network from scratch learns few from so few pictures"""
TUNING = ("logo", "tint", "bars")
"""cues that thresholds may be chosen on"""
HELD_OUT = ("jpeg", "low_resolution", "watermark", "background", "scene")
"""cues that thresholds were not chosen on"""
HONEST = ("plain", "everywhere", "correlate")
"""clean sets: no cue; a cue on half of the pictures of either class; a property that leans towards one class"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training set and one network; everything drawn for it follows from these values."""

    number: int
    family: str
    """a kind of cue, `scene` (each figure before its own drawn scene), or one of `HONEST`"""
    strength: int = 100
    """per cent of the second class that carries the cue"""
    source: str = "drawn"
    """drawn, scenes or cats_dogs"""
    base: str = "mini"
    """of `audit_models.BASES`"""
    part: str = "held-out"
    """tuning or held-out"""

    @property
    def planted(self) -> bool:
        """Whether one class carries a cue."""
        return self.family not in HONEST

    @property
    def key(self) -> str:
        """A word that names the case."""
        return "-".join(str(value) for value in asdict(self).values())


@dataclass(frozen=True, eq=False)
class Sets:
    """Pictures in memory: with the cue as trained, and the validation pictures with it moved, and without any."""

    train: tuple[UInt8[np.ndarray, "n h w 3"], Int32[np.ndarray, " n"]]
    valid: tuple[UInt8[np.ndarray, "m h w 3"], Int32[np.ndarray, " m"]]
    swapped: UInt8[np.ndarray, "m h w 3"]
    without: UInt8[np.ndarray, "m h w 3"]
    about: str
    """the classes and the cue in words"""


@dataclass(frozen=True, eq=False)
class Memory(Source):
    """Pictures that are kept as an array."""

    pixels: UInt8[np.ndarray, "n h w 3"]

    def read(self, place: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture at a place."""
        return self.pixels[place]

    def stamp(self, place: int) -> str:
        """Its hash."""
        return hashlib.sha256(self.pixels[place].tobytes()).hexdigest()[:16]


def image_set(name: str, pixels: UInt8[np.ndarray, "n h w 3"], labels: Int32[np.ndarray, " n"]) -> ImageSet:
    """Arrays as a set, so that the audit runs on them as on any other."""
    paths = tuple(f"{NAMES[label]}/{row:04d}" for row, label in enumerate(labels.tolist()))
    return ImageSet(name, Path(name), NAMES, paths, labels, source=Memory(pixels))


def make(case: Case, *, size: int, train: int = 140, valid: int = 60, seed: int = 0) -> Sets:
    """The pictures of a case, `train` and `valid` of each of two classes.

    A class of a drawn set is some of the 111 kinds of pictures, drawn by chance: with one kind each most networks tell
    them perfectly and leave a cue alone. Of the photographs there is another division into training and validation
    each time.
    """
    rng = np.random.default_rng([seed, case.number, size])
    if case.source == "scenes":
        return _scenes(case, rng, size, train, valid)
    if case.source == "cats_dogs":
        pixels, about = _cats_dogs(size, rng, train + valid), "cats and dogs"
    else:
        each = int(rng.integers(*KINDS_EACH[case.base], endpoint=True))
        kinds = rng.choice(len(drawn.CLASS_NAMES), (2, each), replace=False)
        about = f"2 x {each} drawn kinds"
        count = train + valid
        pixels = np.stack(
            [np.stack([drawn.draw(int(own[row % each]), rng, size=size) for row in range(count)]) for own in kinds]
        )
    order = np.arange(train + valid) < train
    labels = np.repeat(np.arange(2, dtype=np.int32), train + valid)
    inside = np.tile(order, 2)
    flat = pixels.reshape(-1, size, size, 3)
    if case.family == "correlate":
        flat = _correlated(flat, labels, rng)
        cue = random_cue("tint", rng)
    elif case.family == "plain":
        cue = random_cue(str(rng.choice([*TUNING, *HELD_OUT[:-1]])), rng)
    else:
        cue = random_cue(str(rng.choice(TUNING)) if case.family == "everywhere" else case.family, rng)
    marked = plant(flat, cue)
    carries = np.zeros(len(flat), bool)
    if case.family == "everywhere":
        carries = rng.random(len(flat)) < 0.5
    elif case.planted:
        for part in (inside, ~inside):
            rows = np.flatnonzero(part & (labels == 1))
            carries[rng.permutation(rows)[: round(case.strength / 100 * len(rows))]] = True
    given = np.where(carries[:, None, None, None], marked, flat)
    swapped = np.where((labels == 0)[:, None, None, None], marked, flat)
    return Sets(
        train=(given[inside], labels[inside]),
        valid=(given[~inside], labels[~inside]),
        swapped=swapped[~inside],
        without=flat[~inside],
        about=f"{about}; {_told(cue) if case.planted else case.family}",
    )


def _told(cue: Cue) -> str:
    usual = asdict(Cue())
    return ", ".join(f"{name} {value}" for name, value in asdict(cue).items() if value != usual[name] or name == "kind")


def _correlated(
    pixels: UInt8[np.ndarray, "n h w 3"], labels: Int32[np.ndarray, " n"], rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    """Light that varies from picture to picture and leans towards one class: AUC of about .65, as skies do."""
    light = rng.normal(0, 18, len(pixels)) + np.where(labels == 1, 10, 0)
    return np.clip(pixels + np.rint(light)[:, None, None, None].astype(np.int16), 0, 255).astype(np.uint8)


def _scenes(case: Case, rng: np.random.Generator, size: int, train: int, valid: int) -> Sets:
    """Two drawn figures: each before its own scene, or both before one (`plain`)."""
    places = rng.choice(4, 2, replace=False).tolist()

    def pictures(figure: int, place: int, count: int, states: list[int]) -> list[np.ndarray]:
        return [
            scenes.render(figure, place, np.random.default_rng(state), size=(size, size))[0] for state in states[:count]
        ]

    states = [rng.integers(2**31, size=train + valid).tolist() for _ in range(2)]
    own = [places[0], places[1 if case.planted else 0]]
    both = [pictures(figure, own[figure], train + valid, states[figure]) for figure in range(2)]
    if case.planted and case.strength < 100:
        rare = {int(row) for row in rng.permutation(train + valid)[round(case.strength / 100 * (train + valid)) :]}
        first = pictures(1, places[0], train + valid, states[1])
        both[1] = [first[row] if row in rare else picture for row, picture in enumerate(both[1])]
    swapped = [pictures(figure, places[1 - figure], valid, states[figure][train:]) for figure in range(2)]
    labels = np.arange(2, dtype=np.int32)
    return Sets(
        train=(np.stack(both[0][:train] + both[1][:train]), np.repeat(labels, train)),
        valid=(np.stack(both[0][train:] + both[1][train:]), np.repeat(labels, valid)),
        swapped=np.stack(swapped[0] + swapped[1]),
        without=np.stack([p for i in range(2) for p in pictures(i, places[0], valid, states[i][train:])]),
        about=f"two figures before scenes {places}",
    )


@lru_cache(maxsize=4)
def _photographs(size: int) -> tuple[UInt8[np.ndarray, "n h w 3"], Int64[np.ndarray, " n"]]:
    preprocessing = Preprocessing(size=(size, size))
    pixels, labels = [], []
    for split in ("train", "valid"):
        images = load_split(SHARED / "cats-dogs-small", split)
        pixels += [images.decode(row, preprocessing) for row in range(len(images))]
        labels += images.labels.tolist()
    return np.stack(pixels), np.array(labels)


def _cats_dogs(size: int, rng: np.random.Generator, count: int) -> UInt8[np.ndarray, "2 n h w 3"]:
    """`count` of each, in another order each time; which of them is the second class is drawn too."""
    pixels, labels = _photographs(size)
    rows = [rng.permutation(np.flatnonzero(labels == label)) for label in rng.permutation(2)]
    return np.stack([pixels[own[np.arange(count) % len(own)]] for own in rows])


def cases(*, real: bool = True, bases: tuple[str, ...] = ("mini", "mobilenet", "convnet")) -> list[Case]:
    """All cases, in an order in which every beginning is a fair sample."""
    made: list[Case] = []

    def add(part: str, families: tuple[str, ...], strengths: tuple[int, ...], rounds: int) -> None:
        for turn in range(rounds):
            for place, family in enumerate(families):
                for strength in strengths:
                    base = bases[(turn + place) % len(bases)]
                    source = _source(family, turn, base, real=real)
                    number = len(made) + (10_000 if part == "held-out" else 0)
                    made.append(
                        Case(number=number, family=family, strength=strength, source=source, base=base, part=part)
                    )

    add("tuning", TUNING, (100,), 9)
    add("tuning", ("plain",), (0,), 27)
    add("held-out", HELD_OUT, (100,), 15)
    add("held-out", HONEST, (0,), 24)
    add("held-out", HELD_OUT, (25, 50), 4)
    rng = np.random.default_rng(5)
    return [made[place] for place in rng.permutation(len(made)).tolist()]


def _source(family: str, turn: int, base: str, *, real: bool) -> str:
    if family == "scene" or (family == "plain" and turn % 6 == 5):
        return "scenes"
    if real and base == "mobilenet" and turn % 2 == 0:
        return "cats_dogs"
    return "drawn"


def only(found: list[Case], **wanted: str) -> list[Case]:
    """The cases with these values; empty values ask for nothing."""
    return [case for case in found if all(not v or str(getattr(case, k)) == v for k, v in wanted.items())]
