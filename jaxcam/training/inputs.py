"""What a training step is fed: pictures, or what the frozen base makes of them, computed once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import Batch, batches, prefetch_to_device
from jaxcam.errors import UserError
from jaxcam.progress import Progress


class StepInputs(NamedTuple):
    """What this process brings of one padded batch (`devices.own_rows`), on the host."""

    inputs: Shaped[np.ndarray, "b ..."]
    labels: Int32[np.ndarray, " b"]
    mask: Bool[np.ndarray, " b"]


@dataclass(frozen=True)
class Cached:
    """Inputs held in memory: `uint8` images, or features at the stage `start`."""

    start: str | None
    values: Shaped[np.ndarray, "n ..."]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def gib(self) -> float:
        """Memory that is held."""
        return self.values.nbytes / 2**30

    def epoch(self, table: Int[np.ndarray, "s b"]) -> Iterator[StepInputs]:
        """A batch for each row of `table`, of the inputs numbered there; -1 is padding and masked."""
        for rows in table[:, devices.own_rows(table.shape[1])]:
            known = np.maximum(rows, 0)
            yield StepInputs(self.values[known], self.labels[known], rows >= 0)


@dataclass(frozen=True)
class Streamed:
    """Inputs decoded anew in every epoch."""

    images: ImageSet
    classifier: Classifier
    start: str | None = field(default=None, init=False)
    gib: float = field(default=0.0, init=False)
    unreadable: dict[str, str] = field(default_factory=dict, init=False)
    """path -> reason of the images that could not be read in the epochs so far"""

    def __len__(self) -> int:
        return len(self.images)

    def epoch(self, table: Int[np.ndarray, "s b"]) -> Iterator[StepInputs]:
        """A batch for each row of `table`, of the images numbered there; -1 and unreadable images are masked."""
        own = table[:, devices.own_rows(table.shape[1])]
        preprocessing = self.classifier.preprocessing
        for batch in batches(self.images, preprocessing, batch_size=own.shape[1], order=own.reshape(-1)):
            self.unreadable.update((self.images.paths[row], reason) for row, reason in batch.errors)
            labels = np.maximum(batch.labels, 0).astype(np.int32)
            yield StepInputs(batch.images, labels, batch.mask & (batch.labels >= 0))


Inputs = Cached | Streamed


def in_order(count: int, batch_size: int) -> Int[np.ndarray, "s b"]:
    """The rows of a set of `count`, in order, as a table with a line a batch; -1 is padding."""
    firsts = range(0, count, batch_size)
    return filled([np.arange(first, min(first + batch_size, count)) for first in firsts], batch_size)


def shuffled(
    count: int, batch_size: int, *, epoch: int, steps: int, order: Callable[[int], Int[np.ndarray, " n"]]
) -> Int[np.ndarray, "s b"]:
    """The rows of the `steps` batches of an epoch (counted from 0), as a table with a line a batch; -1 is padding.

    `order(k)` is the order of pass k. Passes follow each other whatever the length of an epoch; each holds every row
    once, and its last batch may be short.
    """
    each = -(-count // batch_size)
    lines, current, rows = [], -1, np.zeros(0, np.int64)
    for step in range(epoch * steps, (epoch + 1) * steps):
        number, batch = divmod(step, each)
        if number != current:
            current, rows = number, order(number)
        lines.append(rows[batch * batch_size : (batch + 1) * batch_size])
    return filled(lines, batch_size)


def filled(lines: list[np.ndarray], batch_size: int) -> Int[np.ndarray, "s b"]:
    """Lines of row numbers as a table, filled up with -1 so that batches divide over the devices."""
    table = np.full((len(lines), devices.padded(batch_size)), -1, np.int64)
    for place, line in enumerate(lines):
        table[place, : len(line)] = line
    return table


def gather(
    classifier: Classifier,
    images: ImageSet,
    start: str | None,
    *,
    cache_gib: float,
    progress: Progress,
    batch_size: int = 32,
) -> tuple[Inputs, tuple[tuple[str, str], ...]]:
    """Inputs for the stages after `start` (None: the images themselves), and the images that could not be read.

    They are held in memory where they fit into `cache_gib`, otherwise the images are streamed.
    """
    leaf = input_leaf(classifier, start)
    if len(images) * math.prod(leaf.shape) * leaf.dtype.itemsize > cache_gib * 2**30:
        return Streamed(images, classifier), ()

    alone = start is None and jax.process_count() == 1
    compute = jax.jit(
        lambda params, x, mask: (x if start is None else classifier.apply(params, x, stop=start), mask),
        out_shardings=devices.everywhere(),
    )
    params = None if start is None else devices.replicate(classifier.params)

    def put(batch: Batch) -> tuple[Batch, Any]:
        mask = batch.mask & (batch.labels >= 0)
        # Each process brings its part of the batch; what comes out of it is the whole batch in every process.
        return batch, (batch.images, mask) if alone else compute(params, *devices.assemble((batch.images, mask)))

    # Filled in place: joining the batches at the end would hold everything twice.
    values, labels, errors = np.empty((len(images), *leaf.shape), leaf.dtype), [], []
    count = 0
    what = "decoding" if start is None else f"features at {start}"
    table = in_order(len(images), batch_size)
    own = table[:, devices.own_rows(table.shape[1])]
    source = batches(images, classifier.preprocessing, batch_size=own.shape[1], order=own.reshape(-1))
    ready = progress.over(prefetch_to_device(source, put), len(table), f"{images.name}: {what}")
    for rows, (batch, placed) in zip(table, ready, strict=True):
        found, keep = jax.device_get(placed)
        errors += [(images.paths[row], reason) for row, reason in batch.errors]
        elsewhere = (rows >= 0) & ~keep & ~np.isin(rows, batch.index) & (images.labels[rows] >= 0)
        errors += [(images.paths[row], "unreadable, says another process") for row in rows[elsewhere]]
        kept = int(keep.sum())
        values[count : count + kept] = found[keep]
        labels.append(images.labels[rows[keep]])
        count += kept
    if count == 0:
        raise UserError(f"no readable picture in {images.root}{f': {errors[0][0]}: {errors[0][1]}' if errors else ''}")
    return Cached(start, values[:count], np.concatenate(labels).astype(np.int32)), tuple(errors)


def input_leaf(classifier: Classifier, start: str | None) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one input, without the batch axis."""
    height, width = classifier.preprocessing.size
    leaf = jax.ShapeDtypeStruct((1, height, width, 3), jnp.uint8)
    if start is not None:
        leaf = jax.eval_shape(lambda params, x: classifier.apply(params, x, stop=start), classifier.params, leaf)
    return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
