"""The scan of a data set: what is broken, odd, there twice, or tells the classes apart by itself.

`scan` looks at a folder or a manifest; `near_duplicates`, `thumbnail_properties` and, in the module of that name,
`properties` take arrays. Names are imported when they are first used: the scan's processes need few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcam.data.scan.duplicates import near_duplicates as near_duplicates
    from jaxcam.data.scan.properties import Property as Property
    from jaxcam.data.scan.properties import thumbnail_properties as thumbnail_properties
    from jaxcam.data.scan.quarantine import restore as restore
    from jaxcam.data.scan.run import Scan as Scan
    from jaxcam.data.scan.run import scan as scan

_LAZY = {
    "Property": "properties",
    "Scan": "run",
    "near_duplicates": "duplicates",
    "restore": "quarantine",
    "scan": "run",
    "thumbnail_properties": "properties",
}
__all__ = ["Property", "Scan", "near_duplicates", "restore", "scan", "thumbnail_properties"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"jaxcam.data.scan.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'jaxcam.data.scan' has no attribute {name!r}")
