"""Batches of images for a device: decoded by threads, in a fixed order, padded to one shape."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import grain
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.images import ImageSet
from jaxcam.preprocessing import Preprocessing

_MAX_THREADS = 32
# Rows a task: grain's own work is about 40 us for each element, while the other threads wait for the interpreter.
_PIECE = 8
# Copying a prepared picture takes a few us only.
_PREPARED_PIECE = 64

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


class Pieces:
    """Random access for grain: piece k decodes some rows of one batch straight into that batch's array.

    `rows_of(batch)` gives a batch's rows, -1 for padding; batches are counted from 0, pieces from 0 over all batches.
    """

    def __init__(
        self,
        image_set: ImageSet,
        preprocessing: Preprocessing,
        rows_of: Callable[[int], Int[np.ndarray, " b"]],
        count: int,
        batch_size: int,
    ):
        image_set.check(preprocessing)
        self.image_set, self.preprocessing, self.rows_of = image_set, preprocessing, rows_of
        self.count, self.batch_size = count, batch_size
        source = image_set.source
        self.prepared = source if source is not None and source.applied is not None else None
        self.size = _PREPARED_PIECE if self.prepared else _PIECE
        self.pieces_a_batch = -(-batch_size // self.size)
        self.open: dict[int, np.ndarray] = {}
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return self.count * self.pieces_a_batch

    def __getitem__(self, position: int) -> list[tuple[int, str]]:
        """Fill a piece; (place in the batch, reason) of what could not be read."""
        batch, piece = divmod(position, self.pieces_a_batch)
        first = piece * self.size
        rows = self.rows_of(batch)[first : first + self.size]
        out = self.images(batch)[first : first + self.size]
        if self.prepared is not None:
            return self._gather(rows, out, first)
        errors = []
        for place, row in enumerate(rows.tolist()):
            if row < 0:
                out[place] = 0
                continue
            try:
                out[place] = self.image_set.decode(row, self.preprocessing)
            except UnreadableImage as error:
                out[place] = 0
                errors.append((first + place, error.reason))
        return errors

    def _gather(self, rows: np.ndarray, out: np.ndarray, first: int) -> list[tuple[int, str]]:
        known = np.flatnonzero(rows >= 0)
        places = rows if self.image_set.places is None else self.image_set.places[rows]
        if len(known) == len(rows):
            errors = self.prepared.gather(places, out)  # type: ignore[union-attr]
            return [(first + place, reason) for place, reason in errors.items()]
        out[:] = 0
        pixels = np.empty((len(known), *out.shape[1:]), np.uint8)
        errors = self.prepared.gather(places[known], pixels)  # type: ignore[union-attr]
        out[known] = pixels
        return [(first + int(known[place]), reason) for place, reason in errors.items()]

    def images(self, batch: int) -> np.ndarray:
        """The array that the pieces of a batch fill."""
        with self.lock:
            if batch not in self.open:
                self.open[batch] = np.empty((self.batch_size, *self.preprocessing.size, 3), np.uint8)
            return self.open[batch]

    def collect(self, batch: int, errors: list[tuple[int, str]]) -> Batch:
        """A batch all of whose pieces are filled."""
        with self.lock:
            images = self.open.pop(batch)
        index = self.rows_of(batch).astype(np.int32)
        labels = np.where(index >= 0, self.image_set.labels[index] if len(self.image_set) else -1, -1)
        mask = index >= 0
        mask[[place for place, _ in errors]] = False
        named = tuple((int(index[place]), reason) for place, reason in errors)
        return Batch(images, labels.astype(np.int32), index, mask, named)


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
    a masked row of zeros and an entry in `errors`. Of a prepared set the rows are copied, not decoded.

    Close the iterator, or let go of it, to stop early: waiting work is dropped and the threads end.

    Raises `ValueError` for a batch size, start or row that is out of range, `UserError` for a set that was prepared for
    another size.
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
    table = padded.reshape(-1, batch_size)[start:]
    pieces = Pieces(image_set, preprocessing, lambda batch: table[batch], len(table), batch_size)
    return deliver(pieces, threads, ahead)


def deliver(pieces: Pieces, threads: int | None = None, ahead: int = 2) -> Iterator[Batch]:
    """The batches of `pieces`, filled by threads up to `ahead` batches before they are asked for."""
    if not len(pieces):
        return
    threads, each = min(cores(), _MAX_THREADS) if threads is None else threads, pieces.pieces_a_batch
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead * each, threads))
    filled = iter(grain.MapDataset.source(pieces).to_iter_dataset(options))
    try:
        for batch in range(pieces.count):
            yield pieces.collect(batch, [error for _ in range(each) for error in next(filled)])
    finally:
        filled.close()


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


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
