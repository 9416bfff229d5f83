"""What a training step is fed: pictures, or what the frozen base makes of them, computed once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches
from jaxcam.errors import UserError
from jaxcam.progress import Progress


class StepInputs(NamedTuple):
    """One padded batch on the host."""

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

    def epoch(self, order: Int[np.ndarray, " m"], batch_size: int) -> Iterator[StepInputs]:
        """Batches of the rows in `order`; the last one is padded and masked."""
        size = devices.padded(batch_size)
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            mask = np.arange(size) < len(rows)
            yield StepInputs(devices.pad_rows(self.values[rows], size), devices.pad_rows(self.labels[rows], size), mask)


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

    def epoch(self, order: Int[np.ndarray, " m"], batch_size: int) -> Iterator[StepInputs]:
        """Batches of the rows in `order`; unreadable images and padding are masked."""
        size = devices.padded(batch_size)
        for batch in batches(self.images, self.classifier.preprocessing, batch_size=batch_size, order=order):
            self.unreadable.update((self.images.paths[row], reason) for row, reason in batch.errors)
            labels = np.maximum(batch.labels, 0).astype(np.int32)
            mask = batch.mask & (batch.labels >= 0)
            yield StepInputs(*(devices.pad_rows(a, size) for a in (batch.images, labels, mask)))


Inputs = Cached | Streamed


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
    shape = input_shape(classifier, start)
    dtype = jnp.dtype(jnp.uint8 if start is None else classifier.network.dtype)
    if len(images) * math.prod(shape) * dtype.itemsize > cache_gib * 2**30:
        return Streamed(images, classifier), ()

    compute = jax.jit(lambda params, x: classifier.apply(params, x, stop=start))
    size = devices.padded(batch_size)
    params = devices.replicate(classifier.params)
    # Filled in place: joining the batches at the end would hold everything twice.
    values, labels, errors = np.empty((len(images), *shape), dtype), [], []
    count = 0
    what = "decoding" if start is None else f"features at {start}"
    steps = -(-len(images) // batch_size)
    for batch in progress.over(
        batches(images, classifier.preprocessing, batch_size=batch_size), steps, f"{images.name}: {what}"
    ):
        errors += [(images.paths[row], reason) for row, reason in batch.errors]
        keep = batch.mask & (batch.labels >= 0)
        rows: Any = batch.images
        if start is not None:
            rows = np.asarray(compute(params, devices.shard(devices.pad_rows(rows, size))))[: len(keep)]
        kept = int(keep.sum())
        values[count : count + kept] = rows[keep]
        labels.append(batch.labels[keep])
        count += kept
    if count == 0:
        raise UserError(f"no readable picture in {images.root}{f': {errors[0][0]}: {errors[0][1]}' if errors else ''}")
    return Cached(start, values[:count], np.concatenate(labels).astype(np.int32)), tuple(errors)


def input_shape(classifier: Classifier, start: str | None) -> tuple[int, ...]:
    """Shape of one input, without the batch axis."""
    height, width = classifier.preprocessing.size
    if start is None:
        return (height, width, 3)
    return classifier.chain.shapes((1, height, width, 3))[start][1:]
