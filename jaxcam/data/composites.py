"""Cutting figures out of fixed backgrounds and pasting them before others.

Where pictures are taken before a few fixed scenes and the empty scenes are at hand, the difference gives a mask of the
figure for nothing. With masks, each figure can be put before every scene: the training set that does not leak.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from jaxcam.data.decode import UnreadableImage, decode, probe
from jaxcam.data.drawing import save_png
from jaxcam.data.marker import claim, finish
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

MARKER = ".swapped.json"  # hidden: the folder is a training folder, and its classes are all that should be seen
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_EXACT = 0.5  # at least this part of the pixels equal to the empty scene: it was stored without loss
_SMALLEST = 0.15  # of the largest component
_LEAST = 0.002  # of the picture: less is residue, even where there is no figure
_FITS = 0.3  # at least this part of the pixels near the empty scene: the picture was taken before it


def _difference(image: UInt8[np.ndarray, "h w 3"], background: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """The largest difference of the three channels."""
    return (np.maximum(image, background) - np.minimum(image, background)).max(axis=-1)


def _square(radius: int) -> Bool[np.ndarray, "k k"]:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.bool_)


def mask_from_background(
    image: UInt8[np.ndarray, "h w 3"], background: UInt8[np.ndarray, "_ _ 3"], *, threshold: int = 24
) -> Bool[np.ndarray, "h w"]:
    """Where the picture differs from the empty scene it was taken before.

    A scene stored without loss (at least half of the pixels equal) gives the exact mask: every pixel that differs at
    all. Otherwise (JPEG residue) pixels differ from `threshold` + 1 on; the mask is opened by 1 pixel and closed by 4,
    and components smaller than 15 % of the largest, or than 0.2 % of the picture, are dropped. Raises ValueError where
    the sizes differ.
    """
    if image.shape != background.shape:
        raise ValueError(f"the picture is {image.shape[:2]} and the background {background.shape[:2]} pixels")
    difference = _difference(image, background)
    if float((difference == 0).mean()) >= _EXACT:
        return difference > 0
    return clean(difference > threshold)


def clean(rough: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A rough mask opened by 1 pixel, closed by 4, without components below 15 % of the largest.

    Nor below .2 % of the picture.
    """
    rough = ndimage.binary_opening(rough, _square(1))
    padded = np.pad(
        rough, 4, mode="edge"
    )  # a closing treats the outside as empty and would eat the figure at the border
    closed = ndimage.binary_closing(padded, _square(4))[4:-4, 4:-4]
    labels, count = ndimage.label(closed)
    if count == 0:
        return closed
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return (areas >= max(_SMALLEST * areas.max(), _LEAST * closed.size))[labels] & closed


def _fit(image: UInt8[np.ndarray, "h w 3"], background: UInt8[np.ndarray, "_ _ 3"]) -> float:
    """The part of the picture that looks like the empty scene; 0 where the sizes differ."""
    return float((_difference(image, background) <= 24).mean()) if image.shape == background.shape else 0.0


