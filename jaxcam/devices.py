"""Devices: one mesh axis `data`; batches are split over it, parameters are everywhere."""

from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec


@cache
def mesh() -> jax.sharding.Mesh:
    """All devices in one row."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def padded(rows: int) -> int:
    """`rows` rounded up so that they divide over the devices."""
    devices = jax.device_count()
    return -(-rows // devices) * devices


def shard(batch: Any) -> Any:
    """Put a tree of arrays on the devices, split along the first axis; a copy is under way when this returns."""
    return jax.device_put(batch, NamedSharding(mesh(), PartitionSpec("data")))


def replicate(tree: Any) -> Any:
    """Put a tree of arrays on every device."""
    return jax.device_put(tree, NamedSharding(mesh(), PartitionSpec()))


def pad_rows(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` with zero rows added at the end."""
    missing = rows - len(array)
    return array if missing == 0 else np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
