"""Safetensors files: jaxcam's own format for weights, and timm's."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxcam.errors import UserError
from jaxcam.weights.messages import one_line

METADATA_KEY = "jaxcam"


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.safetensors` file by name, bfloat16 included; `UserError` if it is broken."""
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(one_line(f"{path}: not a readable safetensors file ({error}); copy it again")) from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """What `save_safetensors` was given as `metadata`, or the text fields that another program wrote."""
    try:
        with safe_open(path, framework="np") as file:
            fields = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(one_line(f"{path}: not a readable safetensors file ({error}); copy it again")) from error
    if METADATA_KEY not in fields:
        return fields
    try:
        own = json.loads(fields[METADATA_KEY])
    except ValueError:
        own = None
    if not isinstance(own, dict):
        raise UserError(f"{path}: its jaxcam metadata is broken; make the file again")
    return {str(key): str(value) for key, value in own.items()}


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary of parameters by path: `{"fc1": {"kernel": k}}` gives `{"fc1/kernel": k}`."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}/"))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    params: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return params


def save_safetensors(path: str | Path, params: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write parameters (nested dictionary of arrays) with text metadata; the same input gives the same bytes.

    Tensors are named `stage/kernel`. The file appears whole or not at all.
    """
    path = Path(path)
    # The library writes the bytes from a tensor's address on: a transposed view would be written wrongly.
    tensors = {name: np.asarray(value, order="C") for name, value in flatten(params).items()}
    # One field only: the library writes several in random order, and the file's checksum would vary.
    fields = {METADATA_KEY: json.dumps(dict(metadata or {}), sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=fields)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_safetensors(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """`(params, metadata)` as they were given to `save_safetensors`, without a network to compare with."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return nest(read_safetensors(path)), read_metadata(path)
