"""Moving files out of a data set and back: nothing is deleted, nothing is overwritten, and a kill loses nothing.

A journal with every planned move is written before the first one. Whether a move is done is read off the disk, so that
an interrupted one is completed, or undone, by running again.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError
from jaxcam.files import read_json, write_json

_JOURNAL = re.compile(r"journal-(\d{4})\.json")
FORMAT = "jaxcam quarantine 1"


@dataclass(frozen=True)
class Moved:
    """What a quarantine or its undoing did."""

    count: int
    """files moved"""
    left: tuple[tuple[str, str], ...]
    """(path, reason) of files that stayed where they are"""


def quarantine(root: Path, files: Iterable[tuple[str, str]], folder: Path) -> Moved:
    """Move files, given as (path below `root`, reason), to the same path below `folder`.

    Files that are gone are left out. A file whose place is taken gets a number behind its name. Moves that an earlier
    call did not finish are finished first. Raises `UserError` where `folder` lies inside `root` or is something else.
    """
    root = root.resolve()
    target = Path(os.path.realpath(folder))
    if target == root or root in target.parents:
        raise UserError(
            f"--quarantine {folder} lies in {root}, where the next training would find it; give another one"
        )
    if target.exists() and not target.is_dir():
        raise UserError(f"--quarantine {folder} is a file; a folder is needed")
    others = [path for path in target.iterdir() if "journal-" not in path.name] if target.is_dir() else []
    if others and not journals(target):
        raise UserError(f"--quarantine {folder} holds other things; give a new folder or an earlier quarantine")
    left: list[tuple[str, str]] = []
    for journal in journals(target):
        left += _finish(journal, _read(journal)).left
    taken: set[str] = set()
    moves = []
    for path, reason in files:
        if os.path.lexists(root / path):
            place = _free(target, path, taken)
            taken.add(place)
            moves.append({"from": path, "to": place, "reason": reason, "stamp": _stamp(root / path)})
    if not moves:
        return Moved(0, tuple(left))
    target.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(_number(one)) for one in target.glob("journal-*.json")), default=0)
    plan = {"format": FORMAT, "root": str(root), "folder": str(target), "moves": moves}
    journal = target / f"journal-{number:04d}.json"
    write_json(journal, plan)
    done = _finish(journal, plan)
    return Moved(done.count, (*left, *done.left))


def restore(folder: Path) -> Moved:
    """Put everything in a quarantine back, the latest first; a file whose place is taken by another one stays.

    The journals of what is back are kept, with `.undone` in their names. Raises `UserError` for a folder without any.
    """
    target = Path(os.path.realpath(folder))
    found = journals(target)
    if not found:
        raise UserError(f"{folder} is no quarantine: it has no journal-NNNN.json")
    count = 0
    left: list[tuple[str, str]] = []
    for journal in reversed(found):
        plan = _read(journal)
        # The quarantine may have been moved since; its files lie beside its journal.
        back = [{"from": move["to"], "to": move["from"]} for move in reversed(plan["moves"])]
        done = _carry_out({**plan, "root": str(target), "folder": plan["root"], "moves": back})
        count += done.count
        left += done.left
        if not done.left:
            for move in plan["moves"]:
                _part(target / move["to"]).unlink(missing_ok=True)  # of a copy that was interrupted
            _remove_empty(target, [move["to"] for move in plan["moves"]])
            os.replace(journal, journal.with_name(journal.name.replace(".json", ".undone.json")))
    return Moved(count, tuple(left))


def journals(folder: Path) -> list[Path]:
    """The journals in a folder that are not undone, the oldest first."""
    return sorted(path for path in folder.glob("journal-*.json") if _JOURNAL.fullmatch(path.name))


def _number(path: Path) -> str:
    match = re.match(r"journal-(\d+)", path.name)
    return match.group(1) if match else "0"


def _read(journal: Path) -> dict[str, Any]:
    plan = read_json(journal)
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        raise UserError(f"{journal} is not a journal of this version")
    for move in plan["moves"]:
        for path in (move["from"], move["to"]):
            if os.path.isabs(path) or ".." in path.split("/"):
                raise UserError(f"{journal} names a file outside of its folders: {path!r}")
    return plan


def _free(target: Path, path: str, taken: set[str]) -> str:
    """A path below `target` where nothing is yet."""
    stem, suffix = os.path.splitext(path)
    place, number = path, 1
    while place in taken or os.path.lexists(target / place) or _JOURNAL.fullmatch(place):
        number += 1
        place = f"{stem}~{number}{suffix}"
    return place


def _finish(journal: Path, plan: dict[str, Any]) -> Moved:
    """Carry out a plan and mark its journal as done: a file that comes to an old place later is not moved."""
    if plan.get("done"):
        return Moved(0, ())
    done = _carry_out(plan)
    write_json(journal, {**plan, "done": True})
    return done


def _stamp(path: Path) -> list[int]:
    status = os.lstat(path)
    return [status.st_size, status.st_mtime_ns]


def _carry_out(plan: dict[str, Any]) -> Moved:
    count = 0
    left: list[tuple[str, str]] = []
    for move in plan["moves"]:
        source, place = Path(plan["root"], move["from"]), Path(plan["folder"], move["to"])
        try:
            stamp = move.get("stamp")
            if stamp is None or (os.path.lexists(source) and _stamp(source) == stamp):
                count += _move(source, place)
        except FileExistsError:
            left.append((str(source), f"{place} is there already, and another file"))
        except OSError as error:
            left.append((str(source), error.strerror or str(error)))
    return Moved(count, tuple(left))


def _move(source: Path, place: Path) -> bool:
    """Move one file, or finish that; False where there is nothing left to do. Never replaces a file."""
    if not os.path.lexists(source):
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    part = _part(place)
    if os.path.lexists(place):
        if not _same(source, place):
            raise FileExistsError(place)
    elif source.is_symlink():
        os.symlink(os.readlink(source), place)
    else:
        try:
            os.link(source, place, follow_symlinks=False)
        except OSError:  # another file system, or one without links
            _copy(source, part)
            _claim(part, place)
    _flush(place.parent)
    os.unlink(source)
    part.unlink(missing_ok=True)
    return True


def _part(place: Path) -> Path:
    """The name that a copy has until it is whole."""
    return place.with_name(f".{hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]}.moving")


def _copy(source: Path, part: Path) -> None:
    """Copy the content and the times, flush them to disk, and check what was written."""
    if not source.is_file():
        raise OSError(f"{source} is not a regular file and cannot be copied to another file system")
    shutil.copy2(source, part)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    if _digest(source) != _digest(part):
        part.unlink()
        raise OSError(f"the copy of {source} differs from it")


def _claim(part: Path, place: Path) -> None:
    """Give a finished copy its name, which must be free."""
    try:
        os.link(part, place)
        os.unlink(part)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(place):
            raise FileExistsError(place) from None
        os.rename(part, place)


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other)
    if not (one.is_file() and other.is_file()):
        return False
    return os.path.samefile(one, other) or _digest(one) == _digest(other)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        return  # not every file system can
    finally:
        os.close(descriptor)


def _remove_empty(target: Path, places: Sequence[str]) -> None:
    """Remove the folders of the quarantine that are empty now."""
    folders = {parent for place in places for parent in Path(place).parents if str(parent) != "."}
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        try:
            (target / folder).rmdir()
        except OSError:
            continue
