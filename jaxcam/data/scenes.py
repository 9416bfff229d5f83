"""An offline picture set with a planted leak: two cartoon figures pasted before fixed scenes.

The set has the layout of the public Bart and Homer set, with names of its own: figures `Ada` and `Bo`, scenes `House`
and `Station` (and, on demand, `Beach` and `Forest`). An empty scene is the same, pixel for pixel, in every picture, and
a mask is written for every figure, so that every claim about where a network looks can be checked.
"""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from jaxcam.data.drawing import pen_on, save_png
from jaxcam.data.marker import claim, finish
from jaxcam.data.scene_figures import CHARACTERS, Pose, draw_figure, lowest, random_pose
from jaxcam.data.scene_places import PLACES, draw_place
from jaxcam.errors import UserError

FIGURES: tuple[str, ...] = tuple(character.name for character in CHARACTERS)
MARKER = "scenes.json"
_SAMPLING = 3
_TRIES = 50


@dataclass(frozen=True)
class Placement:
    """Where and how a figure stands, in parts of the picture: feet at (x, y), `scale` 1 = 72 % of the height."""

    pose: Pose
    x: float
    y: float
    scale: float
    mirror: bool


@dataclass(frozen=True, kw_only=True)
class SceneSet:
    """What `write_scenes` writes: all that the bytes depend on."""

    seed: int = 0
    train_per_class: int = 80
    valid_per_class: int = 20
    size: tuple[int, int] = (192, 320)
    figures: tuple[int, ...] = (0, 1)
    places: tuple[int, ...] = (0, 1)


def random_placement(rng: np.random.Generator) -> Placement:
    """A pose anywhere in the lower part of the picture, scale 0.6 to 1.2, mirrored or not."""
    return Placement(
        pose=random_pose(rng),
        x=float(rng.uniform(0.14, 0.86)),
        y=float(rng.uniform(0.82, 1.02)),
        scale=float(rng.uniform(0.6, 1.2)),
        mirror=bool(rng.random() < 0.5),
    )


