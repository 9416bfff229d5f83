"""Keras weight files in HDF5: the old layer-by-layer `.h5` and Keras 3's `.weights.h5`."""

import re
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np

from jaxcam.errors import UserError
from jaxcam.weights.messages import one_line
from jaxcam.weights.rules import UNNAMED

MAX_INFLATION = 16
"""A data set that is not stored plainly may claim this many times the file's size (compressed zeros), not more."""
VARIABLE = re.compile(r"(?:.*/)?vars/\d+")


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """The weights of a Keras HDF5 file, by their names there.

    Legacy files (`layer_names` and `weight_names` attributes, at the root or under `model_weights`) give
    `layer/weight`, such as `block1_conv1/block1_conv1_W_1:0` or `fc1/fc1/kernel:0`. Keras 3's `.weights.h5` gives
    `layers/NAME/vars/0`, where NAME is the layer's name if the file has it and the automatic class name behind a `#`
    (`#conv2d`, `#conv2d_1`, ...) if not. Data that is stored plainly is memory-mapped and read when it is used.

    Raises:
        UserError: if the file is no such file, is broken, or refers to data outside itself.
    """
    try:
        with h5py.File(path, "r") as file:
            nodes = _nodes(file)
            if "layer_names" in file.attrs or "layer_names0" in file.attrs:
                found = _legacy(file, "", nodes)
            elif isinstance(nodes.get("model_weights"), h5py.Group):
                found = _legacy(nodes["model_weights"], "model_weights/", nodes)
            else:
                found = _variables(nodes)
            size = path.stat().st_size
            return {name: _read(dataset, path, size) for name, dataset in found.items()}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UnicodeDecodeError) as error:
        problem = one_line(f"{path}: not a readable Keras HDF5 file ({error}); download or save it again")
        raise UserError(problem) from error


def _nodes(file: h5py.File) -> dict[str, Any]:
    """Every group and data set of this file by path; links to other files and soft links are not followed."""
    nodes: dict[str, Any] = {}
    file.visititems(nodes.__setitem__)
    return nodes


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names in an attribute, or in several (`attribute0`, `attribute1`, ...) when it was too long for one."""
    parts = [attribute]
    if attribute not in group.attrs:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(f"{attribute}{len(parts)}")
    names = [name for part in parts for name in np.atleast_1d(group.attrs[part]).tolist()]
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def _legacy(root: h5py.Group, prefix: str, nodes: dict[str, Any]) -> dict[str, h5py.Dataset]:
    """Layers without weights (input, pooling, flatten) are listed in the file and give nothing here."""
    found: dict[str, h5py.Dataset] = {}
    layers = _names(root, "layer_names")
    if "top_level_model_weights" not in layers and f"{prefix}top_level_model_weights" in nodes:
        layers.append("top_level_model_weights")
    for layer in layers:
        group = nodes.get(f"{prefix}{layer}")
        if not isinstance(group, h5py.Group):
            raise ValueError(f"layer {layer!r} is listed but absent")
        for weight in _names(group, "weight_names"):
            dataset = nodes.get(f"{prefix}{layer}/{weight}")
            if not isinstance(dataset, h5py.Dataset):
                raise ValueError(f"weight {weight!r} of layer {layer!r} is listed but absent")
            found[f"{layer}/{weight}"] = dataset
    return found


def _variables(nodes: dict[str, Any]) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    for path, node in nodes.items():
        if not isinstance(node, h5py.Dataset) or not VARIABLE.fullmatch(path):
            continue
        *parents, automatic, _, number = ("", *path.split("/")) if path.startswith("vars/") else path.split("/")
        real = nodes[path.rpartition("/")[0]].attrs.get("name", f"{UNNAMED}{automatic}" if parents else automatic)
        layer = real.decode("utf-8") if isinstance(real, bytes) else str(real)
        if automatic in ("optimizer", "seed_generator"):  # these have names too (adam), which would hide what they are
            layer = automatic
        name = "/".join((*parents, layer, "vars", number))
        if name in found:
            raise ValueError(f"two layers are called {layer!r}")
        found[name] = node
    if not found:
        raise ValueError("it has neither layer_names nor vars; is it a weight file of Keras?")
    return found


def _read(dataset: h5py.Dataset, path: Path, size: int) -> np.ndarray:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} lies in another file")
    # Keras writes bfloat16 as two opaque bytes and says so in an attribute.
    bfloat16 = dataset.attrs.get("dtype") in ("bfloat16", b"bfloat16") and dataset.dtype.itemsize == 2
    dtype = np.dtype(ml_dtypes.bfloat16) if bfloat16 else dataset.dtype
    if not bfloat16 and dtype.kind not in "fiub":
        raise ValueError(f"{dataset.name} holds {dtype}, not numbers")
    offset = dataset.id.get_offset()
    if offset is not None:
        return np.asarray(np.memmap(path, dtype, mode="r", offset=offset, shape=dataset.shape))
    if dataset.nbytes > MAX_INFLATION * size:
        raise ValueError(f"{dataset.name} claims {dataset.nbytes} bytes in a file of {size}")
    return np.asarray(dataset[()]).view(dtype) if bfloat16 else np.asarray(dataset[()])
