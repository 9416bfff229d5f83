"""Single pictures as a page shows them: a small photo, and one strip with all of its coloured maps."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jaxcam.data.decode import UnreadableImage
from jaxcam.maps import render
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.reader import Maps
from jaxcam.maps.shown import pictured
from jaxcam.report import pictures
from jaxcam.report.gather import Run, Split

CLASSES = 4
"""classes shown of a picture; of more the likeliest, its own, and the explained ones"""
TILES = 160
"""maps in a strip at most: a WebP file is at most 16383 pixels high"""
BLOCK = 64
"""pictures whose maps are in memory at a time"""
THREADS = 4


@dataclass(frozen=True)
class Tile:
    """One coloured map of a strip."""

    method: int
    """index into the store's methods"""
    target: int
    """class that it explains"""
    place: str
    """where it is hottest"""


@dataclass(frozen=True)
class Card:
    """One picture."""

    row: int
    photo: bytes | None
    """content of a picture file; None where there is no picture any more"""
    ratio: float
    """width / height"""
    problem: str
    """why there is no photo"""
    strip: bytes | None
    """content of a picture file: the tiles below each other, each as wide as the strip and of equal height"""
    tiles: tuple[Tile, ...]
    shown: tuple[int, ...]
    """classes whose probability is shown"""
    flags: tuple[str, ...]


def cards(
    run: Run, split: Split, rows: Sequence[int] | Int[np.ndarray, " n"], *, width: int, pool: ThreadPoolExecutor
) -> list[Card]:
    """The cards of some rows of a split; `width` is that of the photos. Maps of all rows are in memory together."""
    rows = np.asarray(rows, dtype=np.int64)
    maps = _read_maps(split, rows)
    return list(pool.map(lambda place: _card(run, split, int(rows[place]), place, maps, width=width), range(len(rows))))


def in_blocks(
    run: Run, split: Split, rows: Sequence[int] | Int[np.ndarray, " n"], *, width: int
) -> Iterator[list[Card]]:
    """The cards of any number of rows, `BLOCK` at a time."""
    rows = np.asarray(rows, dtype=np.int64)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="jaxcam-report") as pool:
        for start in range(0, len(rows), BLOCK):
            yield cards(run, split, rows[start : start + BLOCK], width=width, pool=pool)


@dataclass(frozen=True)
class _Maps:
    """Maps (n, t, h, w) by method, targets (n, t) and flags (n, m, t) of some rows."""

    maps: dict[str, np.ndarray]
    targets: np.ndarray
    flags: np.ndarray


def _read_maps(split: Split, rows: np.ndarray) -> _Maps | None:
    store = split.store
    if store is None or not len(rows):
        return None
    maps = Maps(store, rows, names=split.classes)
    read = {method: pictured(maps, method, store.read(method, rows)) for method in store.methods}
    return _Maps(read, store.read("targets", rows), store.read("flags", rows))


def _card(run: Run, split: Split, row: int, position: int, maps: _Maps | None, *, width: int) -> Card:
    photo, ratio, problem = _photo(run, split, row, width)
    targets = [] if maps is None else [int(target) for target in maps.targets[position] if target >= 0]
    shown = _shown_classes(split, row, targets)
    strip, tiles = (None, ()) if maps is None else _strip(maps, position, shown)
    flags = _flags(split, row, position, maps)
    return Card(row, photo, ratio, problem, strip, tiles, tuple(shown), flags)


def _photo(run: Run, split: Split, row: int, width: int) -> tuple[bytes | None, float, str]:
    """The picture as a file's content, its width / height, and why there is none."""
    size = run.preprocessing.get("size")
    crop = (int(size[0]), int(size[1])) if run.cropped and isinstance(size, list) and len(size) == 2 else None
    try:
        raw = split.picture(row)
        if raw is None:
            return None, 1.0, "where the picture lies is not known"
        if isinstance(raw, Path) and not raw.is_file():
            return None, 1.0, "the file is no longer there"
        image = pictures.open_picture(raw, longest=width, crop_to=crop)
    except UnreadableImage as error:
        return None, 1.0, error.reason
    return pictures.file_content(image, width), image.shape[1] / image.shape[0], ""


def _shown_classes(split: Split, row: int, targets: list[int]) -> list[int]:
    count = len(split.classes)
    if count <= CLASSES:
        return list(range(count))
    likely = np.argsort(-split.probabilities[row], kind="stable")[: CLASSES - 1].tolist()
    wanted = [*likely, int(split.labels[row]), *(targets if len(targets) <= 2 else [])]
    return [index for index in dict.fromkeys(wanted) if index >= 0]


def _strip(maps: _Maps, position: int, shown: list[int]) -> tuple[bytes | None, tuple[Tile, ...]]:
    """The maps of the classes shown; all maps of one method and picture share one colour scale."""
    tiles: list[Tile] = []
    colours: list[np.ndarray] = []
    targets = maps.targets[position].tolist()
    here = [target for target in targets if target in shown]
    shape = (1, 1)
    for number, values in enumerate(maps.maps.values()):
        own = values[position]
        # One map for several targets: the class plays no part in it.
        chosen = {target: own[targets.index(target) if len(own) > 1 else 0] for target in here}
        chosen = {target: one for target, one in chosen.items() if np.isfinite(one).any()}
        low, high = render.value_range(np.stack(list(chosen.values()))) if chosen else (0.0, 0.0)
        for target, one in chosen.items():
            if len(tiles) == TILES:
                break
            tiles.append(Tile(number, target, pictures.hottest_place(one)))
            # Tiles of one strip have one size; maps of another grid are brought to it.
            colours.append(pictures.coloured(one, low=low, high=high, size=shape if colours else None))
            shape = (colours[0].shape[0], colours[0].shape[1])
    if not tiles:
        return None, ()
    return pictures.file_content(np.concatenate(colours), shape[1], quality=80), tuple(tiles)


def _flags(split: Split, row: int, position: int, maps: _Maps | None) -> tuple[str, ...]:
    """What is odd about the picture's maps, each oddity once, with the maps it is true of."""
    if maps is None:
        return (split.flags[row],) if split.flags[row] else ()
    marked: dict[str, list[tuple[str, str]]] = {}
    methods, targets = list(maps.maps), maps.targets[position].tolist()
    names = [split.classes[target] if target >= 0 else "" for target in targets]
    for method, bits in zip(methods, maps.flags[position], strict=True):
        for name, value in zip(names, bits.tolist(), strict=True):
            for word in describe_flags(value):
                marked.setdefault(word, []).append((method, name))
    return tuple(word + _where(pairs, methods, names) for word, pairs in marked.items())


def _where(pairs: list[tuple[str, str]], methods: list[str], names: list[str]) -> str:
    """Of which methods and classes a flag is true, as short as it can be said."""
    of_methods, of_names = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True))
    if len(pairs) < len(of_methods) * len(of_names):
        listed = ", ".join(f"{method} for {name}" for method, name in pairs[:4])
        return f" ({listed}{', ...' if len(pairs) > 4 else ''})"
    parts = [", ".join(of_methods)] if len(of_methods) < len(methods) else []
    parts += [f"for {', '.join(of_names[:4])}"] if len(of_names) < len(names) else []
    return f" ({' '.join(parts)})" if parts else ""
