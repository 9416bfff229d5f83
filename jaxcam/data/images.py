"""Pictures as a table of rows: names and labels here, the pixels wherever they are kept."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Int, Int32, Int64, UInt8

from jaxcam.data.decode import decode, to_pixels
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

Raw = Path | bytes | UInt8[np.ndarray, "h w 3"]
"""a picture as it is kept: a file, a file's bytes, or RGB pixels"""
_EDGE = 4096  # bytes read at the start and at the end of a file for its stamp
_THREADS = 16


class Source(ABC):
    """Where pictures lie that are no files below a folder; its methods may be called from several threads."""

    applied: Preprocessing | None = None
    """the resize that its pixels have gone through; None where pictures are kept whole"""

    @abstractmethod
    def read(self, place: int) -> Raw:
        """The picture at a place; raises `UnreadableImage`."""

    @abstractmethod
    def stamp(self, place: int) -> str:
        """A word that changes with the picture's content."""

    def gather(self, places: Int64[np.ndarray, " m"], out: UInt8[np.ndarray, "m h w 3"]) -> dict[int, str]:
        """Copy pixels (of a source with `applied`) into `out`; position -> reason of those that cannot be read."""
        raise NotImplementedError(f"{type(self).__name__} keeps no pixels")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one split, by class, as a table of rows; nothing is decoded yet."""

    name: str
    """the split's or the folder's name in lower case: "train", "valid", ..."""
    root: Path
    """the folder that `paths` start from; what else they are kept in (a prepared folder, `tfds:...`)"""
    class_names: tuple[str, ...]
    """the classes found, sorted, or the classifier's classes where these were given"""
    paths: tuple[str, ...]
    """a name for each row, unique, relative to `root`, with "/": it may be shown, and be part of a file's name"""
    labels: Int32[np.ndarray, " n"]
    """index into `class_names`; -1 where the class is none of them"""
    skipped: tuple[tuple[str, str], ...] = ()
    """(path, reason) of the files that are not images"""
    ignored: int = 0
    """hidden and system entries (`.DS_Store`, `__MACOSX`, `Thumbs.db`), counted but not listed"""
    label_names: tuple[str, ...] | None = None
    """the class of every row in words, also where it is none of `class_names`; None: the first part of its path"""
    groups: tuple[str, ...] | None = None
    """rows of one word are near duplicates and belong into one split; empty: alone"""
    source: Source | None = None
    """where the pictures are kept; None: in files below `root`"""
    places: Int64[np.ndarray, " n"] | None = None
    """each row's place in the source; None: row i lies at place i"""

    def __post_init__(self):
        if len(self.paths) != len(self.labels):
            raise ValueError(f"{len(self.paths)} paths but {len(self.labels)} labels")
        if len(self.labels) and not (self.labels.min() >= -1 and self.labels.max() < len(self.class_names)):
            raise ValueError(f"labels must lie in -1..{len(self.class_names) - 1}")
        for name in ("label_names", "groups", "places"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.paths):
                raise ValueError(f"{len(self.paths)} paths but {len(values)} {name}")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def folder_names(self) -> tuple[str, ...]:
        """The class of every row in words, also where it is none of `class_names`."""
        return self.label_names or tuple(path.split("/", 1)[0] for path in self.paths)

    def file(self, row: SupportsIndex) -> Path:
        """Where the file of a row lies; raises ValueError where the pictures are no files (use `read`)."""
        if self.source is not None:
            raise ValueError(f"the pictures of {self.root} are no files; use read or decode")
        return self.root / self.paths[row]

    def read(self, row: SupportsIndex) -> Raw:
        """The picture of a row as it is kept; raises `UnreadableImage` where it is known to be broken."""
        return self.file(row) if self.source is None else self.source.read(self.place(row))

    def decode(self, row: SupportsIndex, preprocessing: Preprocessing) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a row as RGB, upright, resized (see `jaxcam.data.decode`); raises `UnreadableImage`."""
        return decode_raw(self.read(row), preprocessing)

    def place(self, row: SupportsIndex) -> int:
        """A row's place in the source."""
        return int(row if self.places is None else self.places[row])  # type: ignore[arg-type]

    def check(self, preprocessing: Preprocessing) -> None:
        """Raise `UserError` where the pictures were resized already, and otherwise than `preprocessing` asks for."""
        done = None if self.source is None else self.source.applied
        if done is None or resizing(done) == resizing(preprocessing):
            return
        size = " ".join(map(str, preprocessing.size))
        raise UserError(
            f"{self.root} was prepared as {resizing(done)}, but {resizing(preprocessing)} is needed; run `jaxcam data "
            f"prepare` with --size {size} --resize {preprocessing.resize} --fit {preprocessing.fit} and another --out"
        )

    def counts(self) -> dict[str, int]:
        """Number of images of each class; rows with label -1 are in none."""
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, counts, strict=True)}

    def subset(self, indices: Sequence[int] | Int[np.ndarray, " m"], *, name: str | None = None) -> "ImageSet":
        """The given rows, in the given order, with the same classes; `skipped` and `ignored` stay behind."""
        rows = np.asarray(indices, dtype=np.int64)
        words = {"paths": self.paths, "label_names": self.label_names, "groups": self.groups}
        kept: dict[str, Any] = {key: column and tuple(column[row] for row in rows) for key, column in words.items()}
        return replace(
            self,
            name=self.name if name is None else name,
            **kept,
            labels=self.labels[rows],
            skipped=(),
            ignored=0,
            places=None if self.source is None else rows if self.places is None else self.places[rows],
        )

    def stamps(self) -> list[str]:
        """A word for every row that changes with its picture's content: see `stamp_file`, `Source.stamp`."""
        source = self.source
        if source is not None:
            return [source.stamp(self.place(row)) for row in range(len(self))]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="jaxcam-stamp") as pool:
            return list(pool.map(stamp_file, (self.root / path for path in self.paths), chunksize=64))

    def fingerprint(self) -> str:
        """SHA-256 over every row's path and stamp; tells whether a stored result belongs to these pictures.

        It does not depend on where the folder lies. A prepared set has the fingerprint of the files it was made from.
        """
        digest = hashlib.sha256()
        for path, stamp in zip(self.paths, self.stamps(), strict=True):
            digest.update(f"{stamp} {path}\0".encode())
        return digest.hexdigest()


def decode_raw(raw: Raw, preprocessing: Preprocessing) -> UInt8[np.ndarray, "h w 3"]:
    """A picture as it is kept, as RGB, upright, resized; raises `UnreadableImage`."""
    if not isinstance(raw, np.ndarray):
        return decode(raw, preprocessing)
    return np.array(raw) if raw.shape[:2] == preprocessing.size else to_pixels(raw[None], preprocessing)[0]


def resizing(preprocessing: Preprocessing) -> str:
    """What happens to a picture on the host, in words: `224x224 bilinear stretch`."""
    return f"{preprocessing.size[0]}x{preprocessing.size[1]} {preprocessing.resize} {preprocessing.fit}"


def stamp_file(path: Path) -> str:
    """Size and a hash of the first and last 4 KiB of a file; "-1" where it cannot be read. About 30 us.

    A picture that is encoded anew, cut or replaced gets another stamp; copying the file does not change it.
    """
    try:
        if not path.is_file():
            return "-1"
        with open(path, "rb", buffering=0) as file:
            head = file.read(_EDGE)
            size = file.seek(0, 2)
            file.seek(max(len(head), size - _EDGE))
            return f"{size} {hashlib.sha256(head + file.read(_EDGE)).hexdigest()[:16]}"
    except OSError:
        return "-1"  # gone since the folder was read
