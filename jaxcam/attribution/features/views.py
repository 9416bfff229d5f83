"""Looking at an image slightly shifted, turned and scaled, by matrix products alone: differentiable on any device.

An affine map is done in two passes (Catmull and Smith, 1980): along the rows, then along the columns. Each pass is a
product with one matrix a row (or column), which holds the weights of linear interpolation; there is no gather, and so
no scatter in the gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, PRNGKeyArray


class View(NamedTuple):
    """How an image is looked at: the pixel at the centre stays there, but for the shift."""

    degrees: Float32[Array, ""]
    scale: Float32[Array, ""]
    """above 1: the image appears larger"""
    shift: Float32[Array, " 2"]
    """pixels down and to the right"""


def random_view(key: PRNGKeyArray, *, degrees: float, scale: float, shift: float) -> View:
    """A view within +-degrees, a factor within 1 +- scale, and +-shift pixels."""
    turn, size, place = jax.random.split(key, 3)
    return View(
        jax.random.uniform(turn, (), jnp.float32, -degrees, degrees),
        1 + jax.random.uniform(size, (), jnp.float32, -scale, scale),
        jax.random.uniform(place, (2,), jnp.float32, -shift, shift),
    )


def look(images: Float32[Array, "n h w c"], view: View) -> Float32[Array, "n h w c"]:
    """The images as seen; what lies beyond their border is their mirror image."""
    height, width = images.shape[1:3]
    angle = jnp.deg2rad(view.degrees)
    sine, cosine = jnp.sin(angle) / view.scale, jnp.cos(angle) / view.scale
    rows = jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2 - view.shift[0]
    columns = jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2 - view.shift[1]
    # Seen pixel (y, x) is pixel (cosine y + sine x, cosine x - sine y). Down the columns first (undone last): column x
    # is kept, and row v = cosine y + sine x. Along the rows: u = cosine x - sine y, written with v in place of y.
    first = (columns[None] / jnp.cos(angle) / view.scale - rows_of(height)[:, None] * jnp.tan(angle)) + (width - 1) / 2
    second = (cosine * rows[None] + sine * columns[:, None]) + (height - 1) / 2
    along = interpolation(first, width)  # (row, new column, old column)
    down = interpolation(second, height)  # (column, new row, old row)
    images = jnp.einsum("rnw,brwc->brnc", along, images)
    return jnp.einsum("xno,boxc->bnxc", down, images)


def rows_of(height: int) -> Float32[Array, " h"]:
    """Rows counted from the centre."""
    return jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2


def interpolation(at: Float32[Array, "lines new"], length: int) -> Float32[Array, "lines new length"]:
    """Weights of linear interpolation at these places, mirrored at both ends."""
    last = max(length - 1, 1)
    folded = last - jnp.abs(last - jnp.mod(jnp.abs(at), 2 * last))
    return jax.nn.relu(1 - jnp.abs(folded[..., None] - jnp.arange(length, dtype=jnp.float32)))
