"""Reading prepared sets: pictures decoded and resized once, as one memory-mapped array beside a table of rows.

A prepared folder holds `images.npy` (uint8, n h w 3), `rows.csv` (path, label, split, stamp, changed, reason) and
`prepared.json`, which says what was done to the pictures, with checksums. It is written by `jaxcam.data.preparing`.
"""

import csv
import hashlib
import io
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.folder import SPLITS, list_files, split_of
from jaxcam.data.images import ImageSet, Source, stamp_file
from jaxcam.errors import UserError
from jaxcam.files import read_json
from jaxcam.preprocessing import Preprocessing

DESCRIPTION, TABLE, PIXELS = "prepared.json", "rows.csv", "images.npy"
COLUMNS = ("path", "label", "split", "stamp", "changed", "reason")
FORMAT = 1
_KEYS: dict[str, type] = {
    **dict.fromkeys(("source", "kind", "manifest", "resize", "fit"), str),
    **dict.fromkeys(("count", "block"), int),
    **dict.fromkeys(("size", "class_names"), list),
    "splits": dict,
}
_THREADS = 16


@dataclass(frozen=True, eq=False)
class Rows:
    """The table of a prepared set, column by column."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    stamps: tuple[str, ...]
    changed: tuple[str, ...]
    """when the source's file was last written (nanoseconds); empty where it is no file"""
    reasons: tuple[str, ...]
    """why a picture could not be read; empty where it could"""

    def csv(self) -> bytes:
        """The table as it stands in the file."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            zip(self.paths, self.labels, self.splits, self.stamps, self.changed, self.reasons, strict=True)
        )
        return table.getvalue().encode()


@dataclass(frozen=True)
class Pixels(Source):
    """The pictures of a prepared set by their row."""

    array: UInt8[np.ndarray, "n h w 3"]
    stamps: tuple[str, ...]
    reasons: Mapping[int, str] = field(default_factory=dict)
    applied: Preprocessing | None = None

    def read(self, place: int) -> UInt8[np.ndarray, "h w 3"]:
        """A copy of the pixels; raises `UnreadableImage` with the reason found when the set was prepared."""
        if place in self.reasons:
            raise UnreadableImage(self.reasons[place])
        return np.array(self.array[place])

    def stamp(self, place: int) -> str:
        """The stamp of the file that the pixels were made from."""
        return self.stamps[place]

    def gather(self, places: Int64[np.ndarray, " m"], out: UInt8[np.ndarray, "m h w 3"]) -> dict[int, str]:
        """Copy rows into `out` in one call; unreadable ones are zero."""
        # With the mode "raise" numpy would copy everything twice; the rows were checked by the loader.
        np.take(self.array, places, axis=0, out=out, mode="clip")
        if not self.reasons:
            return {}
        return {k: self.reasons[place] for k, place in enumerate(places.tolist()) if place in self.reasons}


def is_prepared(path: str | os.PathLike) -> bool:
    """Whether a folder holds a prepared set, finished or not."""
    return (Path(path) / DESCRIPTION).is_file()


def splits_of(folder: str | os.PathLike) -> tuple[str, ...]:
    """The splits of a prepared set; none where its source was not divided."""
    splits = set(_rows(Path(folder), described(Path(folder))).splits)
    return tuple(split for split in SPLITS if split in splits)


def load_prepared(
    folder: str | os.PathLike,
    split: str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> ImageSet:
    """The pictures of a split of a prepared set (None: of an undivided one): rows, paths and labels as the source's.

    Read are the description, the table and two blocks of pixels, which are checked. Where the source still lies where
    it was, its files' sizes and times are compared too, and the contents' stamps where a time differs.

    Raises `UserError` where the set is half-written, damaged, or stale, and for a split that is not there.
    """
    folder, split = Path(folder), (split and split_of(split)) or split
    about = described(folder)
    rows = _rows(folder, about)
    there = tuple(one for one in SPLITS if one in set(rows.splits))
    if (split is None) != (not there):
        asked = f"no {split} split" if split else "several splits"
        raise UserError(f"{folder} has {asked}; there are: {', '.join(there) or 'none'}")
    places = np.flatnonzero(np.array(rows.splits) == (split or ""))
    check_fresh(folder, about, rows, split or "")
    own = tuple(about["class_names"] if class_names is None else class_names)
    index = {class_name: label for label, class_name in enumerate(own)}
    words = tuple(rows.labels[place] for place in places)
    reasons = {place: reason for place, reason in enumerate(rows.reasons) if reason}
    return ImageSet(
        name=(name or split or folder.resolve().name).lower(),
        root=folder / split if split else folder,
        class_names=own,
        paths=tuple(rows.paths[place] for place in places),
        labels=np.asarray([index.get(word, -1) for word in words], dtype=np.int32),
        skipped=tuple((path, reason) for path, reason in about["splits"].get(split or "", {}).get("skipped", ())),
        label_names=words,
        source=Pixels(pixels(folder, about), rows.stamps, reasons, applied(about)),
        places=places.astype(np.int64),
    )


def described(folder: Path) -> dict[str, Any]:
    """What `prepared.json` says of a finished set; raises `UserError` where it is unfinished or of another format."""
    about = read_json(folder / DESCRIPTION)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{folder / DESCRIPTION} is not of this version of jaxcam; prepare the set again")
    if lacking := [key for key, kind in _KEYS.items() if not isinstance(about.get(key), kind)]:
        raise UserError(f"{folder / DESCRIPTION} is damaged ({lacking[0]!r}); prepare the set again")
    parts = about["splits"].values()
    if not all(
        isinstance(p, dict) and isinstance(p.get("root"), str) and isinstance(p.get("skipped"), list) for p in parts
    ):
        raise UserError(f"{folder / DESCRIPTION} is damaged ('splits'); prepare the set again")
    if about.get("complete") is not True:
        raise UserError(f"{folder} is half-written; {again(about, folder)} goes on where it stopped")
    return about


def again(about: Mapping[str, Any], folder: Path, *more: str) -> str:
    """The command that made a prepared set."""
    size = " ".join(map(str, about["size"]))
    options = (f"--out {folder}", f"--size {size}", f"--resize {about['resize']}", f"--fit {about['fit']}", *more)
    return f"`jaxcam data prepare {about['source']} {' '.join(options)}`"


def applied(about: Mapping[str, Any]) -> Preprocessing:
    """The resize that the pictures have gone through."""
    return Preprocessing(size=tuple(about["size"]), resize=about["resize"], fit=about["fit"])


def pixels(folder: Path, about: Mapping[str, Any]) -> UInt8[np.ndarray, "n h w 3"]:
    """The memory-mapped pictures, after a look at the file's size, its header and two of its blocks."""
    path, shape = folder / PIXELS, (about["count"], *about["size"], 3)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}); {again(about, folder, '--overwrite')}") from error
    if array.shape != shape or array.dtype != np.uint8:
        raise UserError(f"{path} holds {array.dtype} {array.shape}, not uint8 {shape}; prepare the set again")
    plain, sums = np.asarray(array), about.get("blocks")  # indexing an np.memmap costs more
    if not isinstance(sums, list) or len(sums) != -(-about["count"] // max(1, about["block"])):
        raise UserError(f"{folder / DESCRIPTION} is damaged ('blocks'); prepare the set again")
    for block in sorted({0, len(sums) - 1}):
        if checksum(plain[block * about["block"] : (block + 1) * about["block"]]) != sums[block]:
            raise UserError(
                f"{path} is damaged: block {block} has another checksum; {again(about, folder, '--overwrite')}"
            )
    return plain


def checksum(block: UInt8[np.ndarray, "m h w 3"]) -> int:
    """CRC-32 of a block's bytes; about 1 GB/s."""
    return zlib.crc32(block.data)


def check_fresh(folder: Path, about: Mapping[str, Any], rows: Rows, split: str) -> None:
    """Raise `UserError` where the files that a split was made from have changed; nothing where they are gone now."""
    root, kind = about["splits"][split]["root"], about["kind"]
    if kind == "tfds":
        return check_records(folder, about, rows, split)
    if not os.path.isdir(root):
        return
    chosen = [place for place, one in enumerate(rows.splits) if one == split]

    def same(place: int) -> bool:
        file = Path(root, rows.paths[place])
        try:
            unchanged = str(os.stat(file).st_mtime_ns) == rows.changed[place]
        except OSError:
            return False
        # A copy has other times: then the content decides.
        return (unchanged and rows.stamps[place].split()[0] == str(os.stat(file).st_size)) or (
            stamp_file(file) == rows.stamps[place]
        )

    with ThreadPoolExecutor(_THREADS) as pool:
        changed = [rows.paths[p] for p, ok in zip(chosen, pool.map(same, chosen, chunksize=64), strict=True) if not ok]
    if kind == "folder":
        known = {rows.paths[place] for place in chosen}
        known |= {path for path, _ in about["splits"][split]["skipped"]}
        changed += [path for path in list_files(Path(root)).files if path not in known]
    elif os.path.isfile(about["source"]) and hash_file(about["source"]) != about["manifest"]:
        changed.append(about["source"])
    if changed:
        first = changed[0]
        raise UserError(
            f"{folder} is stale: of {about['source']} {len(changed)} file{'s' if len(changed) > 1 else ''} changed "
            f"since, the first is {first}; {again(about, folder, '--overwrite')}"
        )


def check_records(folder: Path, about: Mapping[str, Any], rows: Rows, split: str) -> None:
    """The same for a set of TensorFlow Datasets; nothing where it is no longer there."""
    from jaxcam.data.tfds_records import load_tfds

    try:
        found = load_tfds(about["source"], split or None)
    except UserError:
        return
    stamps = [stamp for stamp, one in zip(rows.stamps, rows.splits, strict=True) if one == split]
    if found.stamps() != stamps:
        raise UserError(f"{folder} is stale: {about['source']} changed since; {again(about, folder, '--overwrite')}")


def hash_file(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(folder: Path, about: Mapping[str, Any]) -> Rows:
    """The table, checked against its checksum."""
    path = folder / TABLE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; {again(about, folder, '--overwrite')}") from error
    if hashlib.sha256(content).hexdigest() != about.get("rows"):
        raise UserError(f"{path} is not the table that was written; {again(about, folder, '--overwrite')}")
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]
    if len(lines) != about["count"] or {line[2] for line in lines} - set(about["splits"]):
        raise UserError(f"{path} and {DESCRIPTION} contradict each other; {again(about, folder, '--overwrite')}")
    return Rows(*(tuple(column) for column in zip(*lines, strict=True)))
