"""Train an image classifier, see where it looks on a whole validation set, and be told whether it cheats."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxcam.classifier import Classifier as Classifier
    from jaxcam.classifier import load as load

_LAZY = {"Classifier": "jaxcam.classifier", "load": "jaxcam.classifier"}
_MODULES = ("attribution", "data", "maps", "networks", "report", "training", "weights")
__all__ = ["Classifier", "__version__", "load", *_MODULES]


def __getattr__(name: str):
    """Import parts of the package when they are first used, so that `import jaxcam` is quick."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"jaxcam.{name}")
    raise AttributeError(f"module 'jaxcam' has no attribute {name!r}")
