"""Reductions over the changed axes, without building the whole changed activation."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcam.attribution.incremental.boxes import Sides
from jaxcam.attribution.incremental.programs import Step
from jaxcam.attribution.incremental.regions import Chunk, Region, fold, spread
from jaxcam.attribution.incremental.rules import highest, lowest

COMBINE = {"reduce_sum": lax.add, "reduce_prod": lax.mul, "reduce_max": lax.max, "reduce_min": lax.min}
IDENTITY = {"reduce_sum": lambda dtype: 0, "reduce_prod": lambda dtype: 1, "reduce_max": lowest, "reduce_min": highest}


def ends(step: Step, sides: Sides) -> bool:
    """Whether the step reduces over all axes along which the change is local."""
    return step.name in COMBINE and bool(sides) and set(sides) <= set(step.params["axes"])


def reduced(step: Step, region: Region, chunk: Chunk) -> Any:
    """The reduction (n * p, ...): of the base outside the box, combined with that of the box.

    Not the base's total plus the change: a difference of large sums would lose digits, and a base that is not finite
    inside the box would spoil the result.
    """
    (patch,) = step.bind(region.patch)
    if all(side.full for side in region.sides.values()):
        return patch
    inside: Any = True
    for axis, side in region.sides.items():
        position = np.arange(side.size, dtype=np.int32) - chunk.of(side.starts)[:, None]
        inside = inside & spread((position >= 0) & (position < side.length), axis, region.base.ndim)
    identity = jnp.asarray(IDENTITY[step.name](region.base.dtype), region.base.dtype)
    outside = jnp.where(inside, identity, region.base[:, None])
    (rest,) = step.bind(outside, axes=tuple(axis + 1 for axis in step.params["axes"]))
    return COMBINE[step.name](fold(rest), patch)
