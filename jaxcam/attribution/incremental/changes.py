"""What the windows change in a function's maps, kept as boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcam.attribution.incremental.boxes import Sides
from jaxcam.attribution.incremental.regions import Chunk, Region, read_array, unfold
from jaxcam.attribution.incremental.walk import merged


@dataclass(frozen=True)
class Part:
    """The windows of one group: their numbers, the boxes' corners (m, 2), and the values inside (n, m, h, w, c)."""

    windows: Int[np.ndarray, " m"]
    sides: Sides
    patches: Any

    @property
    def corners(self) -> Int[np.ndarray, "m a"]:
        """First changed row and column of every window's box; no columns where the box is all of the map."""
        return (
            np.stack([self.sides[axis].starts for axis in sorted(self.sides)], axis=-1)
            if self.sides
            else np.zeros((len(self.windows), 0), int)
        )


@dataclass(frozen=True)
class Changes:
    """The maps `base` (n h w c) of the unchanged images, and for every window the box in which they differ."""

    base: Any
    parts: Sequence[Part]

    def dot(self, weights: Float[Array, "n h w c"]) -> Float[Array, "n p"]:
        """Sum over positions and channels of (changed - base) * weights, for every window, in the weights' dtype."""
        found = []
        for part in self.parts:
            chunk = Chunk(None, len(part.windows))
            base, factor = (
                read_array(array, part.sides, chunk, 0) if part.sides else array[:, None]
                for array in (self.base, weights)
            )
            product = (part.patches.astype(weights.dtype) - base.astype(weights.dtype)) * factor
            found.append(product.sum(tuple(range(2, product.ndim))))
        return jnp.concatenate(found, axis=1)[:, self.order()]

    def dense(self) -> Float[Array, "n p h w c"]:
        """The whole changed maps of every window."""
        found = []
        for part in self.parts:
            chunk = Chunk(None, len(part.windows))
            flat = part.patches.reshape(-1, *part.patches.shape[2:])
            found.append(unfold(merged(Region(self.base, flat, part.sides), chunk), chunk.count))
        return jnp.concatenate(found, axis=1)[:, self.order()]

    def order(self) -> Int[np.ndarray, " p"]:
        """Where each window stands in the parts."""
        return np.argsort(np.concatenate([part.windows for part in self.parts]), kind="stable")
