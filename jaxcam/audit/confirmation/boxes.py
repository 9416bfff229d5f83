"""Object boxes from a COCO file or a CSV table."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from jaxcam.data.decode import UnreadableImage, probe
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of the picture"""
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"), ("x1", "y1", "x2", "y2"))
SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))


@dataclass(frozen=True)
class PictureBoxes:
    """The boxes of one picture, and its size where the file says it."""

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    """width and height"""


def sized(found: PictureBoxes | None, images: ImageSet, row: int) -> PictureBoxes | None:
    """The boxes with the picture's size, from its header where the file did not say it."""
    if found is None or found.size is not None:
        return found
    if images.source is not None:
        raise UserError(f"the pictures of {images.root} are no files; give their width and height in a COCO file")
    try:
        width, height, _ = probe(images.file(row))
    except UnreadableImage:
        return None
    return PictureBoxes(found.boxes, (width, height))


def read_boxes(file: Path) -> dict[str, PictureBoxes]:
    """Read COCO's `instances.json` or a CSV table with `path` and four columns of numbers.

    The columns are xmin, ymin, xmax, ymax (or left, top, right, bottom; x1, y1, x2, y2), or x, y, width, height. A
    picture may have several boxes. Raises `UserError` for anything else, with the line or the entry.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the boxes {file} cannot be read: {error}") from error
    if file.suffix.lower() == ".json":
        return from_coco(file, text)
    if file.suffix.lower() != ".csv":
        raise UserError(f"--boxes {file} must be a COCO .json or a .csv file")
    return from_table(file, text)


def from_coco(file: Path, text: str) -> dict[str, PictureBoxes]:
    """Boxes of COCO's format."""
    try:
        values = json.loads(text)
        pictures = {one["id"]: one for one in values["images"]}
        found: dict[str, list[Box]] = {one["file_name"]: [] for one in values["images"]}
        for note in values["annotations"]:
            left, top, width, height = (float(number) for number in note["bbox"])
            found[pictures[note["image_id"]]["file_name"]].append(
                checked((left, top, left + width, top + height), f"{file}, annotation {note.get('id')}")
            )
        sizes = {one["file_name"]: coco_size(one) for one in values["images"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is no COCO file with images and annotations: {type(error).__name__} {error}"
        ) from error
    return {name: PictureBoxes(tuple(boxes), sizes[name]) for name, boxes in found.items() if boxes}


def coco_size(picture: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of a picture, where the file says them."""
    width, height = picture.get("width"), picture.get("height")
    return (int(width), int(height)) if width and height else None


def from_table(file: Path, text: str) -> dict[str, PictureBoxes]:
    """Boxes of a CSV table."""
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        columns = next((c for c in (*CORNERS, *SIZES) if set(c) <= set(header)), None)
        if "path" not in header or columns is None:
            raise UserError(f"{file} needs the columns path, xmin, ymin, xmax, ymax (or x, y, width, height)")
        found: dict[str, list[Box]] = {}
        for line in lines:
            if not line:
                continue
            where = f"{file}, line {lines.line_num}"
            if len(line) != len(header):
                raise UserError(f"{where}: {len(line)} fields, but the first line names {len(header)}")
            numbers = [number(line[header.index(column)], where) for column in columns]
            if columns in SIZES:
                numbers[2:] = [numbers[0] + numbers[2], numbers[1] + numbers[3]]
            box = checked((numbers[0], numbers[1], numbers[2], numbers[3]), where)
            found.setdefault(line[header.index("path")].strip(), []).append(box)
    except csv.Error as error:
        raise UserError(f"{file} is no CSV table: {error}") from error
    return {name: PictureBoxes(tuple(boxes)) for name, boxes in found.items()}


def number(text: str, where: str) -> float:
    """A field as a number."""
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{where}: {text[:40]!r} is no number") from error


def checked(box: Box, where: str) -> Box:
    """The box, if it is one."""
    if not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        raise UserError(f"{where}: the box {box} holds nothing; left, top, right and bottom must rise")
    return box


def box_masks_of(found: PictureBoxes, preprocessing: Preprocessing) -> Bool[np.ndarray, "h w"]:
    """The boxes as one mask at the network's input size, moved as the preprocessing moves the picture."""
    height, width = preprocessing.size
    wide, high = found.size or (width, height)
    across, down = width / wide, height / high
    if preprocessing.fit == "crop":
        across = down = max(across, down)
    right, lower = (width - wide * across) / 2, (height - high * down) / 2
    mask = np.zeros((height, width), bool)
    for left, top, end, bottom in found.boxes:
        columns = slice(max(0, round(left * across + right)), max(0, round(end * across + right)))
        rows = slice(max(0, round(top * down + lower)), max(0, round(bottom * down + lower)))
        mask[rows, columns] = True
    return mask
