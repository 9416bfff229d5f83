"""Exchanged backgrounds: in training, objects are put before the backgrounds of other pictures of the batch.

What stands behind an object then tells nothing about its class. The pictures come marked with their masks (see
`jaxcam.data.backgrounds`); the hole that an object leaves in the picture that lends its background is filled from
around it. All of it happens on the device, inside the training step.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float32, Int32, Num, PRNGKeyArray, UInt8

BIT = np.uint8(1)
"""of the blue channel: set on the object"""
HALO = 0.02
"""by which the hole of an object is enlarged, as a share of the shorter side: shadows and soft edges"""


def exchange(share: float, key: PRNGKeyArray, images: UInt8[Array, "n h w 3"]) -> Float32[Array, "n h w 3"]:
    """Put about `share` of the marked pictures' objects before the background of another picture of the batch.

    Values 0..255. Pictures without a mark keep their background and may lend it; rows of zeros (padding) do neither.
    Pure and the same for a batch on one device or on several.
    """
    count = images.shape[0]
    masks = (images[..., 2] & BIT) > 0
    pixels = images.at[..., 2].set(images[..., 2] & ~BIT).astype(jnp.float32)
    lenders = (pixels > 0).any((1, 2, 3))
    chosen, partners = draws(share, key, count)
    swapped = chosen & masks.any((1, 2)) & lenders[partners] & (partners != jnp.arange(count))
    behind = filled(pixels, widened(masks))[partners]
    around = lax.reduce_window(masks.astype(jnp.float32), 0.0, lax.add, (1, 3, 3), (1, 1, 1), "SAME") / 9
    cover = jnp.where(masks, around, 0)[
        ..., None
    ]  # the outermost pixels are mixed, so that no rim of the old background shows
    return jnp.where(swapped[:, None, None, None], pixels * cover + behind * (1 - cover), pixels)


def draws(share: float, key: PRNGKeyArray, count: int) -> tuple[Bool[Array, " n"], Int32[Array, " n"]]:
    """Which pictures get another background, and whose."""
    one, two = jax.random.split(key)
    return jax.random.bernoulli(one, share, (count,)), jax.random.permutation(two, jnp.arange(count))


def widened(masks: Bool[Array, "n h w"]) -> Bool[Array, "n h w"]:
    """Masks with everything near them."""
    side = 2 * max(1, round(HALO * min(masks.shape[1:]))) + 1
    return lax.reduce_window(masks.astype(jnp.float32), 0.0, lax.max, (1, side, side), (1, 1, 1), "SAME") > 0


def filled(pixels: Num[Array, "n h w 3"], holes: Bool[Array, "n h w"]) -> Float32[Array, "n h w 3"]:
    """Holes filled smoothly from around them, by averages at ever coarser scales (pull-push, Gortler et al. 1996)."""
    weights = 1 - holes[..., None].astype(jnp.float32)
    return jnp.where(holes[..., None], _filled(pixels.astype(jnp.float32) * weights, weights), pixels)


def _filled(sums: Float32[Array, "n h w 3"], weights: Float32[Array, "n h w 1"]) -> Float32[Array, "n h w 3"]:
    """Weighted means where there is any weight, else what the next coarser scale has."""
    here = jnp.where(weights > 0, sums / jnp.where(weights > 0, weights, 1), 0)
    height, width = sums.shape[1:3]
    if height == 1 and width == 1:
        return here
    window = (1, min(2, height), min(2, width), 1)
    halved = [lax.reduce_window(values, 0.0, lax.add, window, window, "SAME") for values in (sums, weights)]
    coarse = jax.image.resize(_filled(*halved), sums.shape, "linear")
    return jnp.where(weights > 0, here, coarse)
