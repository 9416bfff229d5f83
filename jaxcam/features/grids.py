"""Many small pictures in one: the book's grids, whose tiles have no captions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


def tiled(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    *,
    columns: int,
    margin: int = 0,
    down: bool = False,
    rows: int | None = None,
    paper: int = 0,
) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures of one size in rows of `columns`, `margin` pixels apart; `down` fills column after column.

    The book's activation grids have 16 a row without a margin, its filter grids are 8x8 with a margin of 5, filled
    downward. Places without a picture have the margin's colour.
    """
    if not pictures or columns < 1:
        raise ValueError(f"got {len(pictures)} pictures in {columns} columns; both must be at least 1")
    height, width = pictures[0].shape[:2]
    rows = rows or -(-len(pictures) // columns)
    grid = np.full((rows * (height + margin) - margin, columns * (width + margin) - margin, 3), paper, np.uint8)
    for number, picture in enumerate(pictures[: rows * columns]):
        row, column = (number % rows, number // rows) if down else divmod(number, columns)
        top, left = row * (height + margin), column * (width + margin)
        grid[top : top + height, left : left + width] = picture
    return grid


def enlarged(picture: UInt8[np.ndarray, "h w 3"], smallest: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """A small picture with every pixel repeated, until its shorter side has at least `smallest` pixels."""
    times = max(1, -(-smallest // min(picture.shape[:2])))
    return picture.repeat(times, 0).repeat(times, 1)


def crossed(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A dark tile of the picture's size with a cross: there is nothing to see."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    slant = (columns - (width - 1) / 2) * height / width
    line = np.abs(np.abs(slant) - np.abs(rows - (height - 1) / 2)) < max(0.75, height / 64)
    return np.where(line[..., None], 110, 40).astype(np.uint8).repeat(3, 2)
