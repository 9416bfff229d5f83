"""Several maps in one: of several layers, or of several methods."""

from collections.abc import Sequence
from functools import reduce
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.resize import Rule, resize

Rescaling = Literal["min-max", "max", "none"]
How = Literal["mean", "max", "product"]


def rescaled(
    maps: Float[Array, "*batch h w"], rescaling: Rescaling | str = "min-max", *, eps: float = 0.0
) -> Float32[Array, "..."]:
    """Each map by itself from 0 to 1: `min-max`, or divided by its `max`; `eps` is added to what is divided by.

    With `eps=0` a map that is the same everywhere (`min-max`), or that has no positive value (`max`), becomes 0. A map
    with NaN in it is NaN everywhere.
    """
    if rescaling not in get_args(Rescaling):
        raise ValueError(f"unknown rescaling {rescaling!r}; there are: {', '.join(get_args(Rescaling))}")
    maps = maps.astype(jnp.float32)
    if rescaling == "none":
        return maps
    low = maps.min((-2, -1), keepdims=True) if rescaling == "min-max" else jnp.zeros((), jnp.float32)
    raised = maps - low
    top = raised.max((-2, -1), keepdims=True) + eps
    # Not `top > 0`, which would hide NaN.
    return jnp.where(top <= 0, 0.0, raised / jnp.where(top <= 0, 1.0, top))


def fuse(
    maps: Sequence[Float[Array, "*batch _ _"]],
    *,
    how: How | str = "mean",
    size: tuple[int, int] | None = None,
    rescaling: Rescaling | str = "min-max",
    rule: Rule | str = "bilinear",
    relu: bool = True,
) -> Float32[Array, "..."]:
    """Maps of several layers (or methods) as one map each image: their mean, largest value or product.

    Maps are (n, h, w) or (n, t, h, w), and may differ in h and w. Each is cut at zero (`relu`), brought to 0..1 by
    itself (`rescaling`), enlarged to `size` (None: the largest height and width among them), half-pixel bilinear; then
    they are put together. `how="mean"` is what pytorch-grad-cam does with several layers, before its last rescaling.
    A layer's map that is all zero counts as zeros. Returns float32.

    >>> first, second = jnp.array([[[0.0, 1], [2, 3]]]), jnp.array([[[3.0, 2], [1, 0]]])
    >>> (9 * fuse([first, second], how="product")).round(3).tolist()
    [[[0.0, 2.0], [2.0, 0.0]]]
    """
    if how not in get_args(How):
        raise ValueError(f"unknown way to fuse {how!r}; there are: {', '.join(get_args(How))}")
    if not maps or len({m.shape[:-2] for m in maps}) != 1:
        raise ValueError(f"fuse needs maps of the same images and targets, got {[m.shape for m in maps]}")
    common = size or (max(m.shape[-2] for m in maps), max(m.shape[-1] for m in maps))
    ready = [resize(rescaled(jax.nn.relu(m) if relu else m, rescaling), common, rule) for m in maps]
    if how == "mean":
        return sum(ready[1:], start=ready[0]) / len(ready)
    return reduce(jnp.maximum if how == "max" else jnp.multiply, ready)
