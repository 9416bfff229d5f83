"""Train an image classifier, see where it looks on a whole validation set, and be told whether it cheats."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxcam.audit.shown import compare as compare
    from jaxcam.classifier import Classifier as Classifier
    from jaxcam.classifier import load as load
    from jaxcam.training.command import train as train

_LAZY = {
    "Classifier": "jaxcam.classifier",
    "compare": "jaxcam.audit.shown",
    "load": "jaxcam.classifier",
    "train": "jaxcam.training.command",
}
_MODULES = ("attribution", "audit", "config", "data", "maps", "networks", "report", "training", "weights")
__all__ = ["Classifier", "__version__", "compare", "load", "train", *_MODULES]


def __getattr__(name: str):
    """Import parts of the package when they are first used, so that `import jaxcam` is quick."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"jaxcam.{name}")
    raise AttributeError(f"module 'jaxcam' has no attribute {name!r}")
