"""Parts of an image: a grid, or superpixels; and a value for each part painted over its pixels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32, UInt8

SUPERPIXELS = ("slic", "quickshift", "felzenszwalb")


def grid_segments(size: tuple[int, int], parts: int | tuple[int, int]) -> Int32[np.ndarray, "h w"]:
    """Number of each pixel's part, 0..s-1, for an image cut into rows and columns of about equal parts.

    `parts` is (rows, columns), or about how many parts there should be, about square.

    >>> grid_segments((2, 4), (1, 2)).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    h, w = size
    if isinstance(parts, int):
        if parts < 1:
            raise ValueError(f"an image has at least one part, got {parts}")
        rows = int(np.clip(round((parts * h / w) ** 0.5), 1, h))
        parts = rows, int(np.clip(round(parts / rows), 1, w))
    rows, columns = parts
    if not (1 <= rows <= h and 1 <= columns <= w):
        raise ValueError(f"rows and columns of parts must lie in 1..{h} and 1..{w}, got {parts}")
    along = lambda count, length: np.arange(length) * count // length
    return (along(rows, h)[:, None] * columns + along(columns, w)).astype(np.int32)


def superpixels(
    images: UInt8[np.ndarray, "n h w 3"], *, method: str = "slic", parts: int = 50, **options: Any
) -> Int32[np.ndarray, "n h w"]:
    """Superpixels by scikit-image, on the host: number of each pixel's part, 0..s-1 for an image with s parts.

    `method`: "slic" (Achanta et al., 2012; about `parts` parts), "quickshift" (Vedaldi and Soatto, 2008; by default
    with kernel 4, largest distance 200 and ratio 0.2, as the package lime) or "felzenszwalb" (2004); `options` go to
    scikit-image. Images of one batch may have different numbers of parts.
    """
    from skimage import segmentation

    if method not in SUPERPIXELS:
        raise ValueError(f"method must be one of {', '.join(SUPERPIXELS)}, got {method!r}")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be (n h w 3) with nothing of size 0, got {images.shape}")
    known: dict[str, dict[str, Any]] = {
        "slic": {"n_segments": parts, "start_label": 0},
        "quickshift": {"kernel_size": 4, "max_dist": 200, "ratio": 0.2, "rng": 42},
        "felzenszwalb": {"scale": 100, "min_size": max(2, images[0, ..., 0].size // (4 * parts))},
    }
    cut = getattr(segmentation, method)
    found = [np.unique(cut(image, **known[method] | options), return_inverse=True)[1] for image in images]
    return np.stack([numbers.reshape(images.shape[1:3]) for numbers in found]).astype(np.int32)


def segment_count(segments: Int[Array, "n ..."] | Int[np.ndarray, "n ..."]) -> int:
    """Largest number of a part plus one; ValueError for numbers below 0, or where they are not known yet (in `jit`)."""
    if isinstance(segments, jax.core.Tracer):
        raise ValueError("under jit the number of parts must be given (count=...): it is the size of the result")
    values = np.asarray(segments)
    if values.size == 0 or values.min() < 0:
        raise ValueError("segments must number the parts from 0")
    return int(values.max()) + 1


def paint(
    coefficients: Float[Array, "n ..."], segments: Int[Array, "..."] | Int[np.ndarray, "..."]
) -> Float32[Array, "n ..."]:
    """A value for each part (n, s) or (n, t, s) as maps (n, h, w) or (n, t, h, w): every pixel shows its part's value.

    `segments` are (h, w) for all images or (n, h, w).

    >>> paint(jnp.array([[1.0, 5.0]]), jnp.array([[0, 0, 1]])).tolist()
    [[[1.0, 1.0, 5.0]]]
    """
    if coefficients.ndim not in (2, 3):
        raise ValueError(f"coefficients must be (n, s) or (n, t, s), got {coefficients.shape}")
    n, s = coefficients.shape[0], coefficients.shape[-1]
    numbers = jnp.asarray(segments)
    if numbers.ndim == 2:
        numbers = jnp.broadcast_to(numbers, (n, *numbers.shape))
    if numbers.ndim != 3 or numbers.shape[0] != n:
        raise ValueError(f"segments must be (h, w) or ({n}, h, w), got {numbers.shape}")
    values = coefficients.astype(jnp.float32).reshape(n, -1, s)
    painted = jax.vmap(lambda rows, places: rows[:, places])(values, numbers)
    return painted if coefficients.ndim == 3 else painted[:, 0]


def segment_means(
    images: Float[Array, "n h w c"], segments: Int[Array, "n h w"], count: int
) -> Float32[Array, "n h w c"]:
    """Every pixel shows the mean colour of its part."""
    values = images.astype(jnp.float32)

    def mean(number):
        inside = (segments == number)[..., None]
        return jnp.where(inside, values, 0).sum((1, 2)) / jnp.maximum(inside.sum((1, 2)), 1).astype(jnp.float32)

    # One part after the other: reductions only, no scatter, and no array with both pixels and parts.
    means = jax.lax.map(mean, jnp.arange(count))
    return jax.vmap(lambda colours, places: colours[places], in_axes=(1, 0))(means, segments)
