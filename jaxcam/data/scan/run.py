"""The scan of a data set: every file looked at, duplicates grouped, classes counted, warnings given."""

import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from jaxcam.data.scan import duplicates, hashes, pool
from jaxcam.data.scan.cache import Cache
from jaxcam.data.scan.examine import Findings
from jaxcam.data.scan.groups import Group, Scenes, find_groups, look_alikes
from jaxcam.data.scan.inventory import Entry, Inventory, list_set
from jaxcam.data.scan.measures import COLOUR_SIZE, LUMA_SIZE, MEASURES
from jaxcam.data.scan.properties import Property, properties, thumbnail_properties
from jaxcam.errors import UserError
from jaxcam.progress import Progress


@dataclass(frozen=True, eq=False)
class Scan:
    """What is known of a data set; rows are the inventory's entries."""

    inventory: Inventory
    findings: tuple[Findings, ...]
    measures: Float32[np.ndarray, "n m"]
    """`measures.MEASURES` of every row, NaN where there are none"""
    colour: UInt8[np.ndarray, "n 16 16 3"]
    """coarse thumbnails, black where there are none"""
    groups: tuple[Group, ...]
    """duplicates, those that cross classes and splits first"""
    scenes: Scenes
    properties: tuple[Property, ...]
    seconds: float
    reused: int
    """files whose findings were taken from an earlier scan"""

    @property
    def good(self) -> Int64[np.ndarray, " g"]:
        """Rows of the pictures that can be used and are in a class folder (or in a set without classes)."""
        rows = [row for row, found in enumerate(self.findings) if found.pixels and not self.entries[row].listed]
        return np.array(rows, np.int64)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The files."""
        return self.inventory.entries

    @property
    def unusable(self) -> list[int]:
        """Rows of the files that cannot be used."""
        return [row for row, found in enumerate(self.findings) if found.reason]

    def group_of_row(self) -> Int64[np.ndarray, " n"]:
        """The number of each row's group of duplicates, -1 for none."""
        numbers = np.full(len(self.entries), -1, np.int64)
        for number, group in enumerate(self.groups):
            numbers[list(group.rows)] = number
        return numbers


def scan(
    source: str | os.PathLike,
    *,
    cache: Path | None = None,
    leave_out: Path | None = None,
    workers: int | None = None,
    seconds: float = pool.SECONDS,
    progress: Progress | None = None,
) -> Scan:
    """Look at every file of a folder or a manifest; nothing of it is changed.

    Every file is decoded to its last pixel in one of `workers` processes (default: all cores), each of which may take
    at most `pool.SPARE_MEMORY` and `seconds` for one file. `cache` is a folder in which findings are kept while the
    scan goes on and for the next one; `leave_out` a folder below the source that is passed over.

    Raises `UserError` where there is nothing to look at.
    """
    started = time.monotonic()
    progress = progress or Progress(quiet=True)
    if seconds <= 0 or (workers is not None and workers < 1):
        raise UserError(f"got seconds {seconds} and workers {workers}; both must be above 0")
    inventory = list_set(source, leave_out=leave_out)
    entries = inventory.entries
    with tempfile.TemporaryDirectory(prefix="jaxcam-scan-") as scratch:
        shape = (len(entries), LUMA_SIZE, LUMA_SIZE)
        luma = np.memmap(Path(scratch) / "luma", np.uint8, "w+", shape=shape)
        findings, measures, colour, reused = _examine(inventory, luma, cache, workers, seconds, progress)
        good = np.array([row for row, found in enumerate(findings) if found.pixels], np.int64)
        progress.say(f"{len(entries)} files looked at, {len(good)} pictures; now duplicates")
        values = hashes.hashes(luma[good]) if len(good) < 50_000 else _hashes_in_parts(luma, good)
        pairs = duplicates.candidates(values)
        pairs = duplicates.Pairs(good[pairs.first], good[pairs.second], pairs.view, pairs.likeness, pairs.difference)
        pairs = duplicates.compare(luma, pairs, colour)
        del luma
    groups = find_groups(entries, findings, pairs)
    labelled = [entry.label for entry in entries]
    names, labels = _labels(entries, findings)
    scenes = look_alikes(pairs, labelled, good)
    found = _properties(entries, findings, measures, colour, names, labels, groups)
    return Scan(
        inventory, tuple(findings), measures, colour, tuple(groups), scenes, tuple(found),
        time.monotonic() - started, reused,
    )  # fmt: skip