def find_background(image: UInt8[np.ndarray, "h w 3"], backgrounds: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> int:
    """The index of the empty scene that the picture was taken before.

    The one that equals the picture (to within 24 of 255) on most pixels. Raises UserError where no scene does so on 30
    % of them.
    """
    fits = [_fit(image, background) for background in backgrounds]
    best = max(range(len(fits)), key=lambda index: fits[index], default=-1)
    if best < 0 or fits[best] < _FITS:
        share = f"the best of {len(fits)} equals it on {fits[best]:.0%} of the pixels" if fits else "none was given"
        raise UserError(
            f"the picture was not taken before any of the backgrounds: {share}, at least {_FITS:.0%} is needed"
        )
    return best


def paste(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "_ _"],
    background: UInt8[np.ndarray, "_ _ 3"],
    *,
    feather: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
    """The masked part of the picture before another background.

    With `feather` the outermost pixel of the mask is mixed with the background, so that no rim of the old scene shows.
    Raises ValueError where the sizes differ.
    """
    if image.shape != background.shape or image.shape[:2] != mask.shape:
        raise ValueError(
            f"picture {image.shape[:2]}, mask {mask.shape} and background {background.shape[:2]} differ in size"
        )
    if not feather:
        return np.where(mask[..., None], image, background)
    cover = ndimage.uniform_filter(mask.astype(np.float32), 3, mode="nearest") * mask
    mixed = image * cover[..., None] + background * (1 - cover[..., None])
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The picture at its own size."""
    try:
        width, height, _ = probe(path)
        return decode(path, Preprocessing(size=(height, width), resize="nearest"))
    except UnreadableImage as error:
        raise UserError(f"cannot read the picture {path}: {error.reason}") from error


def _read_mask(masks: Path, relative: Path, shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    path = masks / relative.with_suffix(".png")
    if not path.is_file():
        raise UserError(
            f"there is no mask {path}; give a folder with a PNG for every picture, or none to derive the masks"
        )
    mask = read_picture(path)[..., 0] > 127
    if mask.shape != shape:
        raise UserError(f"the mask {path} is {mask.shape} pixels and its picture {shape}")
    return mask


def _background_paths(backgrounds: Path | Sequence[Path], least: int) -> list[Path]:
    if isinstance(backgrounds, Path):
        paths = sorted(path for path in backgrounds.rglob("*") if path.suffix.lower() in _SUFFIXES)
    else:
        paths = list(backgrounds)
    if len(paths) < least:
        what = "moving needs a picture of the empty scene" if least == 1 else "swapping needs two or more empty scenes"
        raise UserError(f"found {len(paths)} background(s) in {backgrounds}; {what}")
    stems = [path.stem for path in paths]
    if len(set(stems)) != len(stems):
        raise UserError(f"two backgrounds have the same name ({', '.join(sorted(stems))}); rename one")
    return paths


def move(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.6, 1.5),
    rotation: float = 12.0,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The masked figure somewhere else: mirrored or not, larger or smaller, turned, at least three quarters inside.

    Returns the moved pixels (black elsewhere) and their mask, for `paste`. A figure never becomes taller or wider than
    the picture. Raises ValueError for an empty mask.
    """
    if not mask.any():
        raise ValueError("the mask is empty: there is no figure to move")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    figure = Image.fromarray(np.dstack([image[box], mask[box].astype(np.uint8) * 255]), "RGBA")
    if rng.random() < 0.5:
        figure = figure.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    height, width = mask.shape
    factor = min(rng.uniform(*scale), 0.95 * height / figure.height, 0.95 * width / figure.width)
    size = (max(1, round(figure.width * factor)), max(1, round(figure.height * factor)))
    figure = figure.resize(size, Image.Resampling.BICUBIC)
    figure = figure.rotate(rng.uniform(-rotation, rotation), Image.Resampling.BICUBIC, expand=True)
    x = round(rng.uniform(-0.25 * figure.width, width - 0.75 * figure.width))
    y = round(rng.uniform(-0.25 * figure.height, height - 0.75 * figure.height))
    canvas = Image.new("RGBA", (width, height))
    canvas.paste(figure, (x, y))
    moved = np.asarray(canvas)
    return moved[..., :3], moved[..., 3] > 127


def _prepare(out_folder: Path, train_folder: Path, wanted: dict) -> bool:
    """Whether the folder is complete; refuses folders that hold anything else, and any way out of `out_folder`."""
    out, train = out_folder.resolve(), train_folder.resolve()
    if out == train or out.is_relative_to(train) or train.is_relative_to(out):
        raise UserError(
            f"{out_folder} and {train_folder} lie in each other; choose a folder of its own for the swapped pictures"
        )
    complete = claim(out_folder, MARKER, wanted)
    for name in {Path(image).parts[0] for image in wanted["images"]}:
        if not (out_folder / name).resolve().is_relative_to(out):
            raise UserError(f"{out_folder / name} points outside {out_folder}; remove the link")
    return complete


def write_swapped(
    train_folder: Path,
    out_folder: Path,
    *,
    backgrounds: Path | Sequence[Path],
    masks: Path | None = None,
    moved: int = 0,
    seed: int = 0,
) -> int:
    """Write a training folder in which each figure stands before every background; return the number of pictures.

    `train_folder` holds one folder a class. `backgrounds` are the files of the empty scenes, or a folder of them. Every
    picture is kept as `<class>/<name>.png`, and `<class>/<name>-before-<scene>.png` is added for each other scene.
    With `moved`, each figure also stands `moved` times in another place before every background, its own included
    (`-moved-<i>-before-<scene>.png`), drawn from `seed` and the picture's number; with one background this varies the
    figures and nothing else. Pictures of an empty scene are only kept. Masks come from `masks/<class>/<name>.png`
    (figure > 127), or from the difference to the empty scene.

    Writes PNG files and a hidden marker below `out_folder` alone; a complete folder is left as it is. Raises UserError
    for unreadable pictures, a picture that fits no background, sizes that differ, and an `out_folder` that holds
    something else.
    """
    if not train_folder.is_dir():
        raise UserError(f"there is no folder {train_folder}")
    paths = _background_paths(backgrounds, least=1 if moved else 2)
    scenes = [read_picture(path) for path in paths]
    images = sorted(
        path.relative_to(train_folder)
        for path in train_folder.glob("*/*")
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    )
    if not images:
        raise UserError(f"{train_folder} holds no pictures; it must have one folder of pictures for each class")
    outputs = [image.with_suffix(".png").as_posix() for image in images]
    if len(set(outputs)) != len(outputs):
        raise UserError(f"two pictures of {train_folder} differ only in their suffix; rename one of them")
    wanted = {
        "images": [image.as_posix() for image in images],
        "backgrounds": [path.name for path in paths],
        "moved": moved,
        "seed": seed,
    }
    if _prepare(out_folder, train_folder, wanted):
        return sum(1 for _ in out_folder.glob("*/*.png"))
    count = 0
    for number, (relative, output) in enumerate(zip(images, outputs, strict=True)):
        image = read_picture(train_folder / relative)
        try:
            own = find_background(image, scenes)
        except UserError as error:
            raise UserError(f"{train_folder / relative}: {error}") from error
        target = out_folder / output
        save_png(target, image)
        count += 1
        derived = mask_from_background(image, scenes[own])
        mask = derived if masks is None or not derived.any() else _read_mask(masks, relative, image.shape[:2])
        if not mask.any():
            continue
        rng = np.random.default_rng([seed, number])
        for index, scene in enumerate(scenes):
            if scene.shape != image.shape:
                raise UserError(
                    f"{paths[index]} is {scene.shape[:2]} pixels and {train_folder / relative} {image.shape[:2]}"
                )
            before = f"before-{paths[index].stem}.png"
            for i in range(moved):
                save_png(target.with_name(f"{target.stem}-moved-{i}-{before}"), paste(*move(image, mask, rng), scene))
                count += 1
            if index != own:
                save_png(target.with_name(f"{target.stem}-{before}"), paste(image, mask, scene))
                count += 1
    finish(out_folder, MARKER, wanted)
    return count
