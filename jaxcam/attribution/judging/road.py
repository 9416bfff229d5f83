"""ROAD: remove pixels so that no network sees where they were, and follow the score (Rong et al., 2022).

A removed pixel becomes the weighted mean of its eight neighbours (1/6 straight, 1/12 diagonal), which for neighbours
that are removed too is a linear system for the whole hole, plus a little noise. The system is solved on the device for
a batch at once, by conjugate gradients; the paper's code and pytorch-grad-cam solve it on the host, image by image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Key, Num

from jaxcam.attribution.gradient.samples import image_keys
from jaxcam.attribution.judging.faithfulness import Measure, scored, scores_of
from jaxcam.attribution.judging.ranking import enlarged, orderable, ranks
from jaxcam.attribution.perturbation.forwards import MEMORY, Function, chunk_size, chunked
from jaxcam.attribution.targets import Targets

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Road(NamedTuple):
    """Scores after the removal of shares of the pixels."""

    shares: Float32[Array, " s"]
    """share of the pixels removed"""
    most: Float32[Array, "n s"]
    """score after removing the most relevant ones (MoRF)"""
    least: Float32[Array, "n s"]
    """score after removing the least relevant ones (LeRF)"""
    combined: Float32[Array, " n"]
    """mean of (least - most) / 2: larger is better, 0 for a map that says nothing"""


def impute(
    images: Num[Array, "n h w c"],
    known: Bool[Array, "n h w"],
    *,
    tolerance: float = 1e-4,
    iterations: int = 2000,
) -> Float32[Array, "n h w c"]:
    """Images whose unknown pixels are the weighted mean of their neighbours; known pixels are kept.

    Every channel of every image is solved until its residual is `tolerance` of its right side, which leaves an error of
    about a thousandth of the values' spread. Without any known pixel the result is 0. Values that are not finite count
    as unknown. Cost: a few hundred passes over the images, in total about half a forward of VGG16.
    """
    values = images.astype(jnp.float32)
    given = (known[..., None] & jnp.isfinite(values)).astype(jnp.float32)
    unknown, values = 1 - given, jnp.where(given > 0, values, 0)
    # Neighbours beyond the border are missing, and the rest counts for more.
    weight = _around(jnp.ones((1, *values.shape[1:3], 1)))
    apply = lambda x: unknown * (weight * x - _around(x))
    dot = lambda a, b: (a * b).sum((1, 2), keepdims=True)
    right = unknown * _around(values)
    limit = tolerance**2 * dot(right, right)

    def going(state):
        _, residual, _, _, count = state
        return (count < iterations) & (dot(residual, residual) > limit).any()

    def step(state):
        x, residual, direction, energy, count = state
        ahead = apply(direction)
        length = _ratio(energy, dot(direction, ahead))
        x, residual = x + length * direction, residual - length * ahead
        scaled = residual / weight
        renewed = dot(residual, scaled)
        return x, residual, scaled + _ratio(renewed, energy) * direction, renewed, count + 1

    scaled = right / weight
    start = jnp.zeros_like(values), right, scaled, dot(right, scaled), 0
    x, *_ = jax.lax.while_loop(going, step, start)
    return values + x


def road(
    fn: Function,
    images: Num[Array, "n h w c"],
    maps: Float[Array, "n _h _w"],
    targets: Targets,
    *,
    key: Key[Array, "..."],
    shares: tuple[float, ...] = SHARES,
    noise: float = 0.01,
    score: Measure = "probability",
    memory: int = MEMORY,
) -> Road:
    """ROAD (Rong et al., 2022), most and least relevant pixels first, and both combined as in pytorch-grad-cam.

    `maps` and `targets` as in `faithfulness`; `noise` is a standard deviation in units of the image's own. Of equal
    values a random choice is removed, so that a share is what it says (pytorch-grad-cam removes all that are equal).
    The `key`, one or one for each image, decides order and noise; one key gives every image the same. NaN for maps
    without an order. Cost: `2 * len(shares)` forwards and as many imputations.
    """
    if not shares or not all(0 < share < 1 for share in shares) or not noise >= 0:
        raise ValueError(f"shares must lie between 0 and 1 and noise not below 0, got {shares} and {noise}")
    count, height, width, channels = images.shape
    if maps.shape[0] != count:
        raise ValueError(f"got {maps.shape[0]} maps for {count} images")
    targets, _ = scored(fn, images, targets, score)
    large = enlarged(maps, (height, width))
    keys = jax.vmap(jax.random.split)(image_keys(key, count))
    order = jax.vmap(lambda one, k: ranks(one[None], k)[0])(large, keys[:, 0])
    drawn = jax.vmap(lambda k: jax.random.normal(k, (height, width, channels)))(keys[:, 1])
    spread = images.astype(jnp.float32).std((1, 2, 3), keepdims=True)
    added = noise * spread * drawn

    positions = height * width
    removed = np.round(np.asarray(shares) * positions).astype(np.int32)
    # Pixels first <= rank < last are kept.
    first = np.concatenate([removed, np.zeros_like(removed)])
    last = np.concatenate([np.full_like(removed, positions), positions - removed])

    def step(ends):
        low, high = (end[:, None, None] for end in ends)
        kept = (order[:, None] >= low) & (order[:, None] < high)
        parts = kept.shape[1]
        flat = jnp.broadcast_to(images[:, None], (count, parts, *images.shape[1:])).reshape(-1, *images.shape[1:])
        whole = impute(flat, kept.reshape(-1, height, width)).reshape(count, parts, *images.shape[1:])
        changed = jnp.where(kept[..., None], images[:, None].astype(jnp.float32), whole + added[:, None])
        return scores_of(fn, changed.astype(images.dtype), targets)

    size = chunk_size(fn, images, len(first), memory)
    scores = chunked(step, (jnp.asarray(first), jnp.asarray(last)), size)
    most, least = scores[:, : len(shares)], scores[:, len(shares) :]
    combined = jnp.where(orderable(large), (least - most).mean(1) / 2, jnp.nan)
    return Road(jnp.asarray(shares, jnp.float32), most, least, combined)


def _around(values: Float32[Array, "n h w c"]) -> Float32[Array, "n h w c"]:
    """Weighted sum of the eight neighbours; nothing beyond the border."""
    padded = jnp.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 12 - values / 3


def _ratio(above: Float32[Array, "..."], below: Float32[Array, "..."]) -> Float32[Array, "..."]:
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)
