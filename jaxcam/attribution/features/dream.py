"""Deep dreams: an image is changed so that stages (or classes) answer more to it, from coarse to fine."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from jaxcam.attribution.features.robust import variation_slope
from jaxcam.attribution.loops import loop_ready
from jaxcam.attribution.resize import resize
from jaxcam.networks.chain import Chain, Params

Score = Callable[[Array], Array]
"""from images (n, h, w, 3) to what is increased, (n,)"""
BORDER = 2
"""rows and columns at the edge of a map that do not count, as in the book"""


def stages_score(chain: Chain, params: Params, weights: Mapping[str, float]) -> Score:
    """Weighted sum over stages of the mean squared activation without the maps' outermost two rows and columns.

    Source: Chollet, Deep Learning with Python (2017), section 8.2. One forward passes all stages. Stages without maps
    count whole. `UserError` lists the stages there are.
    """
    order = sorted(weights, key=chain.index)

    def score(images: Float[Array, "n h w 3"]) -> Float32[Array, " n"]:
        total, values, start = jnp.zeros(len(images), jnp.float32), images, None
        for stage in order:
            values = chain.apply(params, values, start=start, stop=stage)
            start, inner = stage, values.astype(jnp.float32)
            size = inner[0].size
            if inner.ndim == 4 and min(inner.shape[1:3]) > 2 * BORDER:
                inner = inner[:, BORDER:-BORDER, BORDER:-BORDER]
            total += weights[stage] * jnp.square(inner).reshape(len(images), -1).sum(1) / size
        return total

    return score


def octave_sizes(size: tuple[int, int], octaves: int, scale: float) -> list[tuple[int, int]]:
    """Sizes from the smallest to `size`, each `scale` times the one before.

    >>> octave_sizes((400, 600), 3, 1.4)
    [(204, 306), (285, 428), (400, 600)]
    """
    if octaves < 1 or scale <= 1:
        raise ValueError(f"got {octaves} octaves of scale {scale}; at least 1 octave, and a scale above 1")
    return [(max(1, int(size[0] / scale**i)), max(1, int(size[1] / scale**i))) for i in range(octaves)][::-1]


def resized(images: Float[Array, "n h w c"], size: tuple[int, int], rule: str = "corners") -> Float32[Array, "n _ _ c"]:
    """Images at another size; `corners` is what scipy.ndimage.zoom of order 1 does, which the book uses."""
    if tuple(images.shape[1:3]) == tuple(size):
        return images.astype(jnp.float32)
    return jnp.moveaxis(resize(jnp.moveaxis(images, 3, 1), size, rule), 1, 3)


def ascend(
    score: Score,
    images: Float32[Array, "n h w c"],
    *,
    steps: int = 20,
    step_size: float = 1.275,
    most: float | None = None,
    shift: int = 0,
    smooth: float = 0.0,
    key: PRNGKeyArray | None = None,
) -> Float32[Array, "n h w c"]:
    """Gradient ascent on a score from images; the gradient is divided by its mean absolute value.

    The defaults are the book's (Chollet, 2017, section 8.2: steps of 0.01 for images in -1..1, which is 1.275 of 255).
    An image whose score has passed `most` stays as it is. `shift` rolls the images by up to that many pixels in every
    step (it needs `key`), `smooth` is the weight of total variation. Pure; one program for each size of the images.
    """
    if key is None:
        if shift:
            raise ValueError("a shift is random and needs a key")
        key = jax.random.key(0)
    slope = loop_ready(jax.grad(lambda images: (score(images).sum(), score(images)), has_aux=True))

    def step(number, images):
        rolled, by = images, jnp.zeros(2, jnp.int32)
        if shift:
            by = jax.random.randint(jax.random.fold_in(key, number), (2,), -shift, shift + 1)
            rolled = jnp.roll(images, by, axis=(1, 2))
        gradient, value = slope(rolled)
        size = jnp.abs(gradient).mean((1, 2, 3), keepdims=True)
        gradient = gradient / jnp.maximum(size, 1e-7)
        if smooth:
            gradient = gradient - smooth * variation_slope(rolled)
        moved = rolled + step_size * gradient
        if most is not None:
            moved = jnp.where((value > most)[:, None, None, None], rolled, moved)
        return jnp.roll(moved, -by, axis=(1, 2)) if shift else moved

    return lax.fori_loop(0, steps, step, images.astype(jnp.float32))


def dream(
    grow: Callable[[Array], Array], images: Float[Array, "n h w c"], sizes: list[tuple[int, int]]
) -> Float32[Array, "n h w c"]:
    """Deep dream over octaves: `grow` at every size, and the detail that shrinking lost put back in.

    Source: Chollet, Deep Learning with Python (2017), section 8.2. `grow` is `ascend` with its score; `sizes` come
    from `octave_sizes`, and the last one is the images' own.
    """
    grown = images.astype(jnp.float32)
    shrunk = resized(images, sizes[0])
    for size in sizes:
        same = resized(images, size)
        grown = grow(resized(grown, size)) + same - resized(shrunk, size)
        shrunk = same
    return grown


def pyramid(
    grow: Callable[[Array], Array], start: Float[Array, "n h w c"], sizes: list[tuple[int, int]]
) -> Float32[Array, "n _ _ c"]:
    """Images from noise, from coarse to fine: `grow` at every size, enlarged in between (MATLAB's deepDreamImage)."""
    grown = resized(start, sizes[0], "bilinear")
    for size in sizes:
        grown = grow(resized(grown, size, "bicubic" if size != sizes[0] else "bilinear"))
    return grown
