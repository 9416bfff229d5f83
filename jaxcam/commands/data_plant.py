"""`jaxcam data plant`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

Kind = Literal["logo", "tint", "bars", "jpeg", "low_resolution", "background", "watermark", "file_size", "exif"]


def plant(
    source: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    class_name: Annotated[str, tyro.conf.arg(name="class")],
    kind: Kind = "logo",
    strength: float = 100,
    place: Literal["upper left", "upper right", "lower left", "lower right"] | None = None,
    masks: Path | None = None,
    format: Literal["png", "jpeg"] = "png",
    longest: int = 1024,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Copy a set with a cue planted in one class: does a network fall for it, and who notices?

    Writes Train and Valid with the cue, and Swapped: the validation pictures with the cue on the other classes instead,
    which is what a network that reads the cue fails on.

    Example: jaxcam data plant pets --out planted --kind logo --class dogs --strength 100

    Args:
        source: folder of images, a manifest, a prepared folder or tfds:NAME; it is only read
        out: new folder; an unfinished one is completed
        class_name: the class that gets the cue
        kind: logo, tint, bars, jpeg, low_resolution, background, watermark; file_size and exif touch no pixel
        strength: per cent of the class's pictures that get it
        place: corner of a logo or watermark; default lower left (logo), lower right (watermark)
        masks: folder of object masks named like the pictures, for a pasted background
        format: of all files that are written
        longest: larger pictures are reduced to this many pixels of the longer side
        seed: decides which pictures get the cue
        quiet: no progress
    """
    from dataclasses import replace

    from jaxcam.data.planted.cues import cue_of
    from jaxcam.data.planted.folder import Planting, plant_folder, told
    from jaxcam.progress import Progress

    cue = cue_of(kind) if place is None else replace(cue_of(kind), place=place)
    planting = Planting(cue=cue, class_name=class_name, strength=strength, seed=seed, format=format, longest=longest)
    print(told(plant_folder(source, out, planting, masks=masks, progress=Progress(quiet)), out))
