"""A copy of a picture set with a planted cue, as real files, and the same pictures with the cue moved to the others."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ExifTags, Image, PngImagePlugin

from jaxcam.data.image_files import UnreadableImage, opened, room, upright_rgb, wrapped
from jaxcam.data.images import ImageSet, Raw
from jaxcam.data.marker import claim, finish
from jaxcam.data.planted.cues import KINDS, Cue, check, put_on
from jaxcam.data.scan.pool import cores
from jaxcam.data.sets import absolute, kind_of, load_all
from jaxcam.errors import UserError
from jaxcam.files import replace_file, write_json
from jaxcam.progress import Progress

MARKER = ".planted.json"
RECORD = "planted.json"
_FOLDERS = {"train": "Train", "valid": "Valid", "test": "Test"}


@dataclass(frozen=True, kw_only=True)
class Planting:
    """What is planted, and in which of the pictures."""

    cue: Cue = Cue()
    class_name: str
    """the class that gets the cue"""
    strength: float = 100
    """per cent of its pictures that get it"""
    seed: int = 0
    """decides which"""
    format: Literal["png", "jpeg"] = "png"
    """of all files that are written, planted or not, so that the format tells nothing"""
    longest: int = 1024
    """larger pictures are reduced to this many pixels of the longer side"""


@dataclass(frozen=True)
class _Job:
    row: int
    target: str
    planted: bool


def plant_folder(
    source: str | os.PathLike,
    out: Path,
    planting: Planting,
    *,
    masks: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write `out/Train`, `out/Valid` (and `out/Test`) with the cue, and `out/Swapped` with the cue moved.

    `source` is any set: a folder, a manifest, a prepared folder, tfds:NAME; it is only read. One that is not divided is
    divided here, a fifth to Valid. In `Swapped` stand the pictures of Valid (or Test, or Train): those of the other
    classes with the cue and those of `planting.class_name` without it, which is what a network that reads the cue fails
    on. Which pictures get the cue depends on the seed and the picture's path alone. `masks` is a folder of masks named
    like the pictures (object > 127), for a pasted background.

    `planted.json` tells what was planted where, and which pictures could not be read; it is returned too. Files are
    written whole or not at all; an interrupted planting goes on where it stopped, a complete one is left as it is.
    Raises `UserError` for an unknown class, a source that is no set, an `out` that holds something else or lies in the
    source.
    """
    check(planting.cue)
    progress = progress or Progress(quiet=True)
    _check(source, out, planting)
    splits, divided = _splits(load_all(source))
    names = next(iter(splits.values())).class_names
    if planting.class_name not in names:
        raise UserError(f"no class {planting.class_name!r} in {source}; there are: {', '.join(names)}")
    wanted = {
        "source": absolute(source),
        "masks": None if masks is None else os.path.abspath(masks),
        "pictures": {name: images.fingerprint() for name, images in splits.items()},
        **asdict(planting),
    }
    if claim(out, MARKER, wanted):
        return json.loads((out / RECORD).read_text())
    written: dict[str, dict[str, list[str]]] = {}
    broken: dict[str, str] = {}
    for folder, images, moved in _parts(splits):
        jobs = _jobs(images, planting, moved)
        with ThreadPoolExecutor(cores(), thread_name_prefix="jaxcam-plant") as pool:
            work = pool.map(lambda job, own=images, to=folder: _write(own, job, out / to, planting, masks), jobs)
            for job, reason in progress.over(zip(jobs, work, strict=True), len(jobs), f"{folder}: pictures"):
                if reason:
                    broken[images.paths[job.row]] = reason
                else:
                    kind = "with" if job.planted else "without"
                    written.setdefault(folder, {"with": [], "without": []})[kind].append(f"{folder}/{job.target}")
    record: dict[str, object] = {
        **{key: value for key, value in wanted.items() if key != "pictures"},
        "about": KINDS[planting.cue.kind].about,
        "in_pixels": KINDS[planting.cue.kind].in_pixels,
        "classes": list(names),
        "divided_here": divided,
        "swapped_from": next(images.name for folder, images, moved in _parts(splits) if moved),
        "counts": {name: {kind: len(paths) for kind, paths in one.items()} for name, one in written.items()},
        "unreadable": broken,
        "files": written,
    }
    write_json(out / RECORD, record)
    finish(out, MARKER, wanted)
    return json.loads(json.dumps(record))


