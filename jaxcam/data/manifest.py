"""Manifests: CSV files that say which picture is of which class and in which split, so that nobody moves files.

Columns `path,label`, and where there are any `split` (train, valid, test, as folders are called) and `group` (pictures
of one group are near duplicates); other columns are let through unread. Paths are absolute or relative to the
manifest's folder.
"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxcam.data.folder import SPLITS, UNPRINTABLE, probe_all, split_of, told
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.files import replace_file

_SUFFIX = ".csv"
_LONGEST = 4096  # characters of a path; of other fields a sixteenth


@dataclass(frozen=True, eq=False)
class Manifest:
    """The rows of a manifest, column by column."""

    files: tuple[str, ...]
    """absolute paths, each once"""
    labels: tuple[str, ...]
    """class names; empty where the class is not known"""
    splits: tuple[str, ...]
    """train, valid or test for every row, or empty for every row"""
    groups: tuple[str, ...]
    """rows of one word are near duplicates; empty: alone"""

    def __post_init__(self):
        lengths = {len(self.files), len(self.labels), len(self.splits), len(self.groups)}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits there are, in the order train, valid, test; empty where the set is not divided."""
        return tuple(split for split in SPLITS if split in set(self.splits))

    def rows(self, rows: Sequence[int] | np.ndarray) -> "Manifest":
        """The given rows, in the given order."""
        columns = (self.files, self.labels, self.splits, self.groups)
        return Manifest(*(tuple(column[int(row)] for row in rows) for column in columns))


def is_manifest(path: str | os.PathLike) -> bool:
    """Whether a path is taken for a manifest: a file that ends in `.csv`."""
    return str(path).lower().endswith(_SUFFIX) and not os.path.isdir(path)


def read_manifest(path: str | os.PathLike) -> Manifest:
    """Read a manifest; the files it names are not looked at.

    Raises `UserError` with the number of the line where it is no such table: not UTF-8, a column missing or there
    twice, another number of fields, an empty path, a control character, an unknown split, some rows with a split and
    some without, a file that is named twice.
    """
    path = Path(path)
    folder = os.path.abspath(path.parent)
    columns: dict[str, list[str]] = {"path": [], "label": [], "split": [], "group": []}
    seen: dict[str, int] = {}
    try:
        # utf-8-sig: spreadsheets put a mark before the first column's name.
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            places = _places(path, next(lines, []))
            for line in lines:
                if not line:
                    continue
                where = f"{path}, line {lines.line_num}"
                if len(line) != places["fields"]:
                    raise UserError(f"{where}: {len(line)} fields, but the first line names {places['fields']}")
                for name, values in columns.items():
                    values.append(_field(where, name, line[places[name]] if name in places else ""))
                full = os.path.normpath(os.path.join(folder, columns["path"][-1]))
                if full in seen:
                    raise UserError(f"{where}: {columns['path'][-1]!r} stands in line {seen[full]} already")
                seen[full] = lines.line_num
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no manifest: it is not UTF-8 text") from error
    except csv.Error as error:
        raise UserError(f"{path} is no manifest: {error}") from error
    except OSError as error:
        raise UserError(f"manifest {path} cannot be read: {error.strerror}") from error
    if not seen:
        raise UserError(f"manifest {path} names no pictures")
    undivided = columns["split"].count("")
    if 0 < undivided < len(seen):
        file_ = next(name for name, split in zip(columns["path"], columns["split"], strict=True) if not split)
        raise UserError(f"manifest {path}: {undivided} of {len(seen)} rows have no split, the first is {file_!r}")
    return Manifest(tuple(seen), *(tuple(columns[name]) for name in ("label", "split", "group")))


