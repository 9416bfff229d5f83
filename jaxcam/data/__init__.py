"""Images in: folders, decoding, batches, and data sets that are drawn.

Names are imported when they are first used: the processes of `jaxcam data scan` need none of them, nor JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcam.data.folder import find_splits as find_splits
    from jaxcam.data.folder import load_folder as load_folder
    from jaxcam.data.folder import load_split as load_split
    from jaxcam.data.images import ImageSet as ImageSet
    from jaxcam.data.sets import load_set as load_set
    from jaxcam.data.sets import splits_of as splits_of

_LAZY = {
    "ImageSet": "jaxcam.data.images",
    "find_splits": "jaxcam.data.folder",
    "load_folder": "jaxcam.data.folder",
    "load_set": "jaxcam.data.sets",
    "load_split": "jaxcam.data.folder",
    "splits_of": "jaxcam.data.sets",
}
__all__ = ["ImageSet", "find_splits", "load_folder", "load_set", "load_split", "splits_of"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'jaxcam.data' has no attribute {name!r}")