def _check(source: str | os.PathLike, out: Path, planting: Planting) -> None:
    if not 0 <= planting.strength <= 100:
        raise UserError(f"--strength {planting.strength:g} is no share; give 0 to 100 per cent")
    if planting.seed < 0:
        raise UserError(f"--seed {planting.seed} is negative; give 0 or more")
    if planting.longest < 16:
        raise UserError(f"--longest {planting.longest} is too small; give at least 16 pixels")
    if kind_of(source) == "tfds":
        return
    own, other = out.resolve(), Path(source).resolve()
    if own == other or own.is_relative_to(other) or other.is_relative_to(own):
        raise UserError(f"{out} and {source} lie in each other; choose a folder of its own for the planted pictures")


def _splits(found: dict[str, ImageSet]) -> tuple[dict[str, ImageSet], bool]:
    """The splits by name; a set that has none is divided, a fifth of each class to valid."""
    if "" not in found:
        return found, False
    images = found[""]
    kept, held = [], []
    for label in range(len(images.class_names)):
        rows = _ranked(images, np.flatnonzero(images.labels == label), "divide 0")
        cut = max(1, round(0.2 * len(rows))) if len(rows) > 1 else 0
        held += rows[:cut]
        kept += rows[cut:]
    return {
        "train": images.subset(sorted(kept), name="train"),
        "valid": images.subset(sorted(held), name="valid"),
    }, True


def _parts(splits: dict[str, ImageSet]) -> list[tuple[str, ImageSet, bool]]:
    """(folder, pictures, whether the cue is moved)."""
    swapped = next(splits[name] for name in ("valid", "test", "train") if name in splits)
    return [*((_FOLDERS[name], images, False) for name, images in splits.items()), ("Swapped", swapped, True)]


def _ranked(images: ImageSet, rows: np.ndarray, word: str) -> list[int]:
    """Rows in an order that depends on their paths and `word` alone."""
    return sorted(
        (int(row) for row in rows),
        key=lambda row: hashlib.sha256(f"{word} {images.paths[row]}".encode()).digest(),
    )


def _jobs(images: ImageSet, planting: Planting, moved: bool) -> list[_Job]:
    own = np.array([name == planting.class_name for name in images.folder_names])
    known = images.labels >= 0
    if moved:
        chosen = known & ~own
    else:
        rows = _ranked(images, np.flatnonzero(known & own), f"plant {planting.seed}")
        chosen = np.zeros(len(images), bool)
        chosen[rows[: round(planting.strength / 100 * len(rows))]] = True
    suffix = ".png" if planting.format == "png" else ".jpg"
    jobs, taken = [], set[str]()
    for row in np.flatnonzero(known).tolist():
        label = images.folder_names[row]
        path = PurePosixPath(_folder_name(label), *_below(images.paths[row], label))
        target = path.with_suffix(suffix).as_posix()
        if target.lower() in taken:  # two files that differ in their ending, or in case alone
            target = f"{path.as_posix()}-{row}{suffix}"
        taken.add(target.lower())
        jobs.append(_Job(row, target, bool(chosen[row])))
    return jobs


def _folder_name(label: str) -> str:
    """A class as the name of one folder; a manifest's classes may be any words."""
    return label.replace("/", "_").replace("\\", "_").lstrip(".") or "_"


