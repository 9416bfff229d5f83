"""What was found out about files is kept in chunks, so that a scan that was killed goes on where it stopped.

A finding is taken again if the file has the path, size and time it had, and if this version wrote it.
"""

import json
import math
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from jaxcam.data.scan.examine import Findings
from jaxcam.data.scan.inventory import Entry
from jaxcam.data.scan.measures import COLOUR_SIZE, LUMA_SIZE, MEASURES
from jaxcam.files import replacing

VERSION = f"1 pillow {PIL.__version__}"
"""changes with everything that findings depend on"""
CHUNK = 512
SECONDS = 10.0
_PICTURES = ("luma", "colour", "measures")
_PLAIN = tuple(field.name for field in fields(Findings) if field.name not in _PICTURES)


class Cache:
    """A folder of chunks."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._open: list[tuple[Entry, Findings]] = []
        self._number = 0
        self._written = time.monotonic()

    def known(self, entries: Sequence[Entry]) -> Iterator[tuple[int, Findings]]:
        """Position and findings of the entries that are unchanged since they were looked at."""
        places = {(entry.path, entry.size, entry.modified): row for row, entry in enumerate(entries)}
        chunks = sorted(self._folder.glob("*.npz")) if self._folder.is_dir() else []
        for chunk in chunks:
            self._number = max(self._number, int(chunk.stem) + 1 if chunk.stem.isdigit() else 0)
            for key, findings in _read(chunk):
                if (row := places.pop(key, None)) is not None:
                    yield row, findings

    def add(self, entry: Entry, findings: Findings) -> None:
        """Keep the findings of a file; a chunk is written when it is full, or some seconds old."""
        self._open.append((entry, findings))
        if len(self._open) >= CHUNK or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not yet written."""
        if not self._open:
            return
        with replacing(self._folder / f"{self._number:06d}.npz") as file:
            np.savez(file, **_packed(self._open))
        self._number += 1
        self._open, self._written = [], time.monotonic()


def _packed(items: list[tuple[Entry, Findings]]) -> dict[str, Any]:
    lines = []
    for entry, found in items:
        plain = {name: getattr(found, name) for name in _PLAIN}
        plain["quality"] = None if math.isnan(found.quality) else found.quality
        lines.append([entry.path, entry.size, entry.modified, found.luma is not None, plain])
    whole = [found for _, found in items if found.luma is not None]
    return {
        "version": np.array(VERSION),
        "facts": np.frombuffer(json.dumps(lines).encode(), np.uint8),
        "luma": np.array([found.luma for found in whole], np.uint8).reshape(-1, LUMA_SIZE, LUMA_SIZE),
        "colour": np.array([found.colour for found in whole], np.uint8).reshape(-1, COLOUR_SIZE, COLOUR_SIZE, 3),
        "measures": np.array([found.measures for found in whole], np.float32).reshape(-1, len(MEASURES)),
    }


def _read(chunk: Path) -> Iterator[tuple[tuple[str, int, int], Findings]]:
    """The findings of a chunk; none where it is of another version or damaged."""
    try:
        with open(chunk, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["version"]) != VERSION:
                return
            lines = json.loads(arrays["facts"].tobytes())
            luma, colour, measures = arrays["luma"], arrays["colour"], arrays["measures"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return
    row = 0
    for path, size, modified, whole, plain in lines:
        plain["notes"] = tuple(plain["notes"])
        plain["quality"] = math.nan if plain["quality"] is None else plain["quality"]
        found = Findings(**plain)
        if whole:
            found.luma, found.colour, found.measures = luma[row], colour[row], measures[row]
            row += 1
        yield (path, size, modified), found


def clear(folder: Path) -> None:
    """Remove the chunks; files that are not chunks stay."""
    for chunk in folder.glob("*.npz") if folder.is_dir() else []:
        os.unlink(chunk)
