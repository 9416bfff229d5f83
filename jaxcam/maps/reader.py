"""Reading the maps of a set: lazy arrays by image, class or error, joined with the set's predictions."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from jaxcam.errors import UserError
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.store import MapStore

BLOCK = 256
"""rows read together where an array is walked through"""


@dataclass(frozen=True)
class Table:
    """What a predictions file says of every row."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    """folder of the image: its class, or a name that is none of the classes"""
    predicted: tuple[str, ...]
    """empty where there is no prediction"""
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LazyArray:
    """Rows of one array of a store; nothing is read before it is indexed.

    Indexed along the first axis like a NumPy array (a number, a slice, numbers, a mask), and further axes after it.
    `np.asarray(array)` reads everything.
    """

    store: MapStore
    name: str
    rows: Int[np.ndarray, " n"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, images first."""
        return (len(self.rows), *self.store.shapes[self.name][1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.store.read(self.name, []).dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        first, *rest = index if isinstance(index, tuple) and index else (index,)
        if first is Ellipsis or (isinstance(first, tuple) and not first):
            return self.store.read(self.name, self.rows)[index]
        chosen = self.rows[first]
        if np.ndim(chosen) == 0:
            return self.store.read(self.name, [int(chosen)])[0][tuple(rest)]
        return self.store.read(self.name, np.asarray(chosen))[(slice(None), *rest)]

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def blocks(self, size: int = BLOCK) -> Iterator[Shaped[np.ndarray, "m ..."]]:
        """The rows in order, some at a time."""
        for start in range(0, len(self.rows), size):
            yield self.store.read(self.name, self.rows[start : start + size])

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape} {self.dtype}, read when indexed>"


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of a set, or of some of its images: `maps[name]` are the rows of an array, `keys()` the names.

    Made by `jaxcam.maps.open`. `methods` are the names of the maps; `logits`, `targets`, `scores` and `flags` stand
    beside them. `of_class`, `errors`, `flagged` and `where` choose images and give another `Maps`.
    """

    store: MapStore
    rows: Int[np.ndarray, " n"]
    """rows of the store, in the order of this selection"""
    table: Table | None = None
    names: tuple[str, ...] | None = None
    """the classes' names; None: as the manifest says"""

    def __getitem__(self, name: str) -> LazyArray:
        if name not in self.store.arrays:
            raise KeyError(f"no array {name!r}; there are {', '.join(self.store.arrays)}")
        return LazyArray(self.store, name, self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.store.arrays

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        """Names of the arrays."""
        return iter(self.store.arrays)

    def keys(self) -> tuple[str, ...]:
        """Names of the arrays, so that `dict(maps)` works."""
        return self.store.arrays

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {self[name].shape}" for name in self)
        return f"<maps of {len(self.rows)} images: {arrays}>"

    # What there is

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the maps."""
        return self.store.methods

    @property
    def manifest(self) -> dict[str, Any]:
        """What the maps were made from."""
        return self.store.manifest

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classifier's classes."""
        return tuple(self.manifest.get("classes", ())) if self.names is None else self.names

    def about(self, name: str) -> Mapping[str, Any]:
        """Method, stages and sign of one of `methods`."""
        described = self.manifest.get("maps", {}).get(name)
        return described if described is not None else {"method": name, "signed": name == "cam"}

    @property
    def paths(self) -> tuple[str, ...]:
        """The images' paths, relative to the image folder."""
        return tuple(self._table.paths[row] for row in self.rows.tolist())

    @property
    def label_names(self) -> tuple[str, ...]:
        """The images' own classes (or what else their folders are called)."""
        return tuple(self._table.labels[row] for row in self.rows.tolist())

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Numbers of the images' own classes; -1 where the folder is none of them."""
        return self._numbers(self.label_names)

    @property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """Numbers of the predicted classes; -1 where the image could not be read."""
        return self._numbers(tuple(self._table.predicted[row] for row in self.rows.tolist()))

    @cached_property
    def _table(self) -> Table:
        if self.table is not None:
            return self.table
        raise UserError(
            f"{str(self.store.path)!r} has no table of predictions beside it; `jaxcam explain` writes "
            "predictions/NAME.csv into the run's folder"
        )

    def _numbers(self, names: Sequence[str]) -> Int[np.ndarray, " n"]:
        index = {name: number for number, name in enumerate(self.class_names)}
        return np.array([index.get(name, -1) for name in names], int)

    # Choosing images

    def where(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"] | Sequence[int] | slice) -> "Maps":
        """Some of the images: a mask, or places in this selection, in the order given."""
        places = np.asarray(chosen, int) if isinstance(chosen, list | tuple) else chosen
        return Maps(self.store, self.rows[places], self.table, self.names)

    def of_class(self, name: str, *, predicted: bool = False) -> "Maps":
        """The images of a class, or those taken for it."""
        numbers = self.predicted if predicted else self.labels
        return self.where(numbers == self._class(name))

    def errors(self, of: str | None = None, *, taken_for: str | None = None) -> "Maps":
        """The images predicted wrongly: all, those of one class, those taken for one, or both."""
        labels, predicted = self.labels, self.predicted
        wrong = (labels >= 0) & (predicted >= 0) & (labels != predicted)
        wrong &= (labels == self._class(of)) if of is not None else True
        wrong &= (predicted == self._class(taken_for)) if taken_for is not None else True
        return self.where(wrong)

    def right(self) -> "Maps":
        """The images predicted rightly."""
        labels = self.labels
        return self.where((labels >= 0) & (labels == self.predicted))

    def flagged(self, words: str = "") -> "Maps":
        """The images with a flag; with `words` those whose flag's description holds them ("zero", "saturated")."""
        found = np.zeros(len(self.rows), bool)
        start = 0
        for block in self["flags"].blocks():
            bits = np.bitwise_or.reduce(block.reshape(len(block), -1), axis=1).tolist()
            found[start : start + len(block)] = [any(words in one for one in describe_flags(value)) for value in bits]
            start += len(block)
        return self.where(found)

    def image(self, path: str) -> dict[str, np.ndarray]:
        """Every array's values for one image, by its path (or an ending of it that no other path has)."""
        paths = self.paths
        places = [place for place, one in enumerate(paths) if one == path]
        places = places or [place for place, one in enumerate(paths) if one.endswith(f"/{path}")]
        if len(places) != 1:
            problem = f"{len(places)} images end in" if places else "no image"
            raise UserError(f"{problem} {path!r}; paths look like {paths[0] if paths else '(no images here)'!r}")
        return {name: self[name][places[0]] for name in self}

    def _class(self, name: str) -> int:
        if name not in self.class_names:
            raise UserError(f"unknown class {name!r}; there are: {', '.join(self.class_names)}")
        return self.class_names.index(name)

    # Other readers

    def pixels(self, place: int) -> UInt8[np.ndarray, "h w 3"]:
        """The image at a place of this selection, resized to the network's input; needs the image folder."""
        from jaxcam.data.decode import UnreadableImage, decode
        from jaxcam.preprocessing import Preprocessing

        manifest = self.manifest
        host = Preprocessing(
            size=tuple(manifest["input_size"]),
            resize=manifest.get("resize", "bilinear"),
            fit=manifest.get("fit", "stretch"),
        )
        path = Path(manifest["root"]) / self.paths[place]
        try:
            return decode(path, host)
        except UnreadableImage as error:
            raise UserError(f"{path}: {error.reason}") from error

    def to_xarray(self) -> Any:
        """The store as an `xarray.Dataset` (lazy where dask is installed), with path, label and prediction."""
        import xarray

        data = xarray.open_zarr(self.store.path, consolidated=True, chunks=None).isel(image=self.rows)
        coordinates: dict[str, Any] = {"class": list(self.class_names)}
        if self.table is not None:
            names = np.array([*self.class_names, ""], object)
            coordinates |= {
                "path": ("image", list(self.paths)),
                "label": ("image", list(self.label_names)),
                "predicted": ("image", names[self.predicted].astype(str)),
            }
        return data.assign_coords(coordinates)


def open_maps(where: str | Path, split: str | None = None) -> Maps:
    """The maps of a run's folder (of its only set, or of `split`) or of a store; nothing is read yet.

    >>> maps = open_maps("runs/pictures", "valid")                # doctest: +SKIP
    >>> maps["grad_cam"][0].shape, maps.errors().of_class("cat")  # doctest: +SKIP
    """
    folder = Path(where)
    if (folder / "zarr.json").exists():
        path = folder
    else:
        stores = {path.stem: path for path in sorted((folder / "maps").glob("*.zarr"))}
        if not stores:
            raise UserError(f"no maps in {str(folder)!r}; compute them with `jaxcam explain`")
        if split is None and len(stores) > 1 and "valid" not in stores:
            raise UserError(f"{str(folder)!r} has maps of {', '.join(stores)}; name one")
        name = split or (next(iter(stores)) if len(stores) == 1 else "valid")
        if name not in stores:
            raise UserError(f"no maps of {name!r} in {str(folder)!r}; there are: {', '.join(stores)}")
        path = stores[name]
    store = MapStore.open(path)
    table = path.resolve().parent.parent / "predictions" / f"{path.stem}.csv"
    return Maps(store, np.arange(store.count), read_table(table, store.count) if table.is_file() else None)


def read_table(path: Path, count: int) -> Table | None:
    """A predictions file, if it has as many rows as the store; the probabilities are left out."""
    columns: tuple[list[str], ...] = ([], [], [], [])
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        next(reader, None)
        for row in reader:
            if len(row) < 4:
                return None
            for column, value in zip(columns, (row[0], row[1], row[2], row[-1]), strict=True):
                column.append(value)
    return Table(*(tuple(column) for column in columns)) if len(columns[0]) == count else None
