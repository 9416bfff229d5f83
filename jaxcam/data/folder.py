"""Folders of images as data sets: one sub-folder a class, found by what the files are, not by what they are called."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxcam.data.image_files import UnreadableImage, probe
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError

SPLITS = {"train": ("train", "training"), "valid": ("valid", "val", "validation"), "test": ("test", "testing")}
"""split -> the folder names it goes by, in any case"""
_NOISE = {"__macosx", "thumbs.db", "desktop.ini"}
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # would break tables, pages and terminals
_CHUNK = 64
_THREADS = 16


def find_splits(root: str | os.PathLike) -> dict[str, Path]:
    """The split folders of a data set: "train", "valid" and "test", as far as there are any, in this order.

    `Train`, `val`, `Validation`, ... in any case count as splits if they hold sub-folders. A folder whose sub-folders
    are the classes themselves gives an empty dict: use `load_folder`.

    Raises `UserError` where the root is no folder or two folders stand for one split.
    """
    root = _folder(root)
    found: dict[str, Path] = {}
    for entry in _entries(root):
        split = split_of(entry.name)
        if split is None or not entry.is_dir() or not _holds_folders(Path(entry.path)):
            continue
        if split in found:
            raise UserError(f"{root} has two folders for the split {split}: {found[split].name} and {entry.name}")
        found[split] = root / entry.name
    return {split: found[split] for split in SPLITS if split in found}


def load_split(root: str | os.PathLike, split: str, *, class_names: Sequence[str] | None = None) -> ImageSet:
    """The images of one split of a data set; `split` is any of the names in `SPLITS`.

    Raises `UserError` as `load_folder` does, and where there is no such split.
    """
    name = split_of(split)
    if name is None:
        raise UserError(f"unknown split {split!r}; there are: {', '.join(SPLITS)}")
    splits = find_splits(root)
    if name not in splits:
        there = f"found {', '.join(splits)}" if splits else "its sub-folders are no splits"
        raise UserError(f"{root} has no {name} split ({there}); a folder {' or '.join(SPLITS[name])} was looked for")
    return load_folder(splits[name], class_names=class_names, name=name)


def load_folder(
    folder: str | os.PathLike, *, class_names: Sequence[str] | None = None, name: str | None = None
) -> ImageSet:
    """The images below a folder with one sub-folder a class, deeper sub-folders included.

    Every file is tried by its header (see `decode.probe`); what is no image goes to `skipped` with the reason. Links to
    folders and links that leave the folder are not followed. Without `class_names` the classes are the sub-folders,
    sorted, and there must be at least two, each with an image. With `class_names` (a classifier's) any set of
    sub-folders will do; rows of unknown ones get label -1.

    Raises `UserError` where this finds no data set.
    """
    root = _folder(folder)
    if splits := find_splits(root):
        raise UserError(f"{root} is divided into {', '.join(splits)}; name one of these folders")
    listing = list_files(root)
    if not listing.folders:
        raise UserError(f"{root} has no sub-folders; one sub-folder of images for each class is expected")
    if class_names is None and all(split_of(folder) for folder in listing.folders):
        raise UserError(f"the folders {', '.join(listing.folders)} of {root} are named like splits but hold no classes")
    if class_names is None and len(listing.folders) == 1:
        raise UserError(f"{root} has a single class folder, {listing.folders[0]!r}; at least two are needed")

    paths = []
    for path, reason in zip(listing.files, probe_all(root, listing.files), strict=True):
        if reason is None:
            paths.append(path)
        else:
            listing.skipped.append((path, reason))
    skipped = sorted(listing.skipped)
    found = {path.split("/", 1)[0] for path in paths}
    if not paths:
        raise UserError(f"no readable image in {root}: {told(skipped)}")
    if class_names is None and (empty := [folder for folder in listing.folders if folder not in found]):
        own = [item for item in skipped if item[0].split("/", 1)[0] == empty[0]]
        raise UserError(f"class folder {empty[0]!r} of {root} has no readable image: {told(own)}")

    names = tuple(listing.folders if class_names is None else class_names)
    index = {class_name: label for label, class_name in enumerate(names)}
    paths.sort(key=lambda path: path.split("/", 1))
    labels = np.asarray([index.get(path.split("/", 1)[0], -1) for path in paths], dtype=np.int32)
    name = root.resolve().name if name is None else name
    return ImageSet(name.lower() or "images", root, names, tuple(paths), labels, tuple(skipped), listing.ignored)


@dataclass
class _Listing:
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0


def list_files(root: Path) -> _Listing:
    """Walk a folder without following links to folders; paths are relative to it."""
    listing = _Listing()
    real_root = os.path.realpath(root)
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = _entries(root / folder)
        except OSError as error:
            listing.skipped.append((folder, error.strerror or "cannot be read"))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if _is_noise(entry.name):
                listing.ignored += 1
            elif UNPRINTABLE.search(entry.name):
                listing.skipped.append((UNPRINTABLE.sub("?", path), "name is not UTF-8 or has control characters"))
            elif entry.is_symlink() and (reason := _why_not_followed(entry.path, real_root)):
                listing.skipped.append((path, reason))
            elif entry.is_dir():
                pending.append(path)
                if not folder:
                    listing.folders.append(path)
            elif not folder:
                listing.skipped.append((path, "not in a class folder"))
            else:
                listing.files.append(path)
    return listing


def probe_all(root: Path, paths: list[str]) -> Iterator[str | None]:
    """Why each file is no image, or None; in order. The files' headers are read by several threads."""

    def look(chunk: list[str]) -> list[str | None]:
        return [_why_no_image(root / path) for path in chunk]

    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="jaxcam-probe")
    try:
        for reasons in pool.map(look, chunks):
            yield from reasons
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for 100 000 files


def _why_no_image(path: Path) -> str | None:
    try:
        probe(path)
    except UnreadableImage as error:
        return error.reason
    return None


def _why_not_followed(path: str, real_root: str) -> str | None:
    if not os.path.exists(path):
        return "broken link"
    if os.path.isdir(path):
        return "link to a folder, not followed"
    if not os.path.realpath(path).startswith(os.path.join(real_root, "")):
        return "link out of the folder, not followed"
    return None


def _folder(path: str | os.PathLike) -> Path:
    path = Path(path)
    try:
        os.scandir(path).close()
    except FileNotFoundError:
        raise UserError(f"no folder {path}; one with a sub-folder of images for each class was looked for") from None
    except NotADirectoryError:
        raise UserError(f"{path} is a file; a folder with a sub-folder of images for each class is needed") from None
    except OSError as error:
        raise UserError(f"folder {path} cannot be read: {error.strerror}") from error
    return path


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _holds_folders(folder: Path) -> bool:
    try:
        return any(entry.is_dir() and not _is_noise(entry.name) for entry in _entries(folder))
    except OSError:
        return False


def split_of(name: str) -> str | None:
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def _is_noise(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOISE


def told(skipped: list[tuple[str, str]]) -> str:
    if not skipped:
        return "there are no files"
    path, reason = skipped[0]
    return f"{len(skipped)} skipped, the first is {path}: {reason}"
