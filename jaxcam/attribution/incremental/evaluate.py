"""One evaluation: the base pass, the windows in groups and chunks, then what follows the boxes for all at once."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcam.attribution.incremental.geometry import Group
from jaxcam.attribution.incremental.programs import Program
from jaxcam.attribution.incremental.regions import Chunk, Region, fold, read_array, unfold
from jaxcam.attribution.incremental.schedule import Schedule
from jaxcam.attribution.incremental.walk import Changed, Loose, Walk, merged, plain_values


def base_walk(program: Program, schedule: Schedule, constants: Sequence[Any], images: Any) -> Walk:
    """The walk over the values of the unchanged images."""
    known = {**program.literals, **dict(zip(program.constants, constants, strict=True))}
    known = plain_values(program, known, touched=False)
    base = plain_values(program, {**known, program.image: images}, touched=True)
    return Walk(program, schedule.extents, base)


def window_outputs(walk: Walk, schedule: Schedule, fill: Any, chosen: Any | None) -> list[Any]:
    """Outputs (n, p, ...) of all windows, or of those that `chosen` numbers (one group)."""
    program, count = walk.program, sum(len(group.windows) for group in schedule.groups)
    parts = []
    for group, limit in zip(schedule.groups, schedule.windows, strict=True):

        def run(chunk: Chunk, group: Group = group) -> list[Any]:
            values = walk.run(schedule.local, {program.image: start(walk, group, chunk, fill)}, group, chunk)
            return [whole_windows(values[value], chunk) for value in schedule.frontier]

        axes = [window_axis(walk, value) for value in schedule.frontier]
        parts.append(in_chunks(run, chosen, len(group.windows), limit, axes))
    order = np.argsort(np.concatenate([group.windows for group in schedule.groups]), kind="stable")
    if chosen is not None:
        count, order = chosen.shape[0], np.arange(chosen.shape[0])
    values: dict[int, Changed] = {}
    for value, *pieces in zip(schedule.frontier, *parts, strict=True):
        axis = window_axis(walk, value)
        array = jnp.concatenate(pieces, axis) if len(pieces) > 1 else pieces[0]
        if (order != np.arange(count)).any():
            array = jnp.take(array, order, axis, mode="clip", unique_indices=True)
        values[value] = Region(walk.base[value], fold(array), {}) if axis else Loose(array)
    everything = Group(np.arange(count), {value: {} for value in program.touched})
    values = walk.run(schedule.dense, values, everything, Chunk(None, count))
    return [output(walk, values.get(value), value, count) for value in program.outputs]


def start(walk: Walk, group: Group, chunk: Chunk, fill: Any) -> Region:
    """The images with the windows' new contents."""
    image = walk.program.image
    sides, shape = group.sides[image], walk.program.shape(image)
    if fill.ndim == 4 or fill.shape[:2] == shape[1:3]:
        array = read_array(fill if fill.ndim == 4 else fill[None], sides, chunk, 0)
    else:
        array = jnp.broadcast_to(fill, (1, 1, sides[1].length, sides[2].length, shape[3]))
    patch = jnp.broadcast_to(array, (shape[0], chunk.count, *array.shape[2:]))
    return Region(walk.base[image], fold(patch), sides)


def in_chunks(
    run: Callable[[Chunk], list[Any]], chosen: Any | None, total: int, limit: int, axes: Sequence[int]
) -> list[Any]:
    """`run` for a group's windows (or those that `chosen` numbers), at most `limit` at a time, joined along `axes`."""
    count = total if chosen is None else chosen.shape[0]
    if count <= limit:
        return run(Chunk(chosen, count))
    times = -(-count // limit)
    size = -(-count // times)
    # The last chunk repeats the last window.
    places = np.arange(times * size).clip(max=count - 1).reshape(times, size).astype(np.int32)
    numbers = jnp.asarray(places) if chosen is None else chosen[places]
    results = lax.map(lambda windows: run(Chunk(windows, size)), numbers)
    return [
        lax.slice_in_dim(joined(result, axis), 0, count, axis=axis) for result, axis in zip(results, axes, strict=True)
    ]


def joined(array: Any, axis: int) -> Any:
    """(t, ..., k, ...) with k on `axis` of the rest to (..., t * k, ...)."""
    array = jnp.moveaxis(array, 0, axis)
    return array.reshape(*array.shape[:axis], -1, *array.shape[axis + 2 :])


def window_axis(walk: Walk, value: int) -> int:
    """Where the windows stand: behind the images, or first in a value without images."""
    return 0 if walk.extents.get(value, {}) is None else 1


def whole_windows(value: Changed, chunk: Chunk) -> Any:
    """(n, p, ...) of whole activations, or (p, ...)."""
    return value.array if isinstance(value, Loose) else unfold(merged(value, chunk), chunk.count)


def output(walk: Walk, changed: Changed | None, value: int, count: int) -> Any:
    """One output with its axis of windows; one that no window changes is repeated."""
    if isinstance(changed, Loose):
        return changed.array
    if changed is not None:
        return unfold(changed.patch, count)
    array = jnp.asarray(walk.base[value])
    if array.shape[:1] == (walk.program.batch,):
        return jnp.broadcast_to(array[:, None], (array.shape[0], count, *array.shape[1:]))
    return jnp.broadcast_to(array, (count, *array.shape))
