"""What the files of a map store say: metadata of the group and its arrays, and what a map's flags mean."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcam.errors import UserError

Manifest = Mapping[str, Any]

SIDE_ARRAYS = ("logits", "targets", "scores", "flags")
"""arrays beside the maps, in every group"""
Extra = Mapping[str, tuple[str, tuple[int, ...]]]
"""further arrays beside the maps: type, and shape of one image's values, by name"""
MAP_TYPES = ("float16", "float32")
FILL_VALUES: dict[str, Any] = {"float16": "NaN", "float32": "NaN", "int32": -1, "uint8": 0}
"""what stands where nothing has been computed"""

FLAG_WORDS = {
    1: "map is negative everywhere before ReLU",
    2: "map or gradient is zero everywhere",
    4: "NaN or infinity in the map",
    8: "softmax is saturated",
    16: "values beyond the range that is stored",
    128: "image could not be read",
}
"""bits of `flags`, in words"""


def describe_flags(value: int) -> tuple[str, ...]:
    """The bits that are set in `value`, in words."""
    unknown = value & ~sum(FLAG_WORDS)
    words = tuple(word for bit, word in FLAG_WORDS.items() if value & bit)
    return (*words, f"unknown flag {unknown}") if unknown else words


def layout_of(
    *,
    count: int,
    batch: int,
    methods: Mapping[str, tuple[int, ...]],
    classes: int,
    targets: int,
    dtype: str = "float16",
    extra: Extra | None = None,
) -> dict[str, Any]:
    """The group's `layout` attribute: number of images, rows in a chunk, widths, and the shape of one image's maps.

    `dtype` is the maps' type, `extra` names further arrays.

    Raises ValueError for names and sizes that make no group.
    """
    if min(count, batch, classes, targets) < 1 or not methods:
        raise ValueError(f"got {count=}, {batch=}, {classes=}, {targets=}, {len(methods)} methods; each is at least 1")
    for name, shape in methods.items():
        if not name.isidentifier() or name in SIDE_ARRAYS:
            raise ValueError(f"got method {name!r}; needed is a name like `grad_cam`, none of {SIDE_ARRAYS}")
        if len(shape) not in (2, 3) or min(shape) < 1 or shape[:-2] not in ((), (targets,)):
            raise ValueError(f"got shape {shape} for {name!r}; needed is (h, w) or ({targets}, h, w)")
    if dtype not in MAP_TYPES:
        raise ValueError(f"got dtype {dtype!r}; maps are one of {MAP_TYPES}")
    maps = {name: list(shape) for name, shape in methods.items()}
    layout: dict[str, Any] = {"count": count, "batch": batch, "classes": classes, "targets": targets, "maps": maps}
    # Only what differs from the usual is written.
    layout |= {} if dtype == "float16" else {"dtype": dtype}
    for name, (kind, shape) in (extra or {}).items():
        if not name.isidentifier() or name in (*SIDE_ARRAYS, *methods) or kind not in FILL_VALUES or 0 in shape:
            raise ValueError(f"got an array {name!r} of {kind} and shape {shape}; its type is one of {[*FILL_VALUES]}")
    further = {name: [kind, list(shape)] for name, (kind, shape) in (extra or {}).items()}
    return layout | ({"extra": further} if further else {})


def bytes_of(layout: Mapping[str, Any]) -> int:
    """Size of all arrays before compression."""
    sizes = {name: np.dtype(data["data_type"]).itemsize for name, data in array_metadata(layout).items()}
    return sum(sizes[name] * int(np.prod(shape, dtype=np.int64)) for name, shape in shapes_of(layout).items())


