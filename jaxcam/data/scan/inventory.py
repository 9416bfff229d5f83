"""Which files there are below a folder or in a manifest, of which split and class, by name alone."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jaxcam.errors import UserError

_SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", ".ds_store", "ehthumbs.db"}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the folder lists it."""

    path: str
    """relative to the root, with "/"; undecodable bytes of a name as surrogates, as `os.fsdecode` gives them"""
    split: str = ""
    label: str = ""
    """its class: the folder below the split, or the manifest's label"""
    size: int = 0
    modified: int = 0
    """nanoseconds since 1970"""
    listed: str = ""
    """of `kinds.LISTED` where the file is not to be looked at"""
    problem: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The path with everything that a terminal or a table would choke on replaced by "?"."""
        return printable(self.path)


@dataclass(frozen=True)
class Inventory:
    """The files of a data set."""

    root: Path
    """absolute"""
    entries: tuple[Entry, ...]
    """sorted by path"""
    remarks: tuple[str, ...] = ()
    """what is odd about the layout"""

    def file(self, row: int) -> str:
        """The absolute path of an entry."""
        return os.path.join(self.root, self.entries[row].path)


def printable(text: str) -> str:
    """A text of one line without control characters, for terminals, tables and pages."""
    return "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else "?" for c in text)


def list_set(source: str | os.PathLike, *, leave_out: Path | None = None) -> Inventory:
    """The files of a folder (`Train/cat/...`, `cat/...`, or pictures without classes) or of a manifest.

    Links to folders and links that leave the folder are not followed, as in `load_folder`; `leave_out` is a folder that
    is passed over. Raises `UserError` where there is nothing to look at.
    """
    path = Path(source)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _list_manifest(path)
    try:
        os.scandir(path).close()
    except FileNotFoundError:
        raise UserError(f"no folder {path}; a folder of pictures or a manifest (.csv) is needed") from None
    except NotADirectoryError:
        raise UserError(f"{path} is a file; a folder of pictures or a manifest (.csv) is needed") from None
    except OSError as error:
        raise UserError(f"folder {path} cannot be read: {error.strerror}") from error
    return _list_folder(path, leave_out)


def _list_folder(folder: Path, leave_out: Path | None) -> Inventory:
    root = folder.resolve()
    left_out = None if leave_out is None else os.path.realpath(leave_out)
    places, remarks = _layout(root)
    entries = []
    for path, item in _walk(root, left_out):
        split, label, listed = _place(path, places)
        if listed != "outside" and _is_hidden(path):
            listed = "hidden"
        entries.append(_entry(root, path, item, split, label, listed))
    if not entries:
        raise UserError(f"{folder} holds no files")
    return Inventory(root, tuple(_twins(sorted(entries, key=lambda entry: entry.path))), tuple(remarks))


def _layout(root: Path) -> tuple[dict[str, str] | None, list[str]]:
    """Split of every split folder (empty: the sub-folders are classes; None: there are none), and remarks."""
    from jaxcam.data.folder import SPLITS

    names = {name: split for split, given in SPLITS.items() for name in given}
    with os.scandir(root) as items:
        folders = sorted(item.name for item in items if item.is_dir(follow_symlinks=False))
    folders = [name for name in folders if not _is_hidden(name)]
    places = {name: names[name.lower()] for name in folders if name.lower() in names and _holds_folders(root / name)}
    remarks = []
    for split in SPLITS:
        same = [name for name, its in places.items() if its == split]
        if len(same) > 1:
            remarks.append(f"{' and '.join(map(printable, same))} both stand for the split {split}")
    if not places and not folders:
        return None, ["there are no sub-folders, so there are no classes"]
    return places, remarks


def _holds_folders(folder: Path) -> bool:
    try:
        with os.scandir(folder) as items:
            return any(item.is_dir(follow_symlinks=False) and not _is_hidden(item.name) for item in items)
    except OSError:
        return False


def _place(path: str, places: dict[str, str] | None) -> tuple[str, str, str]:
    """Split and class of a file, and "outside" where it is in no class."""
    parts = path.split("/")
    if places is None:
        return "", "", ""
    if not places:
        return ("", parts[0], "") if len(parts) > 1 else ("", "", "outside")
    split = places.get(parts[0], "")
    return (split, parts[1], "") if split and len(parts) > 2 else (split, "", "outside")


def _walk(root: Path, left_out: str | None) -> Iterator[tuple[str, os.DirEntry | OSError]]:
    """Every file below a folder, and every folder that cannot be read, with its error."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as items:
                found = list(items)
        except OSError as error:
            yield folder, error
            continue
        for item in found:
            path = f"{folder}/{item.name}" if folder else item.name
            if item.is_dir(follow_symlinks=False):
                if left_out is None or os.path.realpath(item.path) != left_out:
                    pending.append(path)
            else:
                yield path, item


def _entry(root: Path, path: str, item: os.DirEntry | OSError, split: str, label: str, listed: str) -> Entry:
    if isinstance(item, OSError):
        return Entry(path, split, label, problem="no access", reason=f"folder: {item.strerror or 'cannot be read'}")
    problem = reason = ""
    notes = _name_notes(item.name)
    if printable(path) != path:
        problem, reason = "bad name", "name is not UTF-8 or has control characters"
    if item.is_symlink():
        notes.append("link")
        if why := _why_not_followed(item.path, os.path.realpath(root)):
            problem, reason = "link", why
    size, modified = _stat(item.path)
    return Entry(path, split, label, size, modified, listed, problem, reason, tuple(notes))


def _stat(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _why_not_followed(path: str, real_root: str) -> str | None:
    if not os.path.exists(path):
        return "broken link"
    if os.path.isdir(path):
        return "link to a folder, not followed"
    if not os.path.realpath(path).startswith(os.path.join(real_root, "")):
        return "link out of the folder, not followed"
    return None


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or part.lower() in _SYSTEM for part in path.split("/"))


def _name_notes(name: str) -> list[str]:
    odd = name != name.strip() or name.endswith(".") or name.split(".")[0].lower() in _RESERVED
    odd |= bool(set(name) & set('<>:"\\|?*')) or len(name.encode(errors="surrogateescape")) > 240
    odd |= unicodedata.normalize("NFC", name) != name
    return ["odd name"] if odd else []


def _twins(entries: list[Entry]) -> Iterator[Entry]:
    """The same, with a note on names that are one name where case does not count."""
    seen: dict[str, int] = {}
    for entry in entries:
        key = entry.path.casefold()
        seen[key] = seen.get(key, 0) + 1
    for entry in entries:
        if seen[entry.path.casefold()] == 1:
            yield entry
        else:
            yield replace(entry, notes=(*entry.notes, "same name"))


def _list_manifest(path: Path) -> Inventory:
    from jaxcam.data.manifest import read_manifest

    manifest = read_manifest(path)
    folders = [os.path.dirname(file) for file in manifest.files]
    root = Path(os.path.commonpath(folders))
    entries = []
    for file, label, split in zip(manifest.files, manifest.labels, manifest.splits, strict=True):
        size, modified = _stat(file)
        name = os.path.relpath(file, root).replace(os.sep, "/")
        notes = ("link",) if os.path.islink(file) else ()
        problem = "" if printable(name) == name else "bad name"
        reason = "name has control characters" if problem else ""
        entries.append(Entry(name, split, label, size, modified, problem=problem, reason=reason, notes=notes))
    return Inventory(root, tuple(_twins(sorted(entries, key=lambda entry: entry.path))))