def _examine(
    inventory: Inventory,
    luma: UInt8[np.ndarray, "n 64 64"],
    cache: Path | None,
    workers: int | None,
    seconds: float,
    progress: Progress,
) -> tuple[list[Findings], Float32[np.ndarray, "n m"], UInt8[np.ndarray, "n 16 16 3"], int]:
    """Findings of every entry; the thumbnails go into arrays, not to fill the memory twice."""
    entries = inventory.entries
    findings = [Findings(entry.reason, entry.problem, entry.notes) for entry in entries]
    measures = np.full((len(entries), len(MEASURES)), np.nan, np.float32)
    colour = np.zeros((len(entries), COLOUR_SIZE, COLOUR_SIZE, 3), np.uint8)

    def keep(row: int, found: Findings) -> None:
        if found.luma is not None and found.colour is not None and found.measures is not None:
            luma[row], colour[row], measures[row] = found.luma, found.colour, found.measures
        notes = tuple(dict.fromkeys([*entries[row].notes, *found.notes]))
        findings[row] = replace(found, notes=notes, luma=None, colour=None, measures=None)

    open_rows = [row for row, entry in enumerate(entries) if not (entry.listed or entry.problem)]
    store = None if cache is None else Cache(cache)
    reused = 0
    if store is not None:
        wanted = set(open_rows)
        for row, found in store.known(entries):
            if row in wanted:
                wanted.discard(row)
                keep(row, found)
        reused = len(open_rows) - len(wanted)
        open_rows = [row for row in open_rows if row in wanted]
    count = min(workers or pool.cores(), max(1, math.ceil(len(open_rows) / 8)))
    jobs = ((row, inventory.file(row)) for row in open_rows)
    answers = pool.examine_all(jobs, workers=count, seconds=seconds)
    try:
        for row, found in progress.over(answers, len(open_rows), "files"):
            if store is not None and found.problem not in ("too slow", "no access"):
                store.add(entries[row], found)
            keep(row, found)
    finally:
        answers.close()
        if store is not None:
            store.flush()
    return findings, measures, colour, reused


def _hashes_in_parts(luma: UInt8[np.ndarray, "n 64 64"], rows: Int64[np.ndarray, " g"]) -> Float32[np.ndarray, "g d"]:
    parts = [hashes.hashes(luma[rows[start : start + 20_000]]) for start in range(0, len(rows), 20_000)]
    return np.concatenate(parts)


def _labels(entries: Sequence[Entry], findings: Sequence[Findings]) -> tuple[list[str], Int64[np.ndarray, " n"]]:
    """Class names, sorted, and the class of every good row (of the training split where there is one), else -1."""
    split = "train" if any(entry.split == "train" for entry in entries) else None
    takes = [
        bool(found.pixels and entry.label) and split in (None, entry.split)
        for entry, found in zip(entries, findings, strict=True)
    ]
    names = sorted({entry.label for entry, take in zip(entries, takes, strict=True) if take})
    index = {name: number for number, name in enumerate(names)}
    labels = [index[entry.label] if take else -1 for entry, take in zip(entries, takes, strict=True)]
    return names, np.array(labels, np.int64)


def _properties(
    entries: Sequence[Entry],
    findings: Sequence[Findings],
    measures: Float32[np.ndarray, "n m"],
    colour: UInt8[np.ndarray, "n 16 16 3"],
    names: list[str],
    labels: Int64[np.ndarray, " n"],
    groups: Sequence[Group],
) -> list[Property]:
    if len(names) < 2:
        return []
    numbers = property_values(entries, findings, measures)
    words = {
        "format": [found.format for found in findings],
        "colour mode": [found.mode for found in findings],
        "file extension": [os.path.splitext(entry.path)[1].lower() for entry in entries],
        "JPEG tables": [found.tables for found in findings],
        "EXIF": [str(found.has_exif) for found in findings],
        "camera": [found.camera for found in findings],
        "EXIF rotation": [str("rotated" in found.notes) for found in findings],
    }
    member = np.full(len(entries), -1, np.int64)
    for number, group in enumerate(groups):
        member[list(group.rows)] = number
    found = properties(numbers, words, labels, names, groups=member)
    found += thumbnail_properties(colour, labels, names, groups=member)
    order = {"strong": 0, "some": 1, "none": 2}
    return sorted(found, key=lambda one: (order[one.level], -one.excess))


def property_values(
    entries: Sequence[Entry], findings: Sequence[Findings], measures: Float32[np.ndarray, "n m"]
) -> dict[str, np.ndarray]:
    """Every number that is known of every file, NaN where it is not, by the property's name."""
    width = np.array([found.width or math.nan for found in findings])
    height = np.array([found.height or math.nan for found in findings])
    size = np.array([entry.size for entry in entries], np.float64)
    return dict(zip(MEASURES, measures.T, strict=True)) | {
        "width": width,
        "height": height,
        "aspect": width / height,
        "pixels": width * height,
        "file size": size,
        "bytes per pixel": size / (width * height),
        "JPEG quality": np.array([found.quality for found in findings]),
        "modification time": np.array([entry.modified / 1e9 for entry in entries]),
    }
