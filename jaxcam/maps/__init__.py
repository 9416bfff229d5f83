"""Maps of whole image sets: computing, storing, reading, drawing.

`run` computes the maps of a set into a run's folder, `open` reads them:

    jaxcam.maps.run("runs/pictures", "pictures/Valid", methods=("grad_cam", "layer_cam"), name="valid")
    maps = jaxcam.maps.open("runs/pictures", "valid")
    maps["grad_cam"][:10]                 # rows are images
    maps.errors().of_class("cat")         # the same for some of the images
"""

from importlib import import_module

_LAZY = {"open": ("reader", "open_maps"), "Maps": ("reader", "Maps"), "Request": ("request", "Request")}
_LAZY |= {"MethodOptions": ("options", "MethodOptions"), "Explanation": ("memory", "Explanation")}
_LAZY |= {"run": ("sets", "run"), "run_set": ("sets", "run_set")}
__all__ = ["Explanation", "Maps", "MethodOptions", "Request", "open", "run", "run_set"]


def __getattr__(name: str):
    """Import parts of the package when they are first used: the help of the command line needs its names only."""
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(f"jaxcam.maps.{module}"), attribute)
    raise AttributeError(f"module 'jaxcam.maps' has no attribute {name!r}")
