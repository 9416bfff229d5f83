"""Image sets by name, whatever they are kept in: a folder, a manifest, a prepared folder, a set of TensorFlow Datasets.

A set's name is what a person types: `pictures`, `set.csv`, `prepared/pets`, `tfds:cats_vs_dogs`.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from jaxcam.data import folder, manifest, prepared, tfds
from jaxcam.data.images import ImageSet, Raw
from jaxcam.errors import UserError

Kind = Literal["folder", "manifest", "prepared", "tfds"]


def kind_of(spec: str | os.PathLike) -> Kind:
    """What a name stands for; nothing but the file system is asked."""
    if tfds.is_tfds(str(spec)):
        return "tfds"
    if prepared.is_prepared(spec):
        return "prepared"
    return "manifest" if manifest.is_manifest(spec) else "folder"


def splits_of(spec: str | os.PathLike) -> tuple[str, ...]:
    """Which of train, valid and test a set is divided into; none where it is not. Raises `UserError`."""
    kind = kind_of(spec)
    if kind == "tfds":
        from jaxcam.data import tfds_records

        return tfds_records.splits_of(str(spec))
    if kind == "prepared":
        return prepared.splits_of(spec)
    if kind == "manifest":
        return manifest.read_manifest(spec).split_names
    return tuple(folder.find_splits(spec))


def load_set(
    spec: str | os.PathLike,
    split: str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> ImageSet:
    """The images of one split of a set; None: of a set that is not divided.

    Without `class_names` the classes are those found in this split; with them (a classifier's, the training split's)
    rows of other classes get label -1. Raises `UserError` where there is no such set or split.
    """
    kind = kind_of(spec)
    if kind == "tfds":
        from jaxcam.data import tfds_records

        return tfds_records.load_tfds(str(spec), split, class_names=class_names, name=name)
    if kind == "prepared":
        return prepared.load_prepared(spec, split, class_names=class_names, name=name)
    if kind == "manifest":
        return manifest.load_manifest(spec, split, class_names=class_names, name=name)
    if split is None:
        return folder.load_folder(spec, class_names=class_names, name=name)
    images = folder.load_split(spec, split, class_names=class_names)
    return images if name is None else folder.load_folder(images.root, class_names=class_names, name=name)


def load_all(spec: str | os.PathLike) -> dict[str, ImageSet]:
    """Every split of a set, under "" where it is not divided; all with the training split's classes."""
    splits = splits_of(spec)
    if not splits:
        return {"": load_set(spec)}
    first = load_set(spec, splits[0])
    return {splits[0]: first, **{name: load_set(spec, name, class_names=first.class_names) for name in splits[1:]}}


def word_for(spec: str | os.PathLike) -> str:
    """A plain word for a set, in lower case, that may be part of a file's name."""
    kind, text = kind_of(spec), str(spec)
    if kind == "tfds":
        parsed = tfds.parse(text)
        text = Path(parsed.name).name if not parsed.name.startswith((".", "/", "~")) else Path(parsed.name).parent.name
        return re.sub(r"[^\w.-]+", "-", f"{text}-{parsed.config}".strip("-")).lower()
    path = Path(text).resolve()
    return (path.stem if kind == "manifest" else path.name).lower() or "images"


def absolute(spec: str | os.PathLike) -> str:
    """The name that means the same set in every working directory."""
    return str(spec) if kind_of(spec) == "tfds" else os.path.abspath(spec)


def reader(root: str | os.PathLike) -> Callable[[str], Raw] | None:
    """Reads pictures by their path from what `ImageSet.root` says of a set that is kept in no files.

    None where `root` is an ordinary folder. The function raises `KeyError` for an unknown path and `UnreadableImage`.
    """
    text = str(root)
    if tfds.is_tfds(text):
        images = load_set(text)
    elif prepared.is_prepared(text):
        images = prepared.load_prepared(text)
    elif not os.path.isdir(text) and prepared.is_prepared(os.path.dirname(text)):
        images = prepared.load_prepared(os.path.dirname(text), os.path.basename(text))
    else:
        return None
    rows = {path: row for row, path in enumerate(images.paths)}
    return lambda path: images.read(rows[path])


def listed(spec: str | os.PathLike) -> tuple[manifest.Manifest, tuple[tuple[str, str], ...]]:
    """A set as a manifest, and what of a folder is no image, with the reasons; only files can be listed."""
    kind = kind_of(spec)
    if kind == "manifest":
        return manifest.read_manifest(spec), ()
    if kind != "folder":
        raise UserError(f"{spec} is no folder and no manifest; a manifest can only name files")
    files: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    skipped: list[tuple[str, str]] = []
    for name, images in load_all(spec).items():
        files += [os.path.abspath(images.file(row)) for row in range(len(images))]
        labels += images.folder_names
        splits += [name] * len(images)
        skipped += images.skipped
    return manifest.Manifest(tuple(files), tuple(labels), tuple(splits), ("",) * len(files)), tuple(skipped)
