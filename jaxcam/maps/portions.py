"""Chosen images of a set on the devices, a batch at a time, with the targets that their maps were made for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.maps.store import MapStore


@dataclass(frozen=True)
class Portion:
    """A batch; what is on the devices is filled up to one size and split over them."""

    rows: Int[np.ndarray, " m"]
    """rows in the set"""
    start: int
    """place of the first one among the chosen images"""
    readable: Bool[np.ndarray, " m"]
    pixels: UInt8[Array, "n h w 3"]
    targets: Int[Array, " n"]
    numbers: Int[Array, " n"]
    """`rows` on the devices"""

    def put(self, values: Shaped[np.ndarray, "m ..."]) -> Shaped[Array, "n ..."]:
        """Values for the images, on the devices."""
        return devices.shard(devices.pad_rows(values, self.pixels.shape[0]))

    def take(self, tree: Any) -> Any:
        """A tree of arrays (n,) from the devices: one number an image, NaN where it can no longer be read."""
        wanted = len(self.rows)
        return jax.tree.map(lambda values: np.where(self.readable, np.asarray(values)[:wanted], np.nan), tree)


def portions(
    classifier: Classifier, images: ImageSet, store: MapStore, rows: Int[np.ndarray, " m"], batch_size: int
) -> Iterator[Portion]:
    """The images of `rows`, batch by batch; the next one is decoded and copied meanwhile."""
    size = devices.padded(batch_size)

    def put(batch):
        return batch, devices.shard(devices.pad_rows(batch.images, size))

    source = batches(images, classifier.preprocessing, batch_size=batch_size, order=rows)
    for number, (batch, pixels) in enumerate(prefetch_to_device(source, put, depth=1)):
        real = batch.index >= 0
        chosen = batch.index[real].astype(np.int64)
        # An image that could not be read has no target; any will do, for its numbers are not taken.
        targets = np.maximum(store.read("targets", chosen)[:, 0], 0).astype(np.int32)
        filled = (devices.shard(devices.pad_rows(values, size)) for values in (targets, chosen.astype(np.int32)))
        yield Portion(chosen, number * batch_size, batch.mask[real], pixels, *filled)


def joined(parts: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Float[np.ndarray, " n"]]]:
    """The numbers of several portions, one after the other."""
    return jax.tree.map(lambda *values: np.concatenate(values).astype(np.float64), *parts)
