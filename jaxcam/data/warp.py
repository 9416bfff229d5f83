"""Affine views of an image, bilinear, with the fill modes of scipy and Keras; pure, for `jit` and `vmap`."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, Num

Fill = Literal["nearest", "constant", "reflect", "wrap"]
FILLS = get_args(Fill)

Number = float | Num[Array, ""]


def affine_matrix(
    *,
    rotation: Number = 0.0,
    shift: tuple[Number, Number] = (0.0, 0.0),
    shear: Number = 0.0,
    zoom: tuple[Number, Number] = (1.0, 1.0),
    flip: tuple[bool | Bool[Array, ""], bool | Bool[Array, ""]] = (False, False),
) -> Float32[Array, "2 3"]:
    """Matrix that takes an output position (row, column, 1) to the input position it shows, both from the centre.

    Rotation and shear in degrees; shift in pixels, zoom and flip as (along the columns, along the rows). Composed in
    (x, y) as rotation @ shift @ shear @ zoom @ flip. This is `apply_affine_transform(theta=rotation, tx=shift[0],
    ty=shift[1], shear=shear, zx=zoom[0], zy=zoom[1])` of Keras 3, whose first axis is x; where height and width differ
    Keras turns around (width / 2, height / 2) counted as (row, column), this around the image's centre. (Keras'
    generator hands its height shift to tx, so that it moves columns. Here a height shift moves rows, as documented.)

    >>> affine_matrix(shift=(3.0, 0.0)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 3.0]]
    """
    angle, slant = jnp.deg2rad(jnp.float32(rotation)), jnp.deg2rad(jnp.float32(shear))
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    wide, tall = (jnp.where(jnp.asarray(mirror), -1.0, 1.0) * factor for mirror, factor in zip(flip, zoom, strict=True))
    right, down = shift
    # Written out in (x, y): a product of small matrices may be computed in low precision on an accelerator.
    xx, xy = cosine * wide, -(cosine * jnp.sin(slant) + sine * jnp.cos(slant)) * tall
    yx, yy = sine * wide, (cosine * jnp.cos(slant) - sine * jnp.sin(slant)) * tall
    x, y = cosine * right - sine * down, sine * right + cosine * down
    return jnp.stack([jnp.stack([yy, yx, y]), jnp.stack([xy, xx, x])]).astype(jnp.float32)


def warp(
    image: Num[Array, "h w c"], matrix: Float[Array, "2 3"], *, fill: Fill = "nearest", fill_value: Number = 0.0
) -> Float32[Array, "h w c"]:
    """The image seen through `matrix`, bilinear; equals `scipy.ndimage.affine_transform(order=1, mode=fill)`.

    `matrix` is one of `affine_matrix`. Outside of the image: `nearest` repeats the border, `constant` is `fill_value`
    from the outermost pixels' centres on, `reflect` mirrors (d c b a | a b c d | d c b a), `wrap` repeats with the last
    pixel lying on the first (scipy's `wrap`, which Keras uses; its period is one less than the length).

    Pixels are gathered in the image's dtype: with `uint8` a quarter of the memory is read.
    """
    height, width, channels = image.shape
    middle = (height - 1) / 2, (width - 1) / 2
    rows = (jnp.arange(height, dtype=jnp.float32) - middle[0])[:, None]
    columns = (jnp.arange(width, dtype=jnp.float32) - middle[1])[None]
    places = [m[0] * rows + m[1] * columns + m[2] + centre for m, centre in zip(matrix, middle, strict=True)]
    (top, bottom, down), (left, right, across) = (
        neighbours(place, length, fill) for place, length in zip(places, (height, width), strict=True)
    )
    pixels = image.reshape(height * width, channels)
    corners = (
        (top * width + left, (1 - down) * (1 - across)),
        (top * width + right, (1 - down) * across),
        (bottom * width + left, down * (1 - across)),
        (bottom * width + right, down * across),
    )
    seen = jnp.zeros((height, width, channels), jnp.float32)
    for index, share in corners:
        seen += pixels.at[index].get(mode="promise_in_bounds").astype(jnp.float32) * share[..., None]
    if fill == "constant":
        inside = (places[0] >= 0) & (places[0] <= height - 1) & (places[1] >= 0) & (places[1] <= width - 1)
        seen = jnp.where(inside[..., None], seen, jnp.asarray(fill_value, jnp.float32))
    return seen


def neighbours(
    place: Float32[Array, "h w"], length: int, fill: Fill
) -> tuple[Int32[Array, "h w"], Int32[Array, "h w"], Float32[Array, "h w"]]:
    """Along one axis: the two pixels that a place lies between, and the share of the second."""
    last = length - 1
    if fill == "reflect":
        low = jnp.floor(place)
        first = low.astype(jnp.int32)
        period = 2 * length
        pair = [jnp.mod(first + step, period) for step in (0, 1)]
        a, b = (jnp.minimum(index, period - 1 - index) for index in pair)
        return a, b, place - low
    if fill == "wrap" and last > 0:
        below = place + last * (jnp.floor(-place / last) + 1)
        place = jnp.where(place < 0, below, jnp.where(place > last, place - last * jnp.floor(place / last), place))
    place = jnp.clip(place, 0, last)
    low = jnp.floor(place)
    first = low.astype(jnp.int32)
    return first, jnp.minimum(first + 1, last), place - low
