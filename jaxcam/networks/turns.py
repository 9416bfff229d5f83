"""A batch taken a few rows at a time: for CPUs, whose caches hold less than a batch."""

import os
from collections.abc import Callable

import jax
from jax import lax
from jaxtyping import Array

THREADS = 4
"""threads that one image keeps busy"""


def rows_for(size: int, batch: int, limit: int, *, least: int = 1) -> int:
    """How many of `batch` images go together: `size` bytes each, at most `limit`, but at least `least` for a device.

    It divides the batch; where no such number comes near, it is the batch. Images of every device stay on it: a turn
    takes as many of each.
    """
    devices = jax.local_device_count("cpu")
    if not isinstance(batch, int) or not size or not batch or jax.process_count() > 1 or batch % devices:
        return batch
    own = batch // devices
    wanted = max(least, limit // size, (os.cpu_count() or 1) // THREADS)
    fitting = max((count for count in range(least, min(own, wanted) + 1) if own % count == 0), default=own)
    return devices * fitting


def in_turns(function: Callable[[Array], Array], x: Array, *, rows: int) -> Array:
    """`function(x)`, whose rows do not depend on each other, in a loop over parts of `rows`, which divide the batch."""
    if rows == x.shape[0]:
        return function(x)
    devices = jax.local_device_count("cpu")
    turns, each = x.shape[0] // rows, rows // devices
    # (device, turn, own rows): where the batch is split over devices, each takes its own rows in every turn.
    split = x.reshape(devices, turns, each, *x.shape[1:]).swapaxes(0, 1)

    def one(part: Array) -> Array:
        found = function(part.reshape(rows, *x.shape[1:]))
        return found.reshape(devices, each, *found.shape[1:])

    found = lax.map(one, split)
    return found.swapaxes(0, 1).reshape(x.shape[0], *found.shape[3:])