@lru_cache(maxsize=16)
def _scene(place: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    pixels = np.array(draw_place(place, size))
    pixels.flags.writeable = False
    return pixels


def empty_scene(place: int, *, size: tuple[int, int] = (192, 320)) -> UInt8[np.ndarray, "h w 3"]:
    """The scene `PLACES[place]` without a figure, `size` = (height, width)."""
    if not 0 <= place < len(PLACES):
        raise ValueError(f"place {place} is not in 0..{len(PLACES) - 1}")
    return _scene(place, size).copy()


def _overlay(figure: int, placement: Placement, size: tuple[int, int]) -> Float32[np.ndarray, "h w 4"]:
    """The figure on nothing: colours already multiplied by the coverage, then the coverage (0..1)."""
    height, width = size[0] * _SAMPLING, size[1] * _SAMPLING
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    unit = 0.36 * height * placement.scale
    hip = placement.y * height - unit * lowest(CHARACTERS[figure], placement.pose)
    pen = pen_on(image, placement.x * width, hip, unit, mirror=placement.mirror)
    draw_figure(pen, figure, placement.pose)
    layer = np.asarray(image.reduce(_SAMPLING), np.float32)
    layer[..., 3] /= 255.0
    return layer


def _placed(figure: int, rng: np.random.Generator, size: tuple[int, int]) -> Float32[np.ndarray, "h w 4"]:
    """A figure at a random placement that shows on 4 to 14 % of the picture (as near as it gets in fifty tries)."""
    placement = random_placement(rng)
    for _ in range(_TRIES):
        layer = _overlay(figure, placement, size)
        area = float((layer[..., 3] >= 0.5).mean())
        if 0.04 <= area <= 0.14:
            break
        placement = replace(placement, scale=placement.scale * (1.08 if area < 0.04 else 0.93))
    return layer


def _shaken(scene: UInt8[np.ndarray, "h w 3"], jitter: float, rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """The scene moved by up to `jitter` of its width, with as much change of brightness."""
    height, width, _ = scene.shape
    reach = max(1, round(jitter * width))
    down, right = (int(value) for value in rng.integers(-reach, reach + 1, 2))
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    light = 1.0 + rng.uniform(-2 * jitter, 2 * jitter)
    return np.clip(scene[rows][:, columns] * light + 0.5, 0, 255).astype(np.uint8)


def _over(layer: Float32[np.ndarray, "h w 4"], scene: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    cover = layer[..., 3:]
    return np.where(cover > 0, np.clip(layer[..., :3] + (1 - cover) * scene + 0.5, 0, 255), scene).astype(np.uint8)


def render(
    figure: int | None,
    background: int,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (192, 320),
    background_jitter: float = 0.0,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """One picture and the mask of its figure (all False where `figure` is None).

    The figure's pose and place depend on `rng` alone, not on the background: the same generator state gives the same
    figure before every background. Outside the mask and its antialiased rim the picture equals
    `empty_scene(background)`, unless `background_jitter` moves the scene by up to that part of its width. Raises
    ValueError for an unknown figure or background.
    """
    if figure is not None and not 0 <= figure < len(FIGURES):
        raise ValueError(f"figure {figure} is not in 0..{len(FIGURES) - 1}")
    layer = None if figure is None else _placed(figure, rng, size)
    scene = empty_scene(background, size=size)
    if background_jitter > 0:
        scene = _shaken(scene, background_jitter, rng)
    if layer is None:
        return scene, np.zeros(size, np.bool_)
    return _over(layer, scene), layer[..., 3] >= 0.5


def _plan(scenes: SceneSet) -> dict[str, tuple[int | None, int, int]]:
    """Every picture of the set by its path: (figure, number of its pose, place). Valid poses follow those of Train."""
    first, second = scenes.places[:2]
    plan: dict[str, tuple[int | None, int, int]] = {}
    digits = max(2, len(str(max(scenes.train_per_class, scenes.valid_per_class))))
    for order, figure in enumerate(scenes.figures):
        name, own, other = FIGURES[figure], scenes.places[order % 2], scenes.places[(order + 1) % 2]
        for number in range(scenes.train_per_class + scenes.valid_per_class):
            valid = number >= scenes.train_per_class
            split = "Valid" if valid else "Train"
            file = f"{name}/{number - (scenes.train_per_class if valid else 0) + 1:0{digits}d}.png"
            plan[f"OneBackground/{split}/{file}"] = (figure, number, first)
            plan[f"SeveralBackgrounds/{split}/{file}"] = (figure, number, own)
            plan[f"WithBackgroundsAsClass/{split}/{file}"] = (figure, number, own)
            if valid:
                plan[f"OneBackgroundElsewhere/{file}"] = (figure, number, second)
                plan[f"InvertedBackgrounds/{file}"] = (figure, number, other)
    for place in (first, second):
        file = f"{PLACES[place].lower()}.png"
        for folder in (
            "BackgroundOnly/NoClass",
            *(f"WithBackgroundsAsClass/{s}/ZBackground" for s in ("Train", "Valid")),
        ):
            plan[f"{folder}/{file}"] = (None, 0, place)
    return dict(sorted(plan.items(), key=lambda item: (item[1][0] is None, str(item[1][0]), item[1][1], item[0])))


def _check(scenes: SceneSet) -> None:
    for name, count in (("train_per_class", scenes.train_per_class), ("valid_per_class", scenes.valid_per_class)):
        if count < 1:
            raise UserError(f"{name} is {count}; it must be at least 1")
    if scenes.seed < 0:
        raise UserError(f"seed is {scenes.seed}; it must be 0 or more")
    if min(scenes.size) < 32:
        raise UserError(f"scenes of {scenes.size[0]}x{scenes.size[1]} pixels are too small; use at least 32x32")
    for name, numbers, known in (("figures", scenes.figures, FIGURES), ("places", scenes.places, PLACES)):
        wrong = len(set(numbers)) != len(numbers) or any(not 0 <= number < len(known) for number in numbers)
        if len(numbers) != 2 or wrong:
            raise UserError(
                f"{name} is {list(numbers)}; give two different numbers of 0..{len(known) - 1}: {', '.join(known)}"
            )


def write_scenes(
    folder: Path,
    *,
    seed: int = 0,
    train_per_class: int = 80,
    valid_per_class: int = 20,
    size: tuple[int, int] = (192, 320),
    figures: tuple[int, int] = (0, 1),
    places: tuple[int, int] = (0, 1),
) -> int:
    """Write the whole set into `folder` and return the number of pictures (masks not counted).

    Folders, each with one sub-folder a figure: `OneBackground/Train|Valid`, `OneBackgroundElsewhere` (the validation
    figures before the second scene), `SeveralBackgrounds/Train|Valid` (the leak: each figure always before its own
    scene), `InvertedBackgrounds` (the validation figures, scenes swapped), `WithBackgroundsAsClass/Train|Valid` (the
    leak and a third class `ZBackground`); then `BackgroundOnly/NoClass` (the empty scenes) and `Masks/<path>` (0 or
    255, for every picture with a figure).

    The bytes depend on the parameters alone. `scenes.json` holds them and says whether the folder is complete: a
    complete folder is left as it is, missing files are written. Raises UserError where `folder` holds something else or
    another set.
    """
    scenes = SceneSet(
        seed=seed,
        train_per_class=train_per_class,
        valid_per_class=valid_per_class,
        size=size,
        figures=figures,
        places=places,
    )
    _check(scenes)
    plan = _plan(scenes)
    parameters = asdict(scenes)
    complete = claim(folder, MARKER, parameters)
    missing = [path for path, item in plan.items() if not complete or not _present(folder, path, item[0])]
    last, layer = None, np.zeros((*size, 4), np.float32)
    for path in missing:
        figure, number, place = plan[path]
        if figure is not None and (figure, number) != last:
            layer, last = _placed(figure, np.random.default_rng([seed, figure, number]), size), (figure, number)
        if figure is not None:
            save_png(folder / "Masks" / path, np.where(layer[..., 3] >= 0.5, 255, 0).astype(np.uint8))
        scene = empty_scene(place, size=size)
        save_png(folder / path, scene if figure is None else _over(layer, scene))
    if missing:
        finish(folder, MARKER, parameters)
    return len(plan)


def _present(folder: Path, path: str, figure: int | None) -> bool:
    return (folder / path).exists() and (figure is None or (folder / "Masks" / path).exists())
