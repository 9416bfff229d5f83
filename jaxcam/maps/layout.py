"""What the files of a map store say: metadata of the group and its arrays, and what a map's flags mean."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError

Manifest = Mapping[str, Any]

SIDE_ARRAYS = ("logits", "targets", "scores", "flags")
"""arrays beside the maps"""

FLAG_WORDS = {
    1: "map is negative everywhere before ReLU",
    2: "map or gradient is zero everywhere",
    4: "NaN or infinity in the map",
    8: "softmax is saturated",
    16: "values beyond float16",
    128: "image could not be read",
}
"""bits of `flags`, in words"""


def describe_flags(value: int) -> tuple[str, ...]:
    """The bits that are set in `value`, in words."""
    unknown = value & ~sum(FLAG_WORDS)
    words = tuple(word for bit, word in FLAG_WORDS.items() if value & bit)
    return (*words, f"unknown flag {unknown}") if unknown else words


def layout_of(
    *, count: int, batch: int, methods: Mapping[str, tuple[int, ...]], classes: int, targets: int
) -> dict[str, Any]:
    """The group's `layout` attribute: number of images, rows in a chunk, widths, and the shape of one image's maps.

    Raises ValueError for names and sizes that make no group.
    """
    if min(count, batch, classes, targets) < 1 or not methods:
        raise ValueError(f"got {count=}, {batch=}, {classes=}, {targets=}, {len(methods)} methods; each is at least 1")
    for name, shape in methods.items():
        if not name.isidentifier() or name in SIDE_ARRAYS:
            raise ValueError(f"got method {name!r}; needed is a name like `grad_cam`, none of {SIDE_ARRAYS}")
        if len(shape) not in (2, 3) or min(shape) < 1 or shape[:-2] not in ((), (targets,)):
            raise ValueError(f"got shape {shape} for {name!r}; needed is (h, w) or ({targets}, h, w)")
    maps = {name: list(shape) for name, shape in methods.items()}
    return {"count": count, "batch": batch, "classes": classes, "targets": targets, "maps": maps}


def shapes_of(layout: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every array, maps first; the first axis counts the images."""
    count, targets = layout["count"], layout["targets"]
    shapes = {name: (count, *tail) for name, tail in layout["maps"].items()}
    shapes |= {"logits": (count, layout["classes"]), "targets": (count, targets), "scores": (count, targets)}
    return shapes | {"flags": (count, len(layout["maps"]), targets)}


def array_metadata(layout: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """zarr v3 metadata of every array."""
    same_grid = len({tuple(tail[-2:]) for tail in layout["maps"].values()}) == 1
    kinds = {
        "logits": ("float32", "NaN"),
        "targets": ("int32", -1),
        "scores": ("float32", "NaN"),
        "flags": ("uint8", 0),
    }
    names = {"logits": ["class"], "targets": ["target"], "scores": ["target"], "flags": ["method", "target"]}
    metadata = {}
    for name, shape in shapes_of(layout).items():
        data_type, fill = kinds.get(name, ("float16", "NaN"))
        # xarray wants one size a dimension name: methods on different grids get names of their own.
        grid = ["row", "column"] if same_grid else [f"{name}_row", f"{name}_column"]
        tail = names[name] if name in SIDE_ARRAYS else (["target", *grid] if len(shape) == 4 else grid)
        # A single byte has no order, and tensorstore leaves the setting out.
        endian = {} if data_type == "uint8" else {"configuration": {"endian": "little"}}
        metadata[name] = {
            "shape": list(shape),
            "data_type": data_type,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [layout["batch"], *shape[1:]]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": fill,
            "codecs": [
                {"name": "bytes", **endian},
                {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
            ],
            "dimension_names": ["image", *tail],
        }
    return metadata


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
            **{key: value for key, value in attributes["layout"].items() if key != "maps"},
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
