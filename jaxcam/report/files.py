"""A gallery too large for one file: pictures in a folder below the page, written in blocks, continued where it stopped.

`report/pictures/SPLIT/BLOCK/ROW.webp` is a photo, `ROW.maps.webp` its maps. A line of `done.jsonl` stands for a whole
block: what it was made from, and what the page has to know of its pictures.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxcam import __version__
from jaxcam.maps.shown import file_word
from jaxcam.progress import Progress
from jaxcam.report.cards import BLOCK, THREADS, Card, Tile, cards
from jaxcam.report.gallery import Chosen
from jaxcam.report.gather import Run
from jaxcam.report.pictures import picture_kind

FOLDER = "pictures"
LEDGER = "done.jsonl"

Addresses = tuple[str, str]


def picture_files(
    run: Run, one: Chosen, report: Path, *, width: int, progress: Progress
) -> Iterator[tuple[list[Card], list[Addresses]]]:
    """Write the pictures of a split below `report`, and give the cards (without contents) and addresses of each block.

    Blocks that an earlier call finished, from the same predictions, maps and files, are not made again. At most
    `BLOCK` pictures are in memory.
    """
    name = folder_name(one.split.name)
    folder = report / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    made, basis = _ledger(folder / LEDGER), _basis(run, one, width)
    starts = range(0, len(one.rows), BLOCK)
    # Old lines stay until their block is made again: a kill loses nothing.
    with (
        open(folder / LEDGER, "ab") as ledger,
        ThreadPoolExecutor(THREADS, thread_name_prefix="jaxcam-report") as pool,
    ):
        for block, start in enumerate(progress.over(starts, len(starts), f"{one.split.name}: blocks of pictures")):
            rows = one.rows[start : start + BLOCK]
            stamp, inner = _stamp(basis, one, rows), folder / str(block)
            found = made.get(block)
            if found is not None and found["stamp"] == stamp and inner.is_dir():
                block_cards = [_read(card) for card in found["cards"]]
            else:
                if inner.exists():
                    _enter(ledger, {"block": block, "stamp": "", "cards": []})  # what stands there is no longer whole
                    shutil.rmtree(inner)
                inner.mkdir()
                block_cards = []
                for card in cards(run, one.split, rows, width=width, pool=pool):
                    block_cards.append(_write(inner, card))
                _enter(ledger, {"block": block, "stamp": stamp, "cards": [_said(card) for card in block_cards]})
            place = f"{FOLDER}/{name}/{block}"
            yield block_cards, [_addresses(place, card) for card in block_cards]
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name.isdigit() and int(entry.name) >= len(starts):
            shutil.rmtree(entry)


def folder_name(split: str) -> str:
    """A split's name as the name of a folder and part of an address; other names never meet."""
    word = file_word(split).strip(".") or "_"
    return word if word == split else f"{word}-{hashlib.sha256(split.encode()).hexdigest()[:6]}"


def _enter(ledger: IO[bytes], line: dict[str, Any]) -> None:
    ledger.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    ledger.flush()


def _write(inner: Path, card: Card) -> Card:
    """The same card with empty contents where files were written."""
    for content, ending in ((card.photo, ""), (card.strip, ".maps")):
        if content is not None:
            # The ledger says when a block is whole, so that no file needs to be moved into place.
            (inner / f"{card.row}{ending}.{picture_kind()}").write_bytes(content)
    photo, strip = (None if content is None else b"" for content in (card.photo, card.strip))
    return Card(card.row, photo, card.ratio, card.problem, strip, card.tiles, card.shown, card.flags)


def _addresses(place: str, card: Card) -> Addresses:
    photo = "" if card.photo is None else f"{place}/{card.row}.{picture_kind()}"
    strip = "" if card.strip is None else f"{place}/{card.row}.maps.{picture_kind()}"
    return photo, strip


def _said(card: Card) -> dict[str, Any]:
    return {**asdict(card), "photo": card.photo is not None, "strip": card.strip is not None}


def _read(said: dict[str, Any]) -> Card:
    contents = {name: b"" if said[name] else None for name in ("photo", "strip")}
    tiles = tuple(Tile(**tile) for tile in said["tiles"])
    return Card(**{**said, **contents, "tiles": tiles, "shown": tuple(said["shown"]), "flags": tuple(said["flags"])})


def _ledger(path: Path) -> dict[int, dict[str, Any]]:
    """The last line of every block; a torn line means that its block is made again."""
    found: dict[int, dict[str, Any]] = {}
    if not path.exists():
        return found
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
            found[entry["block"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _basis(run: Run, one: Chosen, width: int) -> str:
    """What all blocks of a split are made from, apart from the files of their pictures."""
    digest = hashlib.sha256(
        f"{__version__} {width} {picture_kind()} {one.split.root} {dict(run.preprocessing)}".encode()
    )
    digest.update((run.folder / "predictions" / f"{one.split.name}.csv").read_bytes())
    if one.split.store is not None:
        digest.update(json.dumps(one.split.store.manifest, sort_keys=True).encode())
        digest.update(str(one.split.store.missing).encode())
    return digest.hexdigest()


def _stamp(basis: str, one: Chosen, rows: np.ndarray) -> str:
    """A word that changes with a block's rows and with their files."""
    digest = hashlib.sha256(basis.encode())
    for row in rows.tolist():
        file = None if one.split.reader is not None else one.split.file(row)
        try:
            about = None if file is None else file.stat()
        except OSError:
            about = None
        digest.update(f"{row} {about and (about.st_size, about.st_mtime_ns)}\0".encode())
    return digest.hexdigest()
