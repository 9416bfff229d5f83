"""Occlusion (Zeiler and Fergus, 2014): hide a window, and see how far the score drops.

Drops are score(image) - score(image with the window hidden): positive where the window supports the class. One pass of
forwards serves every class and every form of target; see `occluded_logits`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Num

from jaxcam.attribution.incremental import incremental
from jaxcam.attribution.perturbation.forwards import (
    Fill,
    Function,
    checked_logits,
    chunk_size,
    chunked,
    filled,
    forward,
    lift,
    settled,
    variant_scores,
)
from jaxcam.attribution.perturbation.windows import WindowGrid, window_grid
from jaxcam.attribution.targets import Targets, chosen_scores, several


def occlusion(
    fn: Function,
    images: Num[Array, "n ..."],
    targets: Targets,
    window: int | Sequence[int] = (32, 32),
    stride: int | Sequence[int] = (16, 16),
    fill: Fill = 0.0,
    *,
    edges: str = "moved",
    engine: str = "incremental",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
    sigma: float | None = None,
    tau: float = 1.0,
) -> Float32[Array, "n ..."]:
    """Drop of the targets' scores for every window: (n, gh, gw), or (n, t, gh, gw) for several targets an image.

    `fn` maps images (n h w c), for any n, to logits (n k); sequences (n l c) and features (n f) work with a window and
    a stride of one number and give (n, g). `targets` as in `jaxcam.attribution.targets`; a function with integer
    values (`every_class`, `predicted`) chooses classes from the logits of the images as they are. All classes come from
    the same forwards: `targets=every_class` costs nothing more than one class.

    Windows stay inside the image and the last row and column touch its border, so that every pixel is covered
    (`edges` names other rules, `window_grid` tells the windows). `fill` is what a hidden window shows, in the range
    `fn` expects: a number, a colour (c,), another image (h w c) or (n h w c), "mean", "blur" (`sigma`), or "black" and
    "grey" (which need `value_range`). `per_pixel` turns the result into one value a pixel.

    Exact. `engine="incremental"` recomputes only what a window changes; "brute" runs every hidden image through `fn`,
    which needs less time to compile. `memory` bounds the bytes of intermediate values. `tau` below 1 is an
    approximation: a changed box grows to at most that share of a layer; `compare_with_exact` measures what is lost.
    Cost of "brute": `window_grid(...).count` + 1 forwards an image; "incremental" a part of it, `incremental(fn).plan`
    tells which.

    Works under `jit`, `vmap` and sharding over images. Raises ValueError for windows, fills or targets that do not fit.

    >>> fn = lambda x: x.sum((1, 2))
    >>> occlusion(fn, jnp.ones((1, 4, 4, 3)), jnp.array([0]), (2, 2), (2, 2))[0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    grid = grid_for(images, window, stride, edges=edges)
    base, occluded = occluded_logits(
        fn, images, grid, fill, engine=engine, memory=memory, value_range=value_range, sigma=sigma, tau=tau
    )
    return window_drops(base, occluded, targets)


def grid_for(
    images: Num[Array, "n ..."], window: int | Sequence[int], stride: int | Sequence[int], *, edges: str = "moved"
) -> WindowGrid:
    """The window grid of a batch; one number for window or stride holds for every axis."""
    if not 2 <= images.ndim <= 4:
        raise ValueError(f"images must be (n h w c), (n l c) or (n f), got {images.shape}")
    size = images.shape[1:3] if images.ndim == 4 else images.shape[1:2]
    each = lambda value: (int(value),) * len(size) if isinstance(value, (int, np.integer)) else tuple(value)
    return window_grid(size, each(window), each(stride), edges=edges)


def occluded_logits(
    fn: Function,
    images: Num[Array, "n ..."],
    grid: WindowGrid,
    fill: Fill = 0.0,
    *,
    engine: str = "incremental",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
    sigma: float | None = None,
    tau: float = 1.0,
) -> tuple[Float[Array, "n k"], Float[Array, "n ..."]]:
    """Logits of the images (n, k), and with every window hidden (n, gh, gw, k): all that occlusion can tell.

    Options and cost as in `occlusion`; `window_drops`, `occlusion_totals` and `erase_strongest` take the results.
    """
    fn, images, rank = lift(fn, images)
    size = images.shape[1:3] if rank == 2 else images.shape[2:3]
    if grid.size != size:
        raise ValueError(f"the grid is for images of size {grid.size}, got {size}")
    boxes = grid.boxes()
    if rank == 1:
        boxes = np.concatenate([np.broadcast_to([[[0, 1]]], (len(boxes), 1, 2)), boxes], axis=1)
    hidden = filled(fill, images, value_range=value_range, sigma=sigma)
    evaluate = evaluator(fn, engine, memory=memory, tau=tau)
    # Windows of one shape go together; those that a border cuts are groups of their own.
    shapes = boxes[:, :, 1] - boxes[:, :, 0]
    kinds, kind_of = np.unique(shapes, axis=0, return_inverse=True)
    parts, order = [], []
    for kind, shape in enumerate(kinds):
        chosen = np.flatnonzero(kind_of.reshape(-1) == kind)
        height, width = (int(length) for length in shape)
        offsets = boxes[chosen, :, 0]
        parts.append(evaluate(images, window=(height, width), offsets=offsets, fill=hidden, return_base=True))
        order.append(chosen)
    base = checked_logits(parts[0][1], images)
    occluded = jnp.concatenate([logits for logits, _ in parts], axis=1)
    if len(parts) > 1:
        occluded = occluded[:, np.argsort(np.concatenate(order))]
    return base, occluded.reshape(occluded.shape[0], *grid.shape, occluded.shape[2])


def window_drops(
    base: Float[Array, "n k"], occluded: Float[Array, "n ..."], targets: Targets
) -> Float32[Array, "n ..."]:
    """The targets' drops, from `occluded_logits`: (n, gh, gw), or (n, t, gh, gw) for several targets an image."""
    targets = settled(targets, base)
    n, *shape, k = occluded.shape
    scores = chosen_scores(base, targets)
    drops = scores[:, :, None] - variant_scores(occluded.reshape(n, -1, k), targets)
    drops = drops.reshape(n, -1, *shape)
    return drops if several(targets, base) else drops[:, 0]


def evaluator(fn: Function, engine: str, *, memory: int | None, tau: float = 1.0) -> Callable[..., Any]:
    """`evaluate(images, window=(h, w), offsets=(p, 2), fill=..., return_base=False)` -> (n, p, k), by one engine."""
    if engine == "brute":
        if tau != 1:
            raise ValueError(f'tau bounds the boxes of engine="incremental"; brute force has none, got {tau}')
        return partial(brute_force, fn, memory=memory)
    if engine != "incremental":
        raise ValueError(f"engine must be incremental or brute, got {engine!r}")
    return partial(incremental(fn), memory=memory, tau=tau)


def brute_force(
    fn: Function,
    images: Num[Array, "n h w c"],
    *,
    window: tuple[int, int],
    offsets: Int[Array, "... 2"] | Int[np.ndarray, "... 2"],
    fill: Num[Array, "..."],
    return_base: bool = False,
    memory: int | None = None,
) -> Any:
    """`fn` on every image with every window hidden, one full forward each; what the incremental engine must equal.

    `offsets` may be traced, (p, 2) for all images or (n, p, 2).
    """
    offsets = jnp.asarray(offsets)
    each = offsets if offsets.ndim == 3 else offsets[None]

    def step(corners):
        masks = window_masks(jnp.moveaxis(corners, 0, 1), window, images.shape[1:3])
        return forward(fn, hide(images, masks, fill))

    logits = chunked(step, jnp.moveaxis(each, 1, 0), chunk_size(fn, images, each.shape[1], memory))
    return (logits, fn(images)) if return_base else logits


def window_masks(offsets: Int[Array, "*p 2"], window: tuple[int, int], size: tuple[int, ...]) -> Bool[Array, "*p h w"]:
    """True inside each window."""
    past = [jnp.arange(length) - offsets[..., axis, None] for axis, length in enumerate(size)]
    rows, columns = ((steps >= 0) & (steps < length) for steps, length in zip(past, window, strict=True))
    return rows[..., :, None] & columns[..., None, :]


def hide(
    images: Num[Array, "n h w c"], masks: Bool[Array, "_ p h w"], fill: Num[Array, "..."]
) -> Num[Array, "n p h w c"]:
    """Every image with every mask's place filled; masks (1 p h w) for all images, or (n p h w)."""
    fill = fill[:, None] if fill.ndim == 4 else fill
    return jnp.where(masks[..., None], fill, images[:, None])


def strongest(drops: Float[Array, "n ..."]) -> Int[Array, " n"]:
    """Number of the window with the largest drop of each image, counted as in `WindowGrid.boxes`; NaN is ignored."""
    flat = drops.reshape(drops.shape[0], -1)
    return jnp.argmax(jnp.where(jnp.isnan(flat), -jnp.inf, flat), axis=1).astype(jnp.int32)
