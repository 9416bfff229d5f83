"""How well a map does what it claims: numbers for maps that are there already."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


def heat_in_mask(heat: Float[Array, "n h w"], masks: Bool[Array, "n height width"]) -> Float32[Array, " n"]:
    """Share of the heat that falls into the mask, 0..1 (energy-based pointing game, Wang et al., 2020).

    The positive part of each map is enlarged to the mask's size, half-pixel bilinear. NaN for a map without positive
    heat; an even map gives the mask's share of the area.

    >>> heat_in_mask(jnp.ones((1, 2, 2)), jnp.array([[[True, False], [False, False]]])).item()
    0.25
    """
    large = jax.image.resize(jax.nn.relu(heat.astype(jnp.float32)), masks.shape, "linear", antialias=False)
    inside = jnp.where(masks, large, 0).sum((1, 2))
    total = large.sum((1, 2))
    return jnp.where(total > 0, inside / jnp.where(total > 0, total, 1), jnp.nan)
