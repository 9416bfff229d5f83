"""`jaxcam data reencode` and `jaxcam data balance`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def reencode(
    source: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    size: tuple[int, int] = (224, 224),
    format: Literal["jpg", "png"] = "jpg",
    quality: int = 75,
    centre: float = 1.0,
    masks: Path | None = None,
    quiet: bool = False,
) -> None:
    """Write all pictures of a set alike: one size, one format and quality, no metadata; or cut to a part of them.

    For sets whose files tell the classes apart (compression, size, camera), or whose borders do. What one class has
    lost, the others lose too only if size and quality are those of its worst pictures.

    Example: jaxcam data reencode pictures --out alike --size 160 160 --quality 60

    Args:
        source: folder of images, manifest (.csv), prepared folder or tfds:NAME
        out: folder to write, a sub-folder a class (below a sub-folder a split where there are any)
        size: height and width
        format: of the files
        quality: of JPEG files, 1 to 100
        centre: share of both sides that is kept, from the middle
        masks: cut each picture to the box of its object and a margin
        quiet: no progress
    """
    from jaxcam.data import reencoding, sets
    from jaxcam.progress import Progress

    progress = Progress(quiet)
    found = sets.load_all(source)
    for images in found.values():
        for path, reason in images.skipped:
            progress.say(f"skipped {path}: {reason}")
    count, left_out = reencoding.reencode(
        found, out, size=size, format=format, quality=quality, centre=centre, masks=masks, progress=progress
    )
    for path, reason in left_out[:20]:
        print(f"left out {path}: {reason}")
    print(f"{out}: {count} pictures at {size[0]}x{size[1]}, {len(left_out)} left out")


def balance(
    source: Annotated[str, tyro.conf.Positional],
    *,
    groups: Path,
    out: Path,
    seed: int = 0,
) -> None:
    """Keep a part of a set in which every class has as many pictures of every group; written as a manifest.

    Only the training pictures of a divided set are thinned out.

    Example: jaxcam data balance pictures --groups light.csv --out balanced.csv

    Args:
        source: folder with one sub-folder a class, or a manifest (.csv)
        groups: .csv with the columns path and group
        out: the manifest to write
        seed: decides which pictures are kept
    """
    import numpy as np

    from jaxcam.audit.confirmation.groups import read_groups
    from jaxcam.data import sets
    from jaxcam.data.balance import balanced_rows
    from jaxcam.data.manifest import write_manifest

    manifest, _ = sets.listed(source)
    found = sets.load_all(source)
    words: dict[str, str] = {}
    for images in found.values():
        told = read_groups(groups, images)
        words |= {str(images.file(row).absolute()): word for row, word in enumerate(told)}
    training = [row for row, split in enumerate(manifest.splits) if split in ("", "train")]
    told = [words.get(manifest.files[row], "") for row in training]
    kept = balanced_rows([manifest.labels[row] for row in training], told, seed=seed)
    others = [row for row, split in enumerate(manifest.splits) if split not in ("", "train")]
    chosen = sorted([*(training[row] for row in kept.tolist()), *others])
    write_manifest(out, manifest.rows(np.array(chosen, int)))
    print(f"{out}: {len(kept)} of {len(training)} training pictures, {len(others)} others as they were")