def write_manifest(path: str | os.PathLike, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all; files below its folder get relative paths.

    The columns split and group are left out where they are empty.
    """
    path = Path(path)
    if path.suffix.lower() != _SUFFIX:
        raise UserError(f"--out {path} is a manifest; give it a name that ends in {_SUFFIX}")
    folder = os.path.join(os.path.abspath(path.parent), "")
    columns = {
        "path": [name.removeprefix(folder) for name in manifest.files],
        "label": manifest.labels,
        "split": manifest.splits,
        "group": manifest.groups,
    }
    kept = [name for name, values in columns.items() if name in ("path", "label") or any(values)]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(kept)
    writer.writerows(zip(*(columns[name] for name in kept), strict=True))
    replace_file(path, table.getvalue().encode())


def load_manifest(
    path: str | os.PathLike,
    split: str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> ImageSet:
    """The pictures of one split of a manifest (None: of a manifest without splits), in its order.

    Every file is tried by its header; what is no image goes to `skipped` with the reason. `root` is the folder that all
    files of the manifest lie below. Without `class_names` the classes are the labels found, sorted, at least two, each
    with a readable image. With `class_names` rows of other labels get label -1.

    Raises `UserError` as `read_manifest` does, for a split that is not there, and where no image can be read.
    """
    manifest, split = read_manifest(path), (split and split_of(split)) or split
    there = manifest.split_names
    if split is None and there:
        raise UserError(f"{path} is divided into {', '.join(there)}; name one of them")
    if split is not None and split not in there:
        raise UserError(f"{path} has no {split} split; there are: {', '.join(there) or 'none'}")
    root = os.path.commonpath([os.path.dirname(file) for file in manifest.files])
    own = manifest.rows([row for row, one in enumerate(manifest.splits) if one == (split or "")])
    names = [os.path.relpath(file, root) for file in own.files]
    labels = sorted(set(own.labels) - {""})
    if class_names is None and len(labels) < 2:
        raise UserError(f"{path} has {'one class' if labels else 'no classes'}; at least two labels are needed")

    readable: list[int] = []
    skipped: list[tuple[str, str]] = []
    for row, reason in enumerate(probe_all(Path(root), names)):
        if reason is None:
            readable.append(row)
        else:
            skipped.append((names[row], reason))
    if not readable:
        raise UserError(f"no readable image in {path}: {told(skipped)}")
    found = {own.labels[row] for row in readable}
    if class_names is None and (empty := [label for label in labels if label not in found]):
        broken = [item for item in skipped if own.labels[names.index(item[0])] == empty[0]]
        raise UserError(f"class {empty[0]!r} of {path} has no readable image: {told(broken)}")
    if class_names is None and "" in found:
        row = next(row for row in readable if not own.labels[row])
        raise UserError(f"{path}: {names[row]!r} has no label")

    index = {class_name: label for label, class_name in enumerate(labels if class_names is None else class_names)}
    return ImageSet(
        name=(name or split or Path(path).stem).lower(),
        root=Path(root),
        class_names=tuple(index),
        paths=tuple(names[row] for row in readable),
        labels=np.asarray([index.get(own.labels[row], -1) for row in readable], dtype=np.int32),
        skipped=tuple(skipped),
        label_names=tuple(own.labels[row] for row in readable),
        groups=tuple(own.groups[row] for row in readable) if any(own.groups) else None,
    )


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Where each known column stands, and the number of fields."""
    names = [name.strip().lower() for name in header]
    for column in ("path", "label"):
        if column not in names:
            got = ", ".join(repr(UNPRINTABLE.sub("?", name)[:40]) for name in header[:6]) or "nothing"
            raise UserError(f"{path} is no manifest: its first line has no column {column!r}, it says {got}")
    for column in ("path", "label", "split", "group"):
        if names.count(column) > 1:
            raise UserError(f"{path} has the column {column!r} twice")
    return {name: place for place, name in enumerate(names)} | {"fields": len(names)}


def _field(where: str, name: str, value: str) -> str:
    """A field, checked."""
    if UNPRINTABLE.search(value) or len(value) > (_LONGEST if name == "path" else _LONGEST // 16):
        shown = UNPRINTABLE.sub("?", value)[:60]
        raise UserError(f"{where}: {name} {shown!r} is too long or has control characters")
    if name == "path" and not value:
        raise UserError(f"{where}: the path is empty")
    if name != "split" or not value:
        return value
    split = split_of(value)
    if split is None:
        raise UserError(f"{where}: unknown split {value[:60]!r}; there are: {', '.join(SPLITS)}")
    return split
