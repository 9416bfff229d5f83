"""`jaxcam data draw`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxcam.errors import UserError


def draw(
    folder: Annotated[Path, tyro.conf.Positional],
    *,
    kind: Literal["classes", "scenes", "numbers"] = "scenes",
    count: int = 160,
    valid_count: int = 40,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    classes: tuple[str, ...] = (),
) -> None:
    """Draw a set of pictures to try things on; an unfinished folder is completed.

    Example: jaxcam data draw pictures --kind scenes --count 160

    Args:
        folder: where the pictures go
        kind: classes (111 classes of shapes, textures, things), scenes (two figures before two backgrounds, masks) or
            numbers (house numbers: the digit in the middle counts)
        count: training pictures
        valid_count: validation pictures
        seed: the same seed draws the same pictures
        size: height and width; default 64 64 for classes, 192 320 for scenes, 32 32 for numbers
        classes: only these, such as cat dog bird, or 0 1 7 of numbers; the pictures are shared out among them
    """
    if count < 1 or valid_count < 1:
        raise UserError(f"got --count {count} --valid-count {valid_count}; both must be at least 1")
    if classes and kind == "scenes":
        raise UserError(f"--classes {' '.join(classes)} needs --kind classes or --kind numbers")
    if kind != "scenes" and size is not None and size[0] != size[1]:
        raise UserError(f"pictures of {kind} are square, got --size {size[0]} {size[1]}")
    if kind == "classes":
        from jaxcam.data.drawn import write_folder

        side = 64 if size is None else size[0]
        written = write_folder(folder, count, seed, size=side, valid_count=valid_count, classes=classes)
    elif kind == "numbers":
        from jaxcam.data.drawn_numbers import write_numbers

        side = 32 if size is None else size[0]
        written = write_numbers(folder, count, seed, size=side, valid_count=valid_count, classes=classes)
    else:
        from jaxcam.data.scenes import write_scenes

        train, valid = max(1, count // 2), max(1, valid_count // 2)
        pixels = (192, 320) if size is None else size
        written = write_scenes(folder, seed=seed, train_per_class=train, valid_per_class=valid, size=pixels)
    print(f"{folder}: {written} pictures")
