"""Downloading a weight file once, checked, resumable and safe beside other processes."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from jaxcam.errors import UserError
from jaxcam.weights.catalog import WeightEntry, packaged_path
from jaxcam.weights.messages import one_line, size
from jaxcam.weights.readers import read

CHUNK = 2**20
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
ATTEMPTS = 3
"""How often a connection that breaks off is taken up again."""


class _Interrupted(Exception):
    """The connection broke off; what has arrived is kept in the `.part` file."""


def cache_folder(cache: str | Path | None = None) -> Path:
    """`cache`, else the environment's JAXCAM_CACHE, else `~/.cache/jaxcam/weights`."""
    chosen = cache or os.environ.get("JAXCAM_CACHE") or Path.home() / ".cache" / "jaxcam" / "weights"
    return Path(chosen).expanduser()


def fetch(entry: WeightEntry, *, cache: str | Path | None = None) -> Path:
    """The path of an entry's file, downloaded if it is not there, its checksum verified.

    A download that was interrupted is continued; two processes take turns, so that one of them downloads. A file that
    the user has put into the folder is verified once and then known by its size and time of change.

    Raises:
        UserError: without a network, with what to download and where to put it; if the server, the disk or the
            checksum is at fault.
    """
    if entry.url is None:
        path = packaged_path(entry)
        if not path.is_file():
            raise UserError(f"{entry.name}: {path} is missing from this installation; install jaxcam again")
        _verify(path, entry)
        return path
    folder = cache_folder(cache)
    path = folder / entry.file
    if path.is_file() and _known(path, entry):
        return path
    if path.is_file() and not os.access(folder, os.W_OK):  # a folder shared by an administrator: nothing to remember in
        _verify(path, entry)
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f"{entry.file}.lock"):
            if not path.is_file():
                _download(entry, path)
            elif not _known(path, entry):
                _verify_placed(path, entry)
            return path
    except OSError as error:
        raise UserError(
            one_line(f"cannot write to {folder} ({error}); make room there or set JAXCAM_CACHE to another folder")
        ) from error


def is_cached(entry: WeightEntry, *, cache: str | Path | None = None) -> bool:
    """Whether `fetch` would find the file; its content is not looked at."""
    path = packaged_path(entry) if entry.url is None else cache_folder(cache) / entry.file
    return path.is_file()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock. Where there is no `flock` the checksum is the only guard."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """A file's checksum in the catalogue's form: `sha256:` and the digest."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"


def digest_matches(path: Path, checksum: str) -> tuple[bool, str]:
    """Whether a file has a checksum such as `sha256:...`, and the one that it has, in the same form."""
    kind, _, expected = checksum.partition(":")
    algorithm = kind.removesuffix("-prefix")
    if algorithm not in ("sha256", "md5") or not expected:
        raise ValueError(f"a checksum is sha256:..., sha256-prefix:... or md5:..., got {checksum!r}")
    got = digest_of(path, algorithm)
    right = f"{algorithm}:{expected}"
    return (got.startswith(right) if kind.endswith("-prefix") else got == right), got


def _problem(path: Path, entry: WeightEntry) -> str | None:
    """What is wrong with a complete file, or None."""
    count = path.stat().st_size
    if entry.bytes is not None and count != entry.bytes:
        return f"it has {count} bytes, expected {entry.bytes}"
    if not entry.checksum:  # nobody publishes one: all that can be told is that it is a weight file
        try:
            read(path)
        except UserError as error:
            return str(error)
        return None
    right, got = digest_matches(path, entry.checksum)
    return None if right else f"its checksum is {got}, expected {entry.checksum}"


def _verify(path: Path, entry: WeightEntry) -> None:
    problem = _problem(path, entry)
    if problem:
        raise UserError(f"{entry.name}: {path} is not the right file: {problem}; replace it")


def _verify_placed(path: Path, entry: WeightEntry) -> None:
    """A file that was there already: remembered if it is right, moved aside if it is not."""
    problem = _problem(path, entry)
    if problem is None:
        _remember(path, entry)
        return
    aside = path.with_name(f"{path.name}.wrong")
    os.replace(path, aside)
    raise UserError(
        f"{path} is not the right file: {problem}; it was moved to {aside.name}; run again to download it, "
        f"or get it from {entry.url}"
    )


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def _state(path: Path, entry: WeightEntry) -> dict[str, object]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "checksum": entry.checksum}


def _remember(path: Path, entry: WeightEntry) -> None:
    temporary = _note(path).with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(_state(path, entry)))
    os.replace(temporary, _note(path))


def _known(path: Path, entry: WeightEntry) -> bool:
    try:
        return json.loads(_note(path).read_text()) == _state(path, entry)
    except (OSError, ValueError):
        return False


def _download(entry: WeightEntry, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    attempts = ATTEMPTS
    while True:
        try:
            _receive(entry, part)
        except _Interrupted as interruption:
            attempts -= 1
            if attempts:
                continue
            have = part.stat().st_size if part.exists() else 0
            raise UserError(
                one_line(f"the download of {entry.url} broke off after {have} of {entry.bytes or 'unknown'} bytes ")
                + one_line(f"({interruption}); run again to continue it, or put the file into {path.parent}")
            ) from interruption
        problem = _problem(part, entry)
        if problem is None:
            break
        part.unlink()
        if not resumed:
            raise UserError(f"{entry.url}: what was downloaded is not the right file and was deleted: {problem}")
        resumed = False  # an old beginning may not belong to this file: once more from the start
    os.replace(part, path)
    _remember(path, entry)


def _receive(entry: WeightEntry, part: Path) -> None:
    """Append to `part` what is missing of it; `_Interrupted` if the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    if entry.bytes is not None and have >= entry.bytes:
        return
    if not str(entry.url).startswith(("https://", "http://")):
        raise ValueError(f"the url of {entry.name} is not http: {entry.url}")
    request = urllib.request.Request(str(entry.url), headers={"User-Agent": "jaxcam"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server does not continue: it sends the whole file
            length = response.headers.get("Content-Length")
            total = have + int(length) if length and length.isdigit() else entry.bytes
            _save(response, part, have, total, entry)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing behind what is there: complete, or not this file; the checksum tells
                return
            raise UserError(_unreachable(entry, part.parent, f"the server answered {error.code}")) from error
    except urllib.error.URLError as error:
        raise UserError(_unreachable(entry, part.parent, error.reason)) from error
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _save(response: http.client.HTTPResponse, part: Path, have: int, total: int | None, entry: WeightEntry) -> None:
    limit = entry.bytes
    free = shutil.disk_usage(part.parent).free
    if total is not None and free < total - have:
        raise UserError(
            f"{part.parent} has {size(free)} free, {entry.file} needs {size(total - have)}; "
            "make room or set JAXCAM_CACHE to another folder"
        )
    terminal = sys.stderr.isatty()
    if not terminal:
        print(f"downloading {entry.url} ({size(total)}) to {part.parent}", file=sys.stderr)
    with (
        part.open("ab" if have else "wb") as file,
        tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=entry.file, disable=not terminal) as bar,
    ):
        while chunk := response.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            have += len(chunk)
            if limit is not None and have > limit:
                break  # longer than the file can be: the size is checked next
    if total is not None and have < total:
        raise _Interrupted(f"the server sent {have} of {total} bytes")


def _unreachable(entry: WeightEntry, folder: Path, reason: object) -> str:
    return one_line(
        f"cannot download {entry.url} ({reason}); get {entry.file} ({entry.bytes or 'unknown number of'} bytes, "
        f"{entry.checksum or 'no published checksum'}) on another machine and put it into {folder}"
    )
