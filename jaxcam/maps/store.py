"""Heatmaps of a whole image set on disk: a zarr v3 group, written batch by batch, resumable, readable by other tools.

A group holds one array a method plus `logits`, `targets`, `scores` and `flags`; row i of every array is image i. One
chunk is one batch, so that a process writes whole chunks and no two processes share a file. While a group is being
written `done.jsonl` lists the batches that are safely on disk; `finish` removes it, so that an interrupted and resumed
run leaves the same bytes as an uninterrupted one. Readers of zarr v3 open the group (zarr-python, xarray, napari).
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from jaxtyping import Shaped

from jaxcam.errors import UserError
from jaxcam.files import replace_file
from jaxcam.maps.layout import (
    Extra,
    Manifest,
    array_metadata,
    changes,
    group_metadata,
    layout_of,
    plain,
    read_group,
    shapes_of,
)

LEDGER = "done"
Rows = slice | list[int] | np.ndarray


class MapStore:
    """A group of maps; made by `create`, `resume` or `open`, not by its constructor.

    `write` starts a batch, waits for the one before it and enters that one in the ledger; `finish` ends the run. The
    store is a context manager: leaving it waits for the last batch, but does not call `finish`.
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any], *, writable: bool, process: int) -> None:
        self.path = path
        self._attributes = dict(attributes)
        self._writable = writable
        self._ledger = path / (f"{LEDGER}.jsonl" if process == 0 else f"{LEDGER}-{process}.jsonl")
        self._pending: tuple[int, list[Any]] | None = None
        self._handles: dict[str, Any] = {}
        self._done = set(range(self.batches)) if self.complete else _read_ledgers(path, self.batches)

    # Making and opening

    @classmethod
    def create(
        cls,
        path: str | Path,
        manifest: Manifest,
        *,
        count: int,
        batch: int,
        methods: Mapping[str, tuple[int, ...]],
        classes: int,
        targets: int,
        dtype: str = "float16",
        extra: Extra | None = None,
        overwrite: bool = False,
    ) -> "MapStore":
        """Make an empty group for `count` images.

        `manifest` holds JSON values and becomes the group's attributes. `methods` names the map arrays with the shape
        of one image's maps, (h, w) or (t, h, w); they are `dtype`. `classes` is the width of `logits`, `targets` that
        of `targets` and `scores`; `extra` names further arrays with the type and shape of one image's values. Not
        computed is NaN in floats, -1 in whole numbers, 0 in `flags`. Of several processes one creates, the others
        `resume` afterwards. Raises `UserError` where something else than a half-made group is in the way; `overwrite`
        replaces an earlier group, but nothing that is not a group of maps.
        """
        path = Path(path)
        sizes: dict[str, Any] = {"count": count, "batch": batch, "methods": methods, "classes": classes}
        layout = layout_of(**sizes, targets=targets, dtype=dtype, extra=extra)
        attributes = group_metadata(manifest, layout, complete=False)["attributes"]
        if path.exists():
            if not _looks_like_maps(path):
                raise UserError(f"{str(path)!r} exists and holds no maps of jaxcam; choose another --name or remove it")
            if not overwrite and (path / "zarr.json").exists():
                raise UserError(
                    f"{str(path)!r} exists; continue it, replace it with --overwrite or choose another --name"
                )
            _remove(path)
        path.mkdir(parents=True)
        arrays = array_metadata(layout)
        opened = {name: tensorstore.open(_spec(path / name, data), create=True) for name, data in arrays.items()}
        for future in opened.values():
            future.result()
        (path / f"{LEDGER}.jsonl").touch()
        # The group's own file comes last: a folder without it was killed while it was made.
        replace_file(path / "zarr.json", plain(group_metadata(manifest, layout, complete=False)))
        return cls(path, attributes, writable=True, process=0)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        manifest: Manifest,
        *,
        count: int,
        batch: int,
        methods: Mapping[str, tuple[int, ...]],
        classes: int,
        targets: int,
        dtype: str = "float16",
        extra: Extra | None = None,
        process: int = 0,
    ) -> "MapStore":
        """Continue the group at `path`, or create it where there is none (or one that was killed while it was made).

        The arguments are those of `create`. `process` is this process' number; each has a ledger of its own. Raises
        `UserError` that names every differing key where the group was made with another manifest or layout.
        """
        path = Path(path)
        sizes: dict[str, Any] = {"count": count, "batch": batch, "methods": methods, "classes": classes}
        sizes |= {"targets": targets, "dtype": dtype, "extra": extra}
        stored = cls.check(path, manifest, **sizes)
        if stored is None:
            return cls.create(path, manifest, **sizes)
        if not all((path / name / "zarr.json").is_file() for name in shapes_of(stored["layout"])):
            return cls.create(path, manifest, **sizes, overwrite=True)
        store = cls(path, stored, writable=not stored["complete"], process=process)
        if store.complete:
            _remove_ledgers(path)  # killed inside `finish`, after the group was marked
        else:
            _cut_torn_line(store._ledger)
        return store

    @staticmethod
    def check(path: str | Path, manifest: Manifest, **sizes: Any) -> dict[str, Any] | None:
        """The attributes of the group at `path`, None where there is none; changes nothing on disk.

        The arguments are those of `create`; raises `UserError` that names every key that differs from them.
        """
        path = Path(path)
        layout = layout_of(**sizes)
        if not (path / "zarr.json").exists():
            return None
        wanted, stored = group_metadata(manifest, layout, complete=False)["attributes"], read_group(path)
        differing = changes(stored, wanted)
        if differing:
            raise UserError(
                f"{str(path)!r} was computed with other settings ({differing}); "
                "use the old settings, replace the maps with --overwrite or choose another --name"
            )
        return stored

    @classmethod
    def open(cls, path: str | Path) -> "MapStore":
        """Open a group for reading; raises `UserError` where there is none. Nothing on disk is changed."""
        path = Path(path)
        return cls(path, read_group(path), writable=False, process=0)

    # What there is

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest that the group was made with."""
        return {key: value for key, value in self._attributes.items() if key not in ("layout", "complete")}

    @property
    def complete(self) -> bool:
        """Whether `finish` has run."""
        return bool(self._attributes["complete"])

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array, by name; the first axis counts the images."""
        return shapes_of(self._attributes["layout"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of all arrays: the methods, then `logits`, `targets`, `scores`, `flags`."""
        return tuple(self.shapes)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the map arrays, in the order of the method axis of `flags`."""
        return tuple(self._attributes["layout"]["maps"])

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self._attributes["layout"]["count"])

    @property
    def batch(self) -> int:
        """Rows in a chunk."""
        return int(self._attributes["layout"]["batch"])

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-self.count // self.batch)

    @property
    def missing(self) -> tuple[int, ...]:
        """Batches that are not yet safely on disk, ascending."""
        return tuple(index for index in range(self.batches) if index not in self._done)

    def rows(self, batch_index: int) -> slice:
        """Rows of a batch."""
        if not 0 <= batch_index < self.batches:
            raise ValueError(f"got batch {batch_index}; there are {self.batches}, counted from 0")
        return slice(batch_index * self.batch, min((batch_index + 1) * self.batch, self.count))

    def read(self, name: str, rows: Rows | None = None) -> Shaped[np.ndarray, "n ..."]:
        """Rows of an array (all when `rows` is None), reading only the chunks that hold them.

        `rows` is anything that indexes a NumPy axis and keeps it. Raises ValueError for an unknown array, IndexError
        for a row that is not there and `UserError` for a damaged chunk.
        """
        if name not in self.shapes:
            raise ValueError(f"got array {name!r}; there are {', '.join(self.arrays)}")
        index = np.arange(self.count)[slice(None) if rows is None else rows]
        if not index.size:
            return np.empty((0, *self.shapes[name][1:]), self._handle(name).dtype.numpy_dtype)
        first, last = int(index[0]), int(index[-1])
        together = len(index) == last - first + 1 and bool((np.diff(index) == 1).all())
        try:
            return np.asarray(self._handle(name)[slice(first, last + 1) if together else index].read().result())
        except ValueError as error:
            reason = str(error).split("[")[0].strip()
            raise UserError(
                f"{str(self.path / name)!r} cannot be read ({reason}); recompute with --overwrite"
            ) from error

    # Writing

    def write(self, batch_index: int, arrays: Mapping[str, Any]) -> None:
        """Start to write one batch of every array, then wait for the batch before it and enter that in the ledger.

        `arrays` has all of the store's names; an array's first axis is the batch's rows, or the full batch with padding
        at the end, which is left out. Floats beyond float16 become infinite (flag 16 tells). The arrays may be changed
        after the call. Raises ValueError for wrong names, shapes or whole numbers that do not fit.
        """
        if not self._writable:
            raise ValueError(f"{str(self.path)!r} is complete or open for reading only")
        if set(arrays) != set(self.arrays):
            raise ValueError(f"got arrays {sorted(arrays)}; needed are {sorted(self.arrays)}")
        rows = self.rows(batch_index)
        futures = []
        for name, values in arrays.items():
            handle = self._handle(name)
            values = self._fit(name, np.asarray(values), rows, handle.dtype.numpy_dtype)
            futures.append(handle[rows].write(values, can_reference_source_data_indefinitely=True))
        self.flush()
        self._pending = batch_index, futures

    def flush(self) -> None:
        """Wait for the batch under way and enter it in the ledger."""
        if self._pending is None:
            return
        (index, futures), self._pending = self._pending, None
        for future in futures:
            future.result()
        with open(self._ledger, "ab") as file:
            file.write(plain({"batch": index}))
            file.flush()
            os.fsync(file.fileno())
        self._done.add(index)

    def finish(self) -> None:
        """Wait, mark the group complete and remove the ledgers; of several processes the first one, after the others.

        Raises ValueError while batches are missing.
        """
        self.flush()
        if self.complete:
            return
        self._done |= _read_ledgers(self.path, self.batches)
        if self.missing:
            raise ValueError(f"{len(self.missing)} of {self.batches} batches are missing, first {self.missing[:5]}")
        for leftover in self.path.glob("*/*.__lock"):
            leftover.unlink()  # of writers that were killed
        self._attributes["complete"], self._writable = True, False
        replace_file(
            self.path / "zarr.json", plain(group_metadata(self.manifest, self._attributes["layout"], complete=True))
        )
        _remove_ledgers(self.path)

    def __enter__(self) -> "MapStore":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.flush()

    def _handle(self, name: str) -> Any:
        if name not in self._handles:
            try:
                self._handles[name] = tensorstore.open(_spec(self.path / name), open=True).result()
            except ValueError as error:
                raise UserError(
                    f"{str(self.path / name)!r} is missing or damaged; recompute with --overwrite"
                ) from error
        return self._handles[name]

    def _fit(self, name: str, values: np.ndarray, rows: slice, dtype: np.dtype) -> np.ndarray:
        """Values without padding, copied, in the array's type."""
        real, tail = rows.stop - rows.start, self.shapes[name][1:]
        if values.shape not in ((real, *tail), (self.batch, *tail)):
            raise ValueError(f"got shape {values.shape} for {name!r}; needed is {(real, *tail)}")
        with np.errstate(over="ignore"):
            fitted = np.array(values[:real], dtype=dtype, order="C")
        if dtype.kind in "iu" and not np.array_equal(fitted, values[:real]):
            raise ValueError(f"values of {name!r} do not fit into {dtype}")
        return fitted


def _spec(path: Path, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return spec if metadata is None else {**spec, "metadata": dict(metadata)}


def _read_ledgers(path: Path, batches: int) -> set[int]:
    done = set()
    for ledger in path.glob(f"{LEDGER}*.jsonl"):
        for line in ledger.read_bytes().split(b"\n")[:-1]:  # what follows the last newline was torn off
            try:
                index = json.loads(line)["batch"]
            except (ValueError, KeyError, TypeError):
                continue  # an unreadable entry means that its batch is computed again
            if isinstance(index, int) and 0 <= index < batches:
                done.add(index)
    return done


def _cut_torn_line(ledger: Path) -> None:
    if ledger.exists():
        content = ledger.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(ledger, content.rfind(b"\n") + 1)


def _remove_ledgers(path: Path) -> None:
    for ledger in path.glob(f"{LEDGER}*.jsonl"):
        ledger.unlink(missing_ok=True)


def _looks_like_maps(path: Path) -> bool:
    """Whether a folder is a group of maps, whole or half made, and so may be replaced."""
    if not path.is_dir():
        return False
    if (path / "zarr.json").exists():
        try:
            read_group(path)
        except UserError:
            return False
        return True
    own = [p for p in path.iterdir() if not (p.name.startswith((f"{LEDGER}.", f"{LEDGER}-", ".zarr.json")))]
    return all(p.is_dir() and all(q.name.startswith(("zarr.json", "c.")) for q in p.iterdir()) for p in own)


def _remove(path: Path) -> None:
    (path / "zarr.json").unlink(missing_ok=True)  # first: what a kill leaves behind is then a half-made group
    shutil.rmtree(path)
