"""From a catalogue entry to parameters."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError
from jaxcam.weights.catalog import DOWNLOADED, WeightEntry, get, imagenet, list_entries
from jaxcam.weights.fetch import fetch
from jaxcam.weights.port import load


def entry_for(name: str, network: str, width: float) -> WeightEntry | None:
    """The entry that `name` means for a network: `mini`, `imagenet` or an entry's name; None: no entry, so a file.

    `width` is the factor on the network's channels. Raises `UserError` where the entry is for another network or
    width, or where there is no such file for this one.
    """
    if name == "imagenet":
        entry = imagenet(network, width)
        if entry is None:
            there = ", ".join(dict.fromkeys(_described(each.network, each.width) for each in DOWNLOADED))
            raise UserError(
                f"there are no ImageNet weights for {_described(network, width)!r}, only for {there}; give one of "
                "these as --network.name, or --network.weights none"
            )
        return entry
    alias = "vgg16_mini" if name == "mini" else name
    entry = next((each for each in list_entries() if each.name == alias), None)
    if entry is None:
        return None
    if entry.network != network:
        raise UserError(f"weights {alias!r} are for {entry.network}, not for {network!r}; change --network.name")
    if width != (entry.width or (1 / 8 if entry.network == "vgg16_mini" else 1.0)):
        raise UserError(
            f"weights {alias!r} are for {_described(network, entry.width or 1.0)!r}, not for width {width:g}; change "
            "--network.width"
        )
    return entry


def _described(network: str, width: float | None) -> str:
    return network if width in (None, 1.0) else f"{network} of width {width:g}"


def load_entry(
    entry: str | WeightEntry,
    template: Mapping[str, Any] | None,
    *,
    cache: str | Path | None = None,
    ignore_top: bool = False,
    ignore: Collection[str] = (),
) -> dict[str, Any]:
    """Fetch an entry's file if need be and port it to `template`; see `fetch.fetch` and `port.port`."""
    entry = get(entry) if isinstance(entry, str) else entry
    path = fetch(entry, cache=cache)
    return load(path, template, network=entry.network, ignore_top=ignore_top, ignore=ignore)
