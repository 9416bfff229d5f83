"""Brightness, contrast, saturation and hue as one matrix on RGB; pure, for `jit` and `vmap`."""

import jax.numpy as jnp
from jaxtyping import Array, Float32, Num

LUMA = (0.299, 0.587, 0.114)
"""share of red, green and blue in grey (ITU-R BT.601, as Pillow and torchvision)"""

Number = float | Num[Array, ""]


def colour_matrix(*, brightness: Number = 1.0, saturation: Number = 1.0, hue: Number = 0.0) -> Float32[Array, "3 3"]:
    """Matrix that takes RGB to RGB: a turn around the grey axis, a stretch away from it, and a factor on everything.

    `hue` is in degrees. Grey stays grey, and its value only changes with the brightness.
    """
    angle = jnp.deg2rad(jnp.float32(hue))
    grey, same = jnp.full((3, 3), 1 / 3), jnp.eye(3)
    across = jnp.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / jnp.sqrt(3.0)
    # Grey times across is zero, so that stretch @ turn needs no product of matrices.
    away = jnp.cos(angle) * (same - grey) + jnp.sin(angle) * across
    return (brightness * (saturation * away + grey)).astype(jnp.float32)


def adjust(
    pixels: Num[Array, "h w 3"],
    matrix: Float32[Array, "3 3"],
    contrast: Num[Array, ""] | None = None,
    *,
    reference: Num[Array, "height width 3"] | None = None,
) -> Float32[Array, "h w 3"]:
    """Pixels times the matrix, then `contrast` times their distance from the mean grey; clipped to 0..255.

    The mean grey is that of `reference` times the matrix (default: of the pixels), so that what was filled in beside a
    turned image does not count.
    """
    offset = jnp.zeros(())
    if contrast is not None:
        source = pixels if reference is None else reference
        mean = source.astype(jnp.float32).mean((0, 1))
        grey = (jnp.asarray(LUMA) * (matrix * mean).sum(1)).sum()
        matrix, offset = contrast * matrix, (1 - contrast) * grey
    # A contraction, not sums of channels: those would be fused with the warp before and repeat it for each channel.
    # At the highest precision, for an accelerator's default would round values to 8 bits.
    turned = jnp.einsum("hwc,dc->hwd", pixels.astype(jnp.float32), matrix, precision="highest")
    return jnp.clip(turned + offset, 0, 255)
