"""From a catalogue entry to parameters."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jaxcam.weights.catalog import WeightEntry, get
from jaxcam.weights.fetch import fetch
from jaxcam.weights.port import load


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
