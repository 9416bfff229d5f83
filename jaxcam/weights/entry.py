"""What the catalogue says of a weight file."""

from dataclasses import dataclass

IMAGENET = "imagenet_classes.txt"
"""1000 names, one a line, in the order of Keras and torchvision (sorted WordNet ids); torchvision's names, which unlike
Keras' are unique (`crane bird` and `crane`, `maillot` and `maillot tank suit`)."""

DRAWN = "drawn_classes.txt"
"""the classes of `jaxcam.data.drawn`, in its order"""


@dataclass(frozen=True, kw_only=True)
class WeightEntry:
    """One weight file. Without its preprocessing and class names a weight file is half a weight file."""

    name: str
    """what the user types"""
    network: str
    """name in the catalogue of networks and of porting rules"""
    width: float | None = None
    """factor on the number of channels; None: the network's own"""
    url: str | None
    """where it is downloaded from; None: the file lies in this package"""
    file: str
    """name of the file in the cache folder or in this package"""
    checksum: str
    """`sha256:` or `md5:` and the digest, or `sha256-prefix:` and its beginning; empty where nobody publishes one"""
    bytes: int | None = None
    """exact size; None where it is not known, then the checksum alone decides"""
    licence: str
    source: str
    """who made the weights and from what"""
    preprocessing: str
    """a convention of `Preprocessing.named`"""
    class_names: str | tuple[str, ...] = IMAGENET
    """a list in this package, or the names themselves"""
    input_size: tuple[int, int] = (224, 224)
    """(height, width) that the weights were trained for; VGG's dense top takes no other"""
    top: bool
    """whether the file has the network's dense top"""
    accuracy: str = ""
    """as published or measured, with the set it was measured on"""
    note: str = ""
