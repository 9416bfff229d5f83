"""Pretrained weights: where each file is, how to know it is the right one, whose it is, and what it expects."""

from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from jaxcam.errors import UserError

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
    url: str | None
    """where it is downloaded from; None: the file lies in this package"""
    file: str
    """name of the file in the cache folder or in this package"""
    checksum: str
    """`sha256:` or `md5:` and the digest, or `sha256-prefix:` and its beginning"""
    bytes: int | None
    """exact size; None where it is not known, then the checksum alone decides"""
    licence: str
    source: str
    """who made the weights and from what"""
    preprocessing: str
    """a convention of `Preprocessing.named`"""
    class_names: str | tuple[str, ...]
    """a list in this package, or the names themselves"""
    input_size: tuple[int, int] = (224, 224)
    """(height, width) that the weights were trained for; the dense top takes no other"""
    top: bool
    """whether the file has the network's dense top"""
    accuracy: str = ""
    """as published or measured, with the set it was measured on"""
    note: str = ""


_VGG = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16"
_KERAS_SOURCE = "Simonyan and Zisserman (Visual Geometry Group, Oxford), ImageNet; converted from Caffe by Keras"

DOWNLOADED = (
    WeightEntry(
        name="vgg16_keras",
        network="vgg16",
        url=f"{_VGG}/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        file="vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        checksum="md5:64373286793e3c8b2b4e3219cbf3544b",
        bytes=553467096,
        licence="CC BY 4.0",
        source=_KERAS_SOURCE,
        preprocessing="keras",
        class_names=IMAGENET,
        top=True,
        accuracy="71.3 % top-1, 90.1 % top-5 on ImageNet's validation set (published by Keras)",
    ),
    WeightEntry(
        name="vgg16_keras_notop",
        network="vgg16",
        url=f"{_VGG}/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        checksum="md5:6d6bbae143d832006294945121d1f1fc",
        bytes=58889256,
        licence="CC BY 4.0",
        source=_KERAS_SOURCE,
        preprocessing="keras",
        class_names=IMAGENET,
        top=False,
        note="the convolutions of vgg16_keras, for a head of your own",
    ),
    WeightEntry(
        name="vgg16_torchvision",
        network="vgg16",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        file="vgg16-397923af.pth",
        checksum="sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        bytes=553433881,
        licence="BSD-3-Clause",
        source="torchvision (IMAGENET1K_V1), trained on ImageNet",
        preprocessing="torchvision",
        class_names=IMAGENET,
        top=True,
        accuracy="71.592 % top-1, 90.382 % top-5 on ImageNet's validation set (published by torchvision)",
    ),
    WeightEntry(
        name="vgg16_timm",
        network="vgg16",
        url="https://huggingface.co/timm/vgg16.tv_in1k/resolve/b8d8aa2dd860af9233c8c67385a8097fd6c35d3f/model.safetensors",
        file="vgg16.tv_in1k.safetensors",
        checksum="sha256:57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        bytes=None,
        licence="BSD-3-Clause",
        source="timm (vgg16.tv_in1k), torchvision's weights in another layout",
        preprocessing="torchvision",
        class_names=IMAGENET,
        top=True,
        accuracy="as vgg16_torchvision",
    ),
)

PACKAGED = (
    WeightEntry(
        name="vgg16_mini",
        network="vgg16_mini",
        url=None,
        file="vgg16_mini.safetensors",
        checksum="sha256:55bde7522591cb1513907e9c0de1f9c61c3a39cc30ecbbeeab7f6d599a0486fa",
        bytes=924688,
        licence="Apache-2.0",
        source="this project: configs/mini_pretraining.py, 111 000 drawn pictures of 111 classes at 64x64",
        preprocessing="tf",
        class_names=DRAWN,
        input_size=(64, 64),
        top=False,
        accuracy="81.8 % of 4 440 other drawn pictures (111 classes, 64x64)",
        note="the convolutions of a VGG16 of 1/8 the width, for a head of your own; no network is needed",
    ),
)
"""Weights that come with jaxcam, so that it works without a network; a test checks each file against its entry."""


def list_entries() -> tuple[WeightEntry, ...]:
    """All entries, the packaged ones first."""
    return (*PACKAGED, *DOWNLOADED)


def get(name: str) -> WeightEntry:
    """The entry of that name; a `UserError` lists the names there are."""
    for entry in list_entries():
        if entry.name == name:
            return entry
    raise UserError(f"unknown weights {name!r}; there are: {', '.join(entry.name for entry in list_entries())}")


def class_names(entry: WeightEntry) -> tuple[str, ...]:
    """The classes in the order of the network's logits."""
    return _packaged_list(entry.class_names) if isinstance(entry.class_names, str) else entry.class_names


@cache
def _packaged_list(file: str) -> tuple[str, ...]:
    return tuple(files("jaxcam.weights").joinpath(file).read_text(encoding="utf-8").splitlines())


def packaged_path(entry: WeightEntry) -> Path:
    """Where a packaged entry's file lies; `ValueError` for a downloaded one."""
    if entry.url is not None:
        raise ValueError(f"{entry.name} is downloaded, not packaged")
    with as_file(files("jaxcam.weights").joinpath(entry.file)) as path:
        return path


def provenance(entry: WeightEntry) -> dict[str, str]:
    """The entry's text fields, for the metadata of a converted file and for a run's record."""
    texts = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {name: value for name, value in texts.items() if isinstance(value, str) and value}