def _below(path: str, label: str) -> list[str]:
    """A path's parts without its class, safe as names of files here."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..", ".", "")]
    parts = parts[1:] if len(parts) > 1 and parts[0] == label else parts[-1:]
    return [part.lstrip(".") or "_" for part in parts]


def _write(images: ImageSet, job: _Job, folder: Path, planting: Planting, masks: Path | None) -> str:
    """Write one picture unless it is there; why it could not be read, or nothing."""
    path = folder / job.target
    if path.is_file():
        return ""
    try:
        pixels = read_whole(images.read(job.row), planting.longest)
        mask = None if masks is None else _mask(masks, images.paths[job.row], pixels)
        shown = put_on(planting.cue, pixels, mask=mask) if job.planted else pixels
        replace_file(path, _encoded(shown, planting, marked=job.planted))
    except UnreadableImage as error:
        return error.reason
    return ""


def read_whole(raw: Raw, longest: int) -> UInt8[np.ndarray, "h w 3"]:
    """A picture at its own size, upright, or reduced to `longest` pixels of the longer side."""
    if isinstance(raw, np.ndarray):
        picture = Image.fromarray(raw)
    else:
        with opened(raw) as image, room(image, image.size, reduced=False):
            image.load()
            picture = upright_rgb(image)
            picture.thumbnail((longest, longest), Image.Resampling.BILINEAR)
            picture = picture.copy()
    with wrapped():
        picture.thumbnail((longest, longest), Image.Resampling.BILINEAR)
        return np.array(picture)


def _mask(masks: Path, path: str, pixels: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    file = masks / PurePosixPath(path).with_suffix(".png")
    if not file.is_file():
        raise UserError(f"there is no mask {file}; give a folder with a PNG named like every picture, or no masks")
    grey = Image.fromarray(read_whole(file, max(pixels.shape)))
    return np.asarray(grey.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.NEAREST))[..., 0] > 127


def _encoded(pixels: UInt8[np.ndarray, "h w 3"], planting: Planting, *, marked: bool) -> bytes:
    """The file; `marked`: with what the cue adds to a file beside its pixels."""
    cue, buffer = planting.cue, io.BytesIO()
    padding = cue.extra if marked and cue.kind == "file_size" else 0
    exif = Image.Exif()
    if marked and cue.kind == "exif":
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = cue.camera.partition(" ")[::2]
    picture = Image.fromarray(pixels)
    if planting.format == "png":
        info = PngImagePlugin.PngInfo()
        if padding:
            info.add(b"paDd", bytes(padding))  # an ancillary, private chunk: every reader passes it over
        picture.save(buffer, "PNG", compress_level=4, pnginfo=info, exif=exif if len(exif) else b"")
    else:
        options = {"exif": exif} if len(exif) else {}
        picture.save(buffer, "JPEG", quality=92, comment=_comments(padding), **options)
    return buffer.getvalue()


def _comments(padding: int) -> bytes:
    """A JPEG comment; one holds at most 64 KiB."""
    return bytes(min(padding, 65_000))


def told(record: dict[str, object], out: Path) -> str:
    """What a planting wrote, for the terminal."""
    counts: object = record["counts"]
    lines = [f"{out}: {record['about']}, on {record['strength']:g} % of the class {record['class_name']!r}"]
    for name, one in counts.items() if isinstance(counts, dict) else ():
        lines.append(f"  {name:8} {one['with']:6} pictures with the cue, {one['without']:6} without")
    broken: Sequence | object = record["unreadable"]
    if isinstance(broken, dict) and broken:
        path, reason = next(iter(broken.items()))
        lines.append(f"  {len(broken)} could not be read and were left out, the first is {path}: {reason}")
    if not record["in_pixels"]:
        lines.append("  the cue is in the files alone: a data check must find it, no network can use it")
    return "\n".join(
        [*lines, f"  Swapped has the cue on the other classes: jaxcam audit RUN --counter {out / 'Swapped'}"]
    )
