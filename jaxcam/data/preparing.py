"""Preparing sets: every picture decoded and resized once, in blocks, so that a killed run goes on where it stopped."""

import hashlib
import io
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt8

from jaxcam import __version__
from jaxcam.data.decode import UnreadableImage
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import cores
from jaxcam.data.prepared import (
    DESCRIPTION,
    FORMAT,
    PIXELS,
    TABLE,
    Rows,
    again,
    checksum,
    hash_file,
    is_prepared,
    pixels,
)
from jaxcam.errors import UserError
from jaxcam.files import read_json, replace_file, write_json
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

LEDGER = "blocks.jsonl"
_BLOCK_BYTES = 2**24
_ROOM = 2**26  # bytes that are left free on the disk

Block = tuple[int, UInt8[np.ndarray, "m h w 3"], dict[str, str]]
"""number, pixels, position in the block -> reason (a string, as JSON has it)"""


def prepare(
    sets: Mapping[str, ImageSet],
    source: str,
    kind: str,
    out: Path,
    preprocessing: Preprocessing,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """Decode the splits of a set (one under "" where it is undivided) into the folder `out`; returns its description.

    `source` is the name that the set was opened by, `kind` what it is (folder, manifest, tfds). Pictures go through
    `decode` with the size, filter and fit of `preprocessing`, so that reading them gives the same pixels as decoding.
    An unfinished folder of the same pictures is continued; of a finished one every block's checksum is compared.

    Raises `UserError` where `out` holds something else, was made otherwise (unless `overwrite`) or is damaged, and
    where the disk is too small.
    """
    rows = listed(sets)
    plan = planned(sets, rows, source, kind, preprocessing)
    if claim(out, plan, overwrite):
        about = read_json(out / DESCRIPTION)
        verify(out, about, progress)
        return about
    header, done = _header(plan), finished_blocks(out, plan)
    row_bytes = plan["size"][0] * plan["size"][1] * 3
    need, there = len(header) + plan["count"] * row_bytes, 0
    if (out / PIXELS).exists():
        there = os.stat(out / PIXELS).st_blocks * 512
    if shutil.disk_usage(out).free + there < need + _ROOM:
        raise UserError(f"{out} has too little room: {need / 2**30:.2f} GiB are needed for {plan['count']} pictures")
    with open(out / PIXELS, "r+b" if done else "w+b") as file, open(out / LEDGER, "w") as ledger:
        file.write(header)
        file.truncate(need)
        _settle(file)
        for entry in done.values():
            ledger.write(json.dumps(entry) + "\n")
        for number, block, errors in decoded(list(sets.values()), plan, preprocessing, set(done), progress):
            file.seek(len(header) + number * plan["block"] * row_bytes)
            file.write(block.data)
            _settle(file)
            done[number] = {"block": number, "crc32": checksum(block), "errors": errors}
            ledger.write(json.dumps(done[number]) + "\n")
            _settle(ledger)
    return finish(out, plan, rows, done)


def listed(sets: Mapping[str, ImageSet]) -> Rows:
    """The table of rows before anything is decoded: a file that changes later will be found to have changed."""
    lines: list[tuple[str, ...]] = []
    for name, images in sets.items():
        words = images.folder_names
        changed = [_changed(images.file(row)) if images.source is None else "" for row in range(len(images))]
        lines += zip(images.paths, words, [name] * len(words), images.stamps(), changed, [""] * len(words), strict=True)
    return Rows(*(tuple(column) for column in zip(*lines, strict=True)))


def planned(
    sets: Mapping[str, ImageSet], rows: Rows, source: str, kind: str, preprocessing: Preprocessing
) -> dict[str, Any]:
    """What a prepared folder is to hold; two equal plans give the same pixels."""
    first = next(iter(sets.values()))
    # Without the times, which say nothing about the pictures.
    pictures = hashlib.sha256(replace(rows, changed=("",) * len(rows.paths)).csv())
    size = list(preprocessing.size)
    return {
        "format": FORMAT,
        "source": source,
        "kind": kind,
        "manifest": hash_file(source) if kind == "manifest" else "",
        "count": sum(map(len, sets.values())),
        "size": size,
        "resize": preprocessing.resize,
        "fit": preprocessing.fit,
        "class_names": list(first.class_names),
        "splits": {
            name: {
                "root": str(images.root) if images.source else os.path.abspath(images.root),
                "count": len(images),
                "skipped": list(map(list, images.skipped)),
            }
            for name, images in sets.items()
        },
        "pictures": pictures.hexdigest(),
        "block": max(1, _BLOCK_BYTES // (size[0] * size[1] * 3)),
    }


def claim(out: Path, plan: Mapping[str, Any], overwrite: bool) -> bool:
    """Take the folder `out` for a plan; whether it holds it already, finished."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if is_prepared(out) and not overwrite:
        about = read_json(out / DESCRIPTION)
        if not isinstance(about, dict):
            raise UserError(f"{out / DESCRIPTION} is damaged; give --overwrite to prepare the set again")
        if changed := [key for key in plan if about.get(key) != plan[key]]:
            shown = [key for key in ("source", "count", "size", "resize", "fit") if key in changed]
            told = "; ".join(f"{key}: {about.get(key)} -> {plan[key]}" for key in shown)
            raise UserError(
                f"{out} was made from other pictures or settings ({told or 'pictures changed'}); give --overwrite, or "
                "another --out"
            )
        return about.get("complete") is True
    # What a run that was killed at its very start leaves behind is no reason to refuse.
    if out.exists() and not is_prepared(out) and any(file.name != f".{DESCRIPTION}.part" for file in out.iterdir()):
        raise UserError(f"--out {out} is not empty and holds no prepared set; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    # The description first: what is written from now on belongs to this plan, and is not finished.
    write_json(out / DESCRIPTION, {"jaxcam": __version__, **plan, "complete": False})
    for name in (LEDGER, PIXELS, TABLE):
        (out / name).unlink(missing_ok=True)
    return False


def finished_blocks(out: Path, plan: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Blocks that the ledger of an unfinished folder names and that have the checksum it says."""
    done: dict[int, dict[str, Any]] = {}
    try:
        lines = (out / LEDGER).read_bytes().splitlines()
        array = np.asarray(np.load(out / PIXELS, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return {}
    if array.shape != (plan["count"], *plan["size"], 3) or array.dtype != np.uint8:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            number = int(entry["block"])
            block = array[number * plan["block"] : (number + 1) * plan["block"]]
            if checksum(block) == entry["crc32"]:
                done[number] = entry
        except (ValueError, KeyError, TypeError):  # the line that was being written
            continue
    return done


def decoded(
    sets: Sequence[ImageSet],
    plan: Mapping[str, Any],
    preprocessing: Preprocessing,
    done: set[int],
    progress: Progress,
) -> Iterator[Block]:
    """The blocks that are not done, in order, decoded by one thread a core; the next one while this one is written."""
    ends = np.cumsum([0, *map(len, sets)])
    blocks = -(-plan["count"] // plan["block"])
    missing = [number for number in range(blocks) if number not in done]

    def one(position: int, out: UInt8[np.ndarray, "h w 3"]) -> str:
        place = int(np.searchsorted(ends, position, side="right")) - 1
        try:
            out[:] = sets[place].decode(position - ends[place], preprocessing)
        except UnreadableImage as error:
            out[:] = 0
            return error.reason
        return ""

    pool = ThreadPoolExecutor(cores(), thread_name_prefix="jaxcam-prepare")

    def begin(number: int) -> tuple[int, np.ndarray, list[Future[str]]]:
        first = number * plan["block"]
        rows = min(plan["block"], plan["count"] - first)
        block = np.empty((rows, *plan["size"], 3), np.uint8)
        return number, block, [pool.submit(one, first + row, block[row]) for row in range(rows)]

    waiting: deque[tuple[int, np.ndarray, list[Future[str]]]] = deque()
    todo = iter(missing)
    try:
        for _ in progress.over(range(len(missing)), len(missing), f"preparing {plan['count']} pictures"):
            while len(waiting) < 2 and (number := next(todo, None)) is not None:
                waiting.append(begin(number))
            number, block, futures = waiting.popleft()
            reasons = [future.result() for future in futures]
            yield number, block, {str(row): reason for row, reason in enumerate(reasons) if reason}
    finally:
        pool.shutdown(cancel_futures=True)


def finish(out: Path, plan: Mapping[str, Any], rows: Rows, done: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Write the table, then the description that says that everything is there."""
    reasons = [""] * len(rows.paths)
    for number, entry in done.items():
        for row, reason in entry["errors"].items():
            reasons[number * plan["block"] + int(row)] = reason
    content = replace(rows, reasons=tuple(reasons)).csv()
    replace_file(out / TABLE, content)
    about = {
        "jaxcam": __version__,
        **plan,
        "rows": hashlib.sha256(content).hexdigest(),
        "unreadable": sum(map(bool, reasons)),
        "blocks": [done[number]["crc32"] for number in range(len(done))],
        "complete": True,
    }
    write_json(out / DESCRIPTION, about)
    (out / LEDGER).unlink(missing_ok=True)
    return about


def verify(out: Path, about: Mapping[str, Any], progress: Progress) -> None:
    """Compare every block with its checksum; raises `UserError` naming the first that differs."""
    array, step = pixels(out, about), about["block"]
    numbers = range(len(about["blocks"]))
    for number in progress.over(numbers, len(numbers), f"checking {about['count']} pictures"):
        if checksum(array[number * step : (number + 1) * step]) != about["blocks"][number]:
            raise UserError(f"{out} is damaged: block {number} differs; {again(about, out, '--overwrite')}")


def _header(plan: Mapping[str, Any]) -> bytes:
    header = io.BytesIO()
    shape = (plan["count"], *plan["size"], 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _settle(file: IO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _changed(path: Path) -> str:
    try:
        return str(os.stat(path).st_mtime_ns)
    except OSError:
        return ""
