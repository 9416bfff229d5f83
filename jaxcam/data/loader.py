"""Batches of images for a device: decoded by threads, in a fixed order, padded to one shape."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import grain
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.folder import ImageSet
from jaxcam.preprocessing import Preprocessing

_MAX_THREADS = 32
# Rows a task: grain's own work is about 40 us for each element, while the other threads wait for the interpreter.
_PIECE = 8

Item = TypeVar("Item")
Placed = TypeVar("Placed")


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch on the host; every batch of a run has the same shapes."""

    images: UInt8[np.ndarray, "b h w 3"]
    """RGB; zero where `mask` is False"""
    labels: Int32[np.ndarray, " b"]
    """class index; -1 for padding and for unknown classes"""
    index: Int32[np.ndarray, " b"]
    """row in the image set; -1 for padding"""
    mask: Bool[np.ndarray, " b"]
    """False for padding and for unreadable images"""
    errors: tuple[tuple[int, str], ...] = ()
    """(row, reason) of the unreadable images of this batch"""


Example = tuple[int, np.ndarray | None, str]
"""row, pixels (None: padding or unreadable), reason"""


class _Pieces:
    """Random access for grain: the k-th piece of the padded order, at most `_PIECE` rows of one batch, decoded."""

    def __init__(self, image_set: ImageSet, preprocessing: Preprocessing, order: np.ndarray, batch_size: int):
        self.image_set, self.preprocessing = image_set, preprocessing
        self.table = order.reshape(-1, batch_size).tolist()
        self.pieces_a_batch = -(-batch_size // _PIECE)

    def __len__(self) -> int:
        return len(self.table) * self.pieces_a_batch

    def __getitem__(self, position: int) -> list[Example]:
        batch, piece = divmod(position, self.pieces_a_batch)
        return [self._decode(row) for row in self.table[batch][piece * _PIECE : (piece + 1) * _PIECE]]

    def _decode(self, row: int) -> Example:
        if row < 0:
            return row, None, ""
        try:
            return row, decode(self.image_set.file(row), self.preprocessing), ""
        except UnreadableImage as error:
            return row, None, error.reason


def batches(
    image_set: ImageSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    order: Int[np.ndarray, " m"] | Sequence[int] | None = None,
    start: int = 0,
    threads: int | None = None,
    ahead: int = 2,
) -> Iterator[Batch]:
    """The images of the rows `order` (by default all, in the set's order) in batches of one shape.

    The last batch is filled up with padding (-1; `order` may hold -1 itself). `start` is the first batch to deliver:
    what follows equals what an uninterrupted pass would have given. `threads` (default: one for each core, at most 32)
    decode up to `ahead` batches, or one piece of 8 images each, before they are asked for. An unreadable image becomes
    a masked row of zeros and an entry in `errors`.

    Close the iterator, or let go of it, to stop early: waiting work is dropped and the threads end.

    Raises `ValueError` for a batch size, start or row that is out of range.
    """
    rows = np.arange(len(image_set)) if order is None else np.asarray(order, dtype=np.int64).reshape(-1)
    if batch_size < 1 or ahead < 1 or (threads is not None and threads < 1):
        raise ValueError(f"batch_size, ahead and threads must be at least 1, got {batch_size}, {ahead} and {threads}")
    if rows.size and not (rows.min() >= -1 and rows.max() < len(image_set)):
        raise ValueError(f"order must hold rows in 0..{len(image_set) - 1}, or -1 for padding")
    count = -(-len(rows) // batch_size)
    if not 0 <= start <= count:
        raise ValueError(f"start must lie in 0..{count} (the number of batches), got {start}")
    padded = np.full(count * batch_size, -1, dtype=np.int64)
    padded[: len(rows)] = rows
    threads = min(_cores(), _MAX_THREADS) if threads is None else threads
    return _deliver(_Pieces(image_set, preprocessing, padded[start * batch_size :], batch_size), threads, ahead)


def _deliver(pieces: _Pieces, threads: int, ahead: int) -> Iterator[Batch]:
    if not len(pieces):
        return
    each = pieces.pieces_a_batch
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead * each, threads))
    decoded = iter(grain.MapDataset.source(pieces).to_iter_dataset(options))
    try:
        for _ in pieces.table:
            yield _collect([example for _ in range(each) for example in next(decoded)], pieces)
    finally:
        decoded.close()


def _collect(examples: list[Example], pieces: _Pieces) -> Batch:
    images = np.zeros((len(examples), *pieces.preprocessing.size, 3), np.uint8)
    labels, index = np.full((2, len(examples)), -1, np.int32)
    mask = np.zeros(len(examples), bool)
    errors = []
    for place, (row, pixels, reason) in enumerate(examples):
        index[place] = row
        if row >= 0:
            labels[place] = pieces.image_set.labels[row]
        if pixels is not None:
            images[place], mask[place] = pixels, True
        elif row >= 0:
            errors.append((row, reason))
    return Batch(images, labels, index, mask, tuple(errors))


def epoch_order(count: int, *, seed: int, epoch: int) -> Int[np.ndarray, " n"]:
    """A shuffle of 0..count-1 that depends on `seed` and `epoch` only, so that no state needs to be saved.

    Made from raw generator output, which numpy promises not to change, as it does not for `permutation`.
    """
    generator = np.random.PCG64(np.random.SeedSequence([seed, epoch]))
    return np.argsort(generator.random_raw(count), kind="stable")


def prefetch_to_device(items: Iterable[Item], put: Callable[[Item], Placed], *, depth: int = 2) -> Iterator[Placed]:
    """`put` every item, keeping `depth` of them placed ahead of the one in use.

    `jax.device_put` returns before the copy is done, so the transfer of the next batches overlaps with the computation.
    Closes `items` (where it can be closed) when it ends or is closed itself.

    Raises `ValueError` for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    return _prefetch(items, put, depth)


def _prefetch(items: Iterable[Item], put: Callable[[Item], Placed], depth: int) -> Iterator[Placed]:
    placed: deque[Placed] = deque()
    source = iter(items)
    try:
        for item in source:
            placed.append(put(item))
            if len(placed) > depth:
                yield placed.popleft()
        while placed:
            yield placed.popleft()
    finally:
        placed.clear()
        if callable(close := getattr(source, "close", None)):
            close()


@dataclass
class DecodeReport:
    """Counts images as batches pass by, and tells which of them could not be read."""

    image_set: ImageSet
    seen: set[int] = field(default_factory=set)
    """rows that came by, in any number of epochs"""
    errors: dict[int, str] = field(default_factory=dict)
    """row -> reason"""

    def watch(self, source: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; each is counted when it is delivered."""
        for batch in source:
            self.seen.update(batch.index[batch.index >= 0].tolist())
            self.errors.update(batch.errors)
            yield batch

    def lines(self, *, limit: int = 10) -> list[str]:
        """`skipped 3 of 500:` and one line `path: reason` for each of the first `limit`; empty if all were read."""
        if not self.errors:
            return []
        rows = sorted(self.errors)
        lines = [f"skipped {len(rows)} of {len(self.seen)}:"]
        lines += [f"  {self.image_set.paths[row]}: {self.errors[row]}" for row in rows[:limit]]
        return lines + ([f"  and {len(rows) - limit} more"] if len(rows) > limit else [])


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
