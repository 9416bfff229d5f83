"""Images that a person names: files, or folders of them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress


def image_files(paths: Sequence[str | os.PathLike], *, limit: int | None = None) -> list[Path]:
    """The files, and those below the folders, sorted; of a folder at most `limit`, evenly spread.

    Hidden files are left out. Raises `UserError` for what does not exist, and where nothing is left.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.exists():
                raise UserError(f"no image {str(path)!r}; give files, or folders of them")
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if limit is not None and len(inside) > limit:
            inside = [inside[i * len(inside) // limit] for i in range(limit)]
        found += inside
    if not found:
        raise UserError(f"no images in {', '.join(map(str, paths)) or 'nothing'}; give files, or folders of them")
    return found


def readable(
    files: Sequence[Path], preprocessing: Preprocessing, progress: Progress
) -> tuple[list[str], UInt8[np.ndarray, "n h w 3"]]:
    """Names and pixels of the files that are images; the others are named. Raises `UserError` where none is."""
    names, pixels, problem = [], [], ""
    for file in files:
        try:
            pixels.append(decode(file, preprocessing))
            names.append(file.name)
        except UnreadableImage as error:
            problem = f"{file}: {error.reason}"
            progress.say(f"skipped {problem}")
    if not pixels:
        raise UserError(f"none of {len(files)} files is an image; {problem}")
    return names, np.stack(pixels)
