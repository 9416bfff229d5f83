"""Writing all pictures of a set alike, so that their files and their borders tell nothing about the class."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.image_files import probe
from jaxcam.data.images import ImageSet
from jaxcam.data.marker import claim, finish
from jaxcam.data.masks import mask_file, read_mask
from jaxcam.errors import UserError
from jaxcam.files import replace_file
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

MARKER = ".reencoded.json"
MARGIN = 0.1
"""around an object that a picture is cut to, as a share of its box's longer side"""
Format = Literal["jpg", "png"]
Cut = tuple[float, float, float, float]
"""left, top, right, bottom as shares of the picture"""


def reencode(
    sets: dict[str, ImageSet],
    out: Path,
    *,
    size: tuple[int, int],
    format: Format = "jpg",
    quality: int = 75,
    centre: float = 1.0,
    masks: Path | None = None,
    progress: Progress,
) -> tuple[int, list[tuple[str, str]]]:
    """Write every readable picture as `out/[SPLIT/]CLASS/NAME`, decoded, cut, resized and encoded in one way.

    No metadata survives. `centre` keeps that share of both sides; with `masks` each picture is cut to its object's box
    and a margin, and pictures without a mask are left out. Interrupted, it goes on where it stopped. Returns the number
    of pictures in the folder and (path, reason) of those left out. Raises `UserError` for values that cannot be, a
    folder that holds anything else, and two pictures that would have one name.
    """
    if min(size) < 1 or not 1 <= quality <= 100 or not 0 < centre <= 1:
        raise UserError(
            f"got --size {size[0]} {size[1]}, --quality {quality} and --centre {centre}; sizes must be at least 1, the "
            "quality 1 to 100, the centre above 0 and at most 1"
        )
    if masks is not None and not masks.is_dir():
        raise UserError(f"no folder {str(masks)!r} with masks")
    wanted = {
        "images": {name: images.fingerprint() for name, images in sets.items()},
        "settings": [list(size), format, quality, centre, masks and str(masks)],
    }
    planned = names(sets, format)
    inside(out, sets)
    claim(out, MARKER, wanted)
    left_out: list[tuple[str, str]] = []
    count = 0
    for name, images in sets.items():
        for row in progress.over(range(len(images)), len(images), f"{name or images.name}: writing"):
            file = out / planned[name][row]
            try:
                if not file.exists():
                    cut = cut_of(images, row, centre, masks)
                    replace_file(file, encoded(resized(images, row, size, cut), format, quality))
                count += 1
            except UnreadableImage as error:
                left_out.append((images.paths[row], error.reason))
    finish(out, MARKER, wanted)
    return count, left_out


def names(sets: dict[str, ImageSet], format: Format) -> dict[str, list[Path]]:
    """Where each picture goes; `UserError` where two would have one name."""
    found: dict[str, list[Path]] = {}
    for split, images in sets.items():
        words = [
            Path(split) / label / flat(path) for label, path in zip(images.folder_names, images.paths, strict=True)
        ]
        found[split] = [word.with_name(f"{word.name}.{format}") for word in words]
    everything = [path for paths in found.values() for path in paths]
    if len(set(everything)) < len(everything):
        twice = next(path for path in everything if everything.count(path) > 1)
        raise UserError(f"two pictures would be called {twice}; rename one of them")
    return found


def flat(path: str) -> str:
    """A path below its class folder as one name, without its suffix."""
    parts = Path(path).with_suffix("").parts
    return "-".join(parts[1:] if len(parts) > 1 else parts)


def inside(out: Path, sets: dict[str, ImageSet]) -> None:
    """Refuse to write into the pictures."""
    for images in sets.values():
        root = Path(images.root).resolve()
        if images.source is None and (out.resolve() == root or out.resolve().is_relative_to(root)):
            raise UserError(f"--out {out} lies in the pictures themselves; give a folder outside of {images.root}")


def cut_of(images: ImageSet, row: int, centre: float, masks: Path | None) -> Cut:
    """The part of a picture that is kept."""
    if masks is None:
        rim = (1 - centre) / 2
        return (rim, rim, 1 - rim, 1 - rim)
    file = mask_file(masks, images, row)
    if file is None:
        raise UnreadableImage("it has no mask")
    width, height, _ = probe(file)
    mask = read_mask(file, Preprocessing(size=(height, width), resize="nearest"))
    if not mask.any():
        raise UnreadableImage("its mask is empty")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    more = MARGIN * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    return (
        max(0.0, columns[0] - more) / mask.shape[1],
        max(0.0, rows[0] - more) / mask.shape[0],
        min(1.0, (columns[-1] + 1 + more) / mask.shape[1]),
        min(1.0, (rows[-1] + 1 + more) / mask.shape[0]),
    )


def resized(images: ImageSet, row: int, size: tuple[int, int], cut: Cut) -> UInt8[np.ndarray, "h w 3"]:
    """The part of a picture at the size wanted, stretched."""
    height, width = size
    if cut == (0, 0, 1, 1):
        return images.decode(row, Preprocessing(size=size))
    # Decoded so large that the part is not enlarged, but no larger than the picture needs to be.
    across, down = cut[2] - cut[0], cut[3] - cut[1]
    whole = images.decode(row, Preprocessing(size=(max(1, round(height / down)), max(1, round(width / across)))))
    box = (cut[0] * whole.shape[1], cut[1] * whole.shape[0], cut[2] * whole.shape[1], cut[3] * whole.shape[0])
    return np.asarray(Image.fromarray(whole).resize((width, height), Image.Resampling.BILINEAR, box=box))


def encoded(pixels: UInt8[np.ndarray, "h w 3"], format: Format, quality: int) -> bytes:
    """A file's bytes: the same for the same pixels, whatever they came from."""
    file = io.BytesIO()
    save: Callable = Image.fromarray(pixels).save
    if format == "jpg":
        save(file, "JPEG", quality=quality, subsampling=2)
    else:
        save(file, "PNG")
    return file.getvalue()
