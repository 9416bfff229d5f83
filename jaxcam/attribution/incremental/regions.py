"""Reading boxes of activations of which only a box has changed.

A folded array has images times windows on axis 0, image-major, so that a batch split over devices stays split.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jaxcam.attribution.incremental.boxes import Side, Sides


@dataclass(frozen=True)
class Chunk:
    """Some windows of a group: their numbers within the group (None: all, in order) and how many there are."""

    windows: Array | None
    count: int

    def of(self, values: np.ndarray) -> Any:
        """These windows' entries of a table of the group."""
        values = values.astype(np.int32)
        return values if self.windows is None else jnp.asarray(values)[self.windows]


@dataclass(frozen=True)
class Region:
    """An activation that equals `base` (n ...) except in a box along some axes; `patch` (n * p ...) holds the box.

    Without sides nothing is shared with the base, and `patch` is all of it.
    """

    base: Any
    patch: Any
    sides: Sides


def fold(array: Any) -> Any:
    """(n, p, ...) to (n * p, ...)."""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def unfold(array: Any, count: int) -> Any:
    """(n * p, ...) to (n, p, ...)."""
    return array.reshape(array.shape[0] // count, count, *array.shape[1:])


def repeat(array: Any, count: int) -> Any:
    """(n, ...) to (n * count, ...), the same for every window."""
    return fold(jnp.broadcast_to(array[:, None], (array.shape[0], count, *array.shape[1:])))


def trim(sides: Sides) -> tuple[dict[int, Side], dict[int, tuple[int, int]]]:
    """The parts inside the array and the padding they lack, where it is the same for all windows of the group."""
    inside, pads = {}, {}
    for axis, box in sides.items():
        before = np.maximum(0, -box.starts)
        after = np.maximum(0, box.starts + box.length - box.size)
        pads[axis] = (0, 0)
        inside[axis] = box
        if (before == before[0]).all() and (after == after[0]).all() and before[0] + after[0] < box.length:
            pads[axis] = (int(before[0]), int(after[0]))
            inside[axis] = Side(box.starts + before[0], box.length - int(before[0] + after[0]), box.size)
    return inside, pads


def gather(array: Any, indices: Mapping[int, Any], *, windows: bool) -> Any:
    """Boxes (n, p, ...) at `indices`, (p, length) positions an axis; `windows`: the array is (n, p, ...) already."""
    axes = sorted(indices)
    shift = int(windows)
    count = indices[axes[0]].shape[0]
    grid = (count, *(indices[axis].shape[1] for axis in axes))
    columns = []
    for place, axis in enumerate(axes):
        index = indices[axis]
        shape = [count if i == 0 else index.shape[1] if i == place + 1 else 1 for i in range(len(grid))]
        columns.append(jnp.broadcast_to(index.reshape(shape), grid))
    starts = jnp.stack(columns, axis=-1)
    placed = {1, *(axis + 1 for axis in axes)}
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(i for i in range(array.ndim + 1 - shift) if i not in placed),
        collapsed_slice_dims=tuple(axis + shift for axis in axes),
        start_index_map=tuple(axis + shift for axis in axes),
        operand_batching_dims=(1,) if windows else (),
        start_indices_batching_dims=(0,) if windows else (),
    )
    taken = {axis + shift for axis in axes} | ({1} if windows else set())
    sizes = tuple(1 if i in taken else size for i, size in enumerate(array.shape))
    return lax.gather(array, starts, numbers, sizes, mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS)


def spread(mask: Any, axis: int, rank: int) -> Any:
    """A mask (p, length) of `axis` as an array that broadcasts against (n, p, ...) boxes of that rank."""
    shape = [1] * (rank + 1)
    shape[1], shape[axis + 1] = mask.shape
    return mask.reshape(shape)


def read(region: Region, boxes: Sides, chunk: Chunk, fill: Any) -> Any:
    """The activation (n * p, ...) in boxes along all axes of the region's sides; `fill` stands beyond the ends."""
    ours = region.sides
    if not ours or all(same(ours[axis], boxes[axis]) for axis in ours):
        return region.patch
    rank = region.patch.ndim
    inner, outer, changed, beyond = {}, {}, [], []
    for axis, box in boxes.items():
        index = chunk.of(box.starts)[:, None] + np.arange(box.length, dtype=np.int32)
        own = ours[axis]
        relative = index - chunk.of(own.starts)[:, None]
        starts, last = box.starts - own.starts, own.length - box.length
        if (starts < 0).any() or (starts > last).any():
            changed.append(spread((relative >= 0) & (relative < own.length), axis, rank))
        if (box.starts < 0).any() or (box.starts + box.length > box.size).any():
            beyond.append(spread((index < 0) | (index >= box.size), axis, rank))
        inner[axis] = relative.clip(0, own.length - 1)
        outer[axis] = index.clip(0, box.size - 1)
    boxed = gather(unfold(region.patch, chunk.count), inner, windows=True)
    if changed:
        here = reduce(and_, changed)
        boxed = jnp.where(here, boxed, gather(region.base, outer, windows=False))
    if beyond:
        out = reduce(or_, beyond)
        boxed = jnp.where(out, jnp.asarray(fill, boxed.dtype), boxed)
    return fold(boxed)


def read_array(array: Any, boxes: Sides, chunk: Chunk, fill: Any) -> Any:
    """Boxes (n * p, ...) of an array that no window changes; axis 0 may be 1."""
    indices, beyond = {}, []
    for axis, box in boxes.items():
        index = chunk.of(box.starts)[:, None] + np.arange(box.length, dtype=np.int32)
        if (box.starts < 0).any() or (box.starts + box.length > box.size).any():
            beyond.append(spread((index < 0) | (index >= box.size), axis, array.ndim))
        indices[axis] = index.clip(0, box.size - 1)
    boxed = gather(array, indices, windows=False)
    for mask in beyond:
        boxed = jnp.where(mask, jnp.asarray(fill, boxed.dtype), boxed)
    return boxed


def same(one: Side, other: Side) -> bool:
    """Whether two sides hold the same positions for every window."""
    return one.length == other.length and bool((one.starts == other.starts).all())
