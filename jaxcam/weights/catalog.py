"""Pretrained weights: where each file is, how to know it is the right one, whose it is, and what it expects."""

from dataclasses import fields
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from jaxcam.errors import UserError
from jaxcam.weights.downloads import DOWNLOADED
from jaxcam.weights.entry import DRAWN, IMAGENET, WeightEntry

__all__ = [
    "DOWNLOADED",
    "IMAGENET",
    "PACKAGED",
    "WeightEntry",
    "class_names",
    "get",
    "imagenet",
    "list_entries",
    "packaged_path",
    "provenance",
]

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


def imagenet(network: str, width: float | None = None) -> WeightEntry | None:
    """What `weights=imagenet` means for a network: the convolutions alone where such a file is published."""
    fitting = [entry for entry in DOWNLOADED if entry.network == network and (entry.width or 1.0) == (width or 1.0)]
    return min(fitting, key=lambda entry: entry.top, default=None)


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
