"""RISE (Petsiuk, Das and Saenko, 2018): the score under thousands of random soft masks."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from jaxcam.attribution.perturbation.forwards import (
    Fill,
    Function,
    checked_logits,
    chunk_size,
    chunked,
    filled,
    forward,
    settled,
    variant_scores,
)
from jaxcam.attribution.targets import Targets, several


def rise(
    fn: Function,
    images: Float[Array, "n h w c"],
    targets: Targets,
    *,
    key: PRNGKeyArray,
    masks: int = 4000,
    cells: int | Sequence[int] = 7,
    keep: float = 0.5,
    fill: Fill = 0.0,
    normalise: str = "keep",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
) -> Float32[Array, "n ..."]:
    """RISE maps (n, h, w), or (n, t, h, w): the mean of random masks, weighted by the score of the masked image.

    A mask is a grid of `cells`, each on with probability `keep`, enlarged bilinearly and shifted at random by less than
    a cell. What it hides shows `fill`. The paper scores softmax probabilities (`targets=probability(...)`) and uses
    4000 to 8000 masks. The masks are made on the device, a chunk at a time, from `key` only: the same ones for every
    image of the batch and in every batch, so that an image's map does not depend on its neighbours.

    `normalise`: "keep" divides by `keep` (the paper), "coverage" by each pixel's mean mask, "none" by the number of
    masks only; "covariance" subtracts the mean score first, which removes the constant and most of the noise: 0 then
    means that a pixel does not matter, and the sign tells the rest.

    Cost: `masks` forwards an image, for all targets together; `memory` bounds the bytes of intermediate values.
    """
    cells = (cells, cells) if isinstance(cells, int) else tuple(int(count) for count in cells)
    if masks < 1 or min(cells) < 1 or len(cells) != 2 or not 0 < keep <= 1:
        raise ValueError(f"need masks and cells of at least 1 and keep in 0..1, got {masks}, {cells}, {keep}")
    if normalise not in ("keep", "coverage", "covariance", "none"):
        raise ValueError(f"normalise must be keep, coverage, covariance or none, got {normalise!r}")
    if normalise == "covariance" and keep == 1:
        raise ValueError("keep=1 hides nothing, so that nothing can vary")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be (n h w c) with nothing of size 0, got {images.shape}")
    size = (images.shape[1], images.shape[2])
    hidden = filled(fill, images, value_range=value_range)
    base = checked_logits(fn(images), images)
    targets = settled(targets, base)
    chunk = chunk_size(fn, images, masks, memory)
    chunks = -(-masks // chunk)
    keys = jax.random.split(key, masks)[np.arange(chunks * chunk) % masks].reshape(chunks, chunk)
    counted = (np.arange(chunks * chunk) < masks).astype(np.float32).reshape(chunks, chunk)

    def step(sums, part):
        part_keys, weights = part
        made = jax.vmap(partial(random_mask, cells=cells, size=size, keep=keep))(part_keys)
        scores = variant_scores(forward(fn, mixed(images, made[None], hidden)), targets) * weights
        kept = made * weights[:, None, None]
        seen = jnp.einsum("ntm,mhw->nthw", scores, made, precision="highest")
        return jax.tree.map(jnp.add, sums, (seen, scores.sum(2), kept.sum(0))), None

    shapes = jax.eval_shape(lambda: step((0.0, 0.0, 0.0), (keys[0], jnp.asarray(counted[0])))[0])
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    (seen, scores, kept), _ = jax.lax.scan(step, zeros, (keys, jnp.asarray(counted)))
    seen, scores, kept = seen / masks, scores / masks, kept / masks
    maps = {
        "keep": lambda: seen / keep,
        "coverage": lambda: seen / kept,
        "covariance": lambda: (seen - scores[:, :, None, None] * kept) / (keep * (1 - keep)),
        "none": lambda: seen,
    }[normalise]()
    return maps if several(targets, base) else maps[:, 0]


def random_mask(
    key: PRNGKeyArray, *, cells: Sequence[int], size: tuple[int, int], keep: float
) -> Float32[Array, "h w"]:
    """One mask in 0..1: a random grid, enlarged bilinearly to a cell more than `size` and cropped at random."""
    grid_key, shift_key = jax.random.split(key)
    grid = jax.random.bernoulli(grid_key, keep, tuple(cells)).astype(jnp.float32)
    rows, columns = (
        _enlarging(shift, count, length)
        for shift, count, length in zip(jax.random.split(shift_key), cells, size, strict=True)
    )
    return jnp.einsum("hi,ij,wj->hw", rows, grid, columns, precision="highest")


def _enlarging(key: PRNGKeyArray, cells: int, length: int) -> Float32[Array, "h cells"]:
    """Weights of the cells at each pixel: two neighbours, at a random shift. A product with it replaces a gather."""
    cell = -(-length // cells)
    shift = jax.random.randint(key, (), 0, cell)
    places = (jnp.arange(length) + shift).astype(jnp.float32)
    centres = jnp.abs((places + 0.5) * (cells / ((cells + 1) * cell)) - 0.5)
    # Mirrored about the outer cells' centres, as the published code's resize does.
    centres = jnp.abs(cells - 1 - jnp.abs(cells - 1 - centres))
    return jax.nn.relu(1 - jnp.abs(centres[:, None] - jnp.arange(cells, dtype=jnp.float32)))


def mixed(
    images: Float[Array, "n h w c"], masks: Float[Array, "_ p h w"], fill: Float[Array, "..."]
) -> Float[Array, "n p h w c"]:
    """Images where the mask is 1, fill where it is 0; masks (1 p h w) for all images, or (n p h w)."""
    masks = masks[..., None].astype(images.dtype)
    fill = fill[:, None] if fill.ndim == 4 else fill
    return masks * images[:, None] + (1 - masks) * fill


def score_cam(
    fn: Function,
    images: Float[Array, "n h w c"],
    activations: Float[Array, "_ rows columns channels"],
    targets: Targets,
    *,
    relu: bool = True,
    fill: Fill = 0.0,
    corners: bool = True,
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
) -> Float32[Array, "n ..."]:
    """Score-CAM (Wang et al., 2020): channels weighted by the score of the image seen through them.

    `activations` are those of any layer for these images, (n, rows, columns, channels). Each channel is enlarged to the
    image, bilinear (`corners`: corners on corners, as pytorch-grad-cam; else half-pixel), scaled to 0..1, and mixes the
    image with `fill`. The softmax of the scores over the channels weights them. Maps (n, rows, columns) or
    (n, t, rows, columns), raw, float32; `relu=False` keeps the sign.

    Cost: one forward for each channel, for all targets together.
    """
    if activations.ndim != 4 or activations.shape[0] != images.shape[0] or 0 in activations.shape:
        raise ValueError(f"activations must be ({images.shape[0]}, rows, columns, channels), got {activations.shape}")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be (n h w c) with nothing of size 0, got {images.shape}")
    base = checked_logits(fn(images), images)
    targets = settled(targets, base)
    hidden = filled(fill, images, value_range=value_range)
    maps = activations.astype(jnp.float32)
    rows, columns = (
        _resizing(small, large, corners) for small, large in zip(maps.shape[1:3], images.shape[1:3], strict=True)
    )

    def step(channels: Float[Array, "p n rows columns"]) -> Float32[Array, "n p t"]:
        large = jnp.einsum("hi,pnij,wj->nphw", rows, channels, columns, precision="highest", optimize="optimal")
        low, high = large.min((2, 3), keepdims=True), large.max((2, 3), keepdims=True)
        logits = forward(fn, mixed(images, (large - low) / (high - low + 1e-8), hidden))
        return jnp.moveaxis(variant_scores(logits, targets), 1, 2)

    channels = jnp.moveaxis(maps, 3, 0)
    scores = chunked(step, channels, chunk_size(fn, images, channels.shape[0], memory))
    cams = jnp.einsum("nhwc,nct->nthw", maps, jax.nn.softmax(scores, axis=1), precision="highest")
    cams = jax.nn.relu(cams) if relu else cams
    return cams if several(targets, base) else cams[:, 0]


def _resizing(small: int, large: int, corners: bool) -> Float32[Array, "large small"]:
    """Weights of bilinear enlarging along one axis, without antialiasing."""
    places = np.arange(large)
    centres = places * ((small - 1) / max(1, large - 1)) if corners else (places + 0.5) * (small / large) - 0.5
    distance = np.abs(np.clip(centres, 0, small - 1)[:, None] - np.arange(small))
    return jnp.asarray(np.maximum(0, 1 - distance), jnp.float32)
