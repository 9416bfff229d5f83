"""`jaxcam weights list`, `fetch` and `convert`."""

from pathlib import Path
from typing import Annotated

import tyro


def show() -> None:
    """The pretrained weights there are, their licences, and whether they are here.

    Example: jaxcam weights list
    """
    from jaxcam.weights import weights_list

    print(weights_list())


def fetch(name: Annotated[str, tyro.conf.Positional]) -> None:
    """Download an entry's file and check it; nothing is done where it is here already.

    Example: jaxcam weights fetch vgg16_keras_notop

    Args:
        name: the entry's name, as `jaxcam weights list` shows it
    """
    from jaxcam.weights import weights_fetch

    print(weights_fetch(name))


def convert(
    source: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    *,
    network: str = "vgg16",
    ignore_top: bool = False,
) -> None:
    """Port a Keras, PyTorch or safetensors file to jaxcam's names, as safetensors.

    Example: jaxcam weights convert vgg16.pth vgg16.safetensors

    Args:
        source: the file to read
        out: the file to write
        network: architecture that the file is for
        ignore_top: leave the dense top out
    """
    from jaxcam.weights import weights_convert

    print(weights_convert(source, out, network=network, ignore_top=ignore_top))