def shapes_of(layout: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every array, maps first; the first axis counts the images."""
    count, targets = layout["count"], layout["targets"]
    shapes: dict[str, tuple[int, ...]] = {name: (count, *tail) for name, tail in layout["maps"].items()}
    shapes |= {"logits": (count, layout["classes"]), "targets": (count, targets), "scores": (count, targets)}
    shapes |= {name: (count, *tail) for name, (_, tail) in layout.get("extra", {}).items()}
    return shapes | {"flags": (count, len(layout["maps"]), targets)}


def array_metadata(layout: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """zarr v3 metadata of every array."""
    extra = layout.get("extra", {})
    kinds = {"logits": "float32", "targets": "int32", "scores": "float32", "flags": "uint8"}
    kinds |= {name: kind for name, (kind, _) in extra.items()}
    names = {"logits": ["class"], "flags": ["method", "target"], "targets": ["target"], "scores": ["target"]}
    grids = _grid_names(layout["maps"])
    metadata = {}
    for name, shape in shapes_of(layout).items():
        data_type = kinds.get(name, layout.get("dtype", "float16"))
        if name in extra:
            tail = _extra_names(name, shape[1:], layout["targets"], grids)
        else:
            tail = names[name] if name in names else ["target"] * (len(shape) - 3) + grids[shape[-2:]]
        # A single byte has no order, and tensorstore leaves the setting out.
        endian = {} if data_type == "uint8" else {"configuration": {"endian": "little"}}
        metadata[name] = {
            "shape": list(shape),
            "data_type": data_type,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [layout["batch"], *shape[1:]]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": FILL_VALUES[data_type],
            "codecs": [
                {"name": "bytes", **endian},
                {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
            ],
            "dimension_names": ["image", *tail],
        }
    return metadata


def _grid_names(maps: Mapping[str, Sequence[int]]) -> dict[tuple[int, ...], list[str]]:
    """Names of rows and columns by grid: xarray wants one size a name, so that each grid has names of its own."""
    first: dict[tuple[int, ...], str] = {}
    for name, tail in maps.items():
        first.setdefault(tuple(tail[-2:]), name)
    alone = len(first) == 1
    return {grid: ["row", "column"] if alone else [f"{name}_row", f"{name}_column"] for grid, name in first.items()}


def _extra_names(
    name: str, tail: tuple[int, ...], targets: int, grids: Mapping[tuple[int, ...], list[str]]
) -> list[str]:
    """Names of an extra array's axes: those of the maps where it has one value a map or a place."""
    if tail == (targets,):
        return ["target"]
    return grids.get(tail, [f"{name}_{axis}" for axis in range(len(tail))])


def group_metadata(manifest: Manifest, layout: Mapping[str, Any], *, complete: bool) -> dict[str, Any]:
    """Content of the group's `zarr.json`; the attributes are the manifest, `layout` and `complete`.

    Raises ValueError where the manifest uses these two names or holds what JSON cannot.
    """
    taken = {"layout", "complete"} & set(manifest)
    if taken:
        raise ValueError(f"got {sorted(taken)} in the manifest; the store writes these itself")
    attributes = {**manifest, "layout": layout, "complete": complete}
    try:
        attributes = json.loads(json.dumps(attributes, allow_nan=False))
    except TypeError as error:
        raise ValueError(f"the manifest holds what JSON cannot: {error}") from error
    # A copy of the arrays' metadata, as zarr-python consolidates it: xarray then opens the group without a warning.
    arrays = {
        name: {"zarr_format": 3, "node_type": "array", "attributes": {}, "storage_transformers": [], **metadata}
        for name, metadata in array_metadata(layout).items()
    }
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    head = {"zarr_format": 3, "node_type": "group"}
    return {**head, "attributes": attributes, "consolidated_metadata": consolidated}


def plain(value: Any) -> bytes:
    """One line of JSON."""
    return (json.dumps(value) + "\n").encode()


def read_group(path: Path) -> dict[str, Any]:
    """Attributes of the group at `path`; raises `UserError` where there is no group of maps."""
    try:
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
        layout_of(
            methods={name: tuple(tail) for name, tail in attributes["layout"]["maps"].items()},
            extra={name: (kind, tuple(tail)) for name, (kind, tail) in attributes["layout"].get("extra", {}).items()},
            **{key: value for key, value in attributes["layout"].items() if key not in ("maps", "extra")},
        )
        bool(attributes["complete"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = "there is no zarr.json" if isinstance(error, OSError) else "its zarr.json is not jaxcam's"
        raise UserError(f"{str(path)!r} holds no maps ({reason}); compute them with `jaxcam explain`") from error
    return attributes


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Every key with another value in `new`, as `key: old -> new`; empty where there is none. `complete` may differ."""
    before, after = _flat(old), _flat(new)
    keys = [key for key in {**before, **after} if key != "complete" and before.get(key) != after.get(key)]
    # "layout.count" need not be said where the manifest's own "count" says the same.
    said = {f"layout.{key}" for key in keys}
    parts = [f"{key}: {_short(before, key)} -> {_short(after, key)}" for key in keys if key not in said]
    orders = [json.dumps(list(attributes["layout"]["maps"])) for attributes in (old, new)]
    if not parts and orders[0] != orders[1]:
        parts = [f"order of methods: {orders[0]} -> {orders[1]}"]
    return ", ".join(parts)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _short(values: Mapping[str, Any], key: str) -> str:
    text = json.dumps(values[key]) if key in values else "nothing"
    return text if len(text) <= 50 else f"{text[:28]}...{text[-19:]}"
