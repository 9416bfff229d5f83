"""`jaxcam data prepare`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxcam.errors import UserError


def prepare(
    source: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    size: tuple[int, int] = (224, 224),
    resize: Literal["bilinear", "nearest", "bicubic"] = "bilinear",
    fit: Literal["stretch", "crop"] = "stretch",
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Decode and resize every picture of a set once, for sets that are read many times; goes on where it stopped.

    The folder can be given wherever a folder of pictures can (--data.source, --data), to classifiers with the same
    input size; the pixels are those of decoding. Run again, it compares the checksums.

    Example: jaxcam data prepare pictures --out prepared/pictures --size 160 160

    Args:
        source: folder of images, manifest (.csv) or tfds:NAME
        out: folder to write: images.npy, rows.csv, prepared.json
        size: height and width, the classifier's (--preprocessing.size)
        resize: filter of the resize (--preprocessing.resize)
        fit: stretch the picture to the size, or scale its shorter side and cut out the centre (--preprocessing.fit)
        overwrite: replace what was prepared from other pictures or with other settings
        quiet: no progress
    """
    from jaxcam.data import sets
    from jaxcam.data.preparing import prepare as write
    from jaxcam.preprocessing import Preprocessing
    from jaxcam.progress import Progress

    if min(size) < 1 or max(size) > 16384:
        raise UserError(f"--size is {size[0]} {size[1]}; both must lie in 1 to 16384")
    kind, progress = sets.kind_of(source), Progress(quiet)
    if kind == "prepared":
        raise UserError(f"{source} is prepared already; give the pictures it was made from")
    found = sets.load_all(source)
    for images in found.values():
        for path, reason in images.skipped:
            progress.say(f"skipped {path}: {reason}")
    settings = Preprocessing(size=size, resize=resize, fit=fit)
    about = write(found, sets.absolute(source), kind, out, settings, overwrite=overwrite, progress=progress)
    gib = about["count"] * size[0] * size[1] * 3 / 2**30
    broken = f"; {about['unreadable']} could not be read, see rows.csv" if about["unreadable"] else ""
    print(f"{out}: {about['count']} pictures at {size[0]}x{size[1]}, {gib:.2f} GiB{broken}")
