"""Pretrained weights: what there is, downloading, reading other libraries' files, porting them to jaxcam's networks.

>>> from jaxcam import weights
>>> weights.get("vgg16_keras").licence
'CC BY 4.0'

Names are imported when they are first used; `jaxcam.weights.fetch` is a module, its function `fetch.fetch`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcam.weights.catalog import WeightEntry, class_names, get, list_entries
    from jaxcam.weights.commands import weights_convert, weights_fetch, weights_list
    from jaxcam.weights.port import PortError, load
    from jaxcam.weights.pretrained import entry_for, load_entry
    from jaxcam.weights.readers import read
    from jaxcam.weights.safetensors_files import load_safetensors, save_safetensors

_HOMES = {
    "WeightEntry": "catalog",
    "class_names": "catalog",
    "get": "catalog",
    "list_entries": "catalog",
    "weights_convert": "commands",
    "weights_fetch": "commands",
    "weights_list": "commands",
    "entry_for": "pretrained",
    "load_entry": "pretrained",
    "PortError": "port",
    "load": "port",
    "read": "readers",
    "load_safetensors": "safetensors_files",
    "save_safetensors": "safetensors_files",
}

__all__ = [
    "PortError",
    "WeightEntry",
    "class_names",
    "entry_for",
    "get",
    "list_entries",
    "load",
    "load_entry",
    "load_safetensors",
    "read",
    "save_safetensors",
    "weights_convert",
    "weights_fetch",
    "weights_list",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxcam.weights' has no attribute {name!r}")
    return getattr(import_module(f"jaxcam.weights.{_HOMES[name]}"), name)
