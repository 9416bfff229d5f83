"""Occlusion faster than exact, for those who ask: each way states what it leaves out, and `agreement` measures it.

- `occlusion_coarse_to_fine`: every second window, then only the windows where it matters (Krypton's drill-down).
- `occlusion(..., tau=0.5)`: boxes grow to at most that share of a layer (Krypton's projective field threshold).
- `occlusion_linear`: exact up to a stage, and the base gradient of the rest.

Measured on 8 drawn pictures and a trained `vgg16_mini` (64x64, window 16, stride 4, float32, one CPU), mean rank
correlation with the exact map: coarse to fine 0.90 (keep 0) to 0.91 (keep 0.25, top 5 % overlap 0.89); tau 0.94 at 0.7
and 0.54 at 0.5; linear 0.30 to 0.77 from `block2_pool` to `block4_pool`. Measure your own network before you trust one.

`compare_with_exact` runs one of them and the exact method on a sample of images and tells how far they agree.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Num

from jaxcam.attribution.incremental import incremental
from jaxcam.attribution.perturbation.agreement import Agreement, agreement
from jaxcam.attribution.perturbation.forwards import (
    Fill,
    Function,
    budget,
    checked_logits,
    filled,
    settled,
    variant_scores,
)
from jaxcam.attribution.perturbation.occlusion import brute_force, evaluator, grid_for, occlusion
from jaxcam.attribution.perturbation.windows import WindowGrid
from jaxcam.attribution.targets import Targets, chosen_scores, score_directions, several


def occlusion_coarse_to_fine(
    fn: Function,
    images: Num[Array, "n h w c"],
    targets: Targets,
    window: int | Sequence[int] = (32, 32),
    stride: int | Sequence[int] = (16, 16),
    fill: Fill = 0.0,
    *,
    keep: float = 0.25,
    engine: str = "incremental",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
    sigma: float | None = None,
) -> Float32[Array, "n ..."]:
    """`occlusion` with fewer forwards: every second window along both axes, then the share `keep` of the others.

    Each image gets the windows around its own largest drops, in size, of any target. What is left out is interpolated
    between the windows evaluated first, bilinear. Shapes as in `occlusion`. With `keep=1` the result is exact.

    Cost: about a quarter of the windows, and `keep` times the rest.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep must lie in 0..1, got {keep}")
    if images.ndim != 4:
        raise ValueError(f"images must be (n h w c), got {images.shape}")
    grid = grid_for(images, window, stride)
    hidden = filled(fill, images, value_range=value_range, sigma=sigma)
    first, rest = coarse_places(grid)
    corners, size = grid.boxes()[:, :, 0], tuple(int(length) for length in np.diff(grid.boxes()[0])[:, 0])
    evaluate = evaluator(fn, engine, memory=memory)
    coarse, base = evaluate(images, window=size, offsets=corners[first], fill=hidden, return_base=True)
    targets = settled(targets, checked_logits(base, images))
    scores = chosen_scores(base, targets)[:, :, None]
    drops = scores - variant_scores(coarse, targets)
    # Interpolation is a product with static weights, so it needs neither scatter nor gather.
    full = jnp.einsum("ntp,pq->ntq", drops, interpolation(grid, first), precision="highest")
    count = round(keep * len(rest))
    if count:
        promise = jnp.abs(full[:, :, rest]).max(1)
        chosen = jnp.asarray(rest)[jax.lax.top_k(promise, count)[1]]
        fine = chosen_logits(fn, images, size, corners, chosen, hidden, engine, memory)
        exact = scores - variant_scores(fine, targets)
        places = chosen[:, :, None] == jnp.arange(grid.count)
        put = jnp.einsum("ntm,nmp->ntp", exact, places.astype(jnp.float32), precision="highest")
        full = jnp.where(places.any(1)[:, None], put, full)
    full = full.reshape(*full.shape[:2], *grid.shape)
    return full if several(targets, base) else full[:, 0]


def coarse_places(grid: WindowGrid) -> tuple[Int[np.ndarray, " first"], Int[np.ndarray, " rest"]]:
    """Numbers of every second window along both axes, with the last ones, and of all others."""
    lines = [np.unique([*range(0, length, 2), length - 1]) for length in grid.shape]
    first = (lines[0][:, None] * grid.shape[1] + lines[1]).reshape(-1)
    return first, np.setdiff1d(np.arange(grid.count), first)


def interpolation(grid: WindowGrid, first: Int[np.ndarray, " first"]) -> Float32[Array, "first p"]:
    """Bilinear weights that give every window a value from the coarse ones, by where the windows begin."""
    weights = np.ones((1, 1))
    for spans in grid.spans:
        starts = np.array([start for start, _ in spans], float)
        known = np.unique([*range(0, len(starts), 2), len(starts) - 1])
        along = np.stack([np.interp(starts, starts[known], unit) for unit in np.eye(len(known))])
        weights = np.kron(weights, along)
    return jnp.asarray(weights, jnp.float32)


def chosen_logits(
    fn: Function,
    images: Num[Array, "n h w c"],
    size: tuple[int, ...],
    corners: Int[np.ndarray, "p 2"],
    chosen: Int[Array, "n m"],
    hidden: Num[Array, "..."],
    engine: str,
    memory: int | None,
) -> Float[Array, "n m k"]:
    """Logits with each image's own choice of windows hidden."""
    if engine == "brute":
        offsets = jnp.asarray(corners)[chosen]
        return brute_force(fn, images, window=(size[0], size[1]), offsets=offsets, fill=hidden, memory=memory)
    evaluate: Any = incremental(fn)

    share = max(1, budget(memory) // len(images))

    def one(image, numbers, fill):
        fill = fill[None] if fill.ndim == 3 else fill
        return evaluate(image[None], window=size, offsets=corners, chosen=numbers, fill=fill, memory=share)[0]

    return jax.vmap(one, in_axes=(0, 0, 0 if hidden.ndim == 4 else None))(images, chosen, hidden)


def occlusion_linear(
    features: Callable[[Num[Array, "n h w c"]], Float[Array, "n ..."]],
    head: Callable[[Float[Array, "n ..."]], Float[Array, "n k"]],
    images: Num[Array, "n h w c"],
    targets: Targets,
    window: int | Sequence[int] = (32, 32),
    stride: int | Sequence[int] = (16, 16),
    fill: Fill = 0.0,
    *,
    engine: str = "incremental",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
    sigma: float | None = None,
) -> Float32[Array, "n ..."]:
    """Occlusion that is exact through `features` and linear behind: -(change of the features) . (base gradient).

    `head(features(images))` are the logits. For a chain:
    `occlusion_linear(*attribution.at_stage(chain, params, "block4_pool"), images, targets)`.
    The earlier the cut, the cheaper and rougher: at the input this is gradient times change, at the logits it is exact.
    Shapes as in `occlusion`.

    Cost: the windows through `features` only, and one forward and one backward of the head for each target.
    """
    grid = grid_for(images, window, stride)
    hidden = filled(fill, images, value_range=value_range, sigma=sigma)
    boxes = grid.boxes()
    size = tuple(int(length) for length in np.diff(boxes[0])[:, 0])
    activations = features(images)
    logits, pullback = jax.vjp(head, activations)
    targets = settled(targets, checked_logits(logits, images))
    _, directions = score_directions(logits, targets)
    gradients = jax.vmap(lambda direction: pullback(direction)[0])(directions)
    corners = boxes[:, :, 0]
    if engine == "incremental" and activations.ndim == 4:
        changes = incremental(features).changes(images, window=size, offsets=corners, fill=hidden, memory=memory)
        found = [-changes.dot(gradient.astype(jnp.float32)) for gradient in gradients]
        drops = jnp.stack(found, axis=1).astype(jnp.float32)
    else:
        drops = dots(features, images, activations, gradients, (size[0], size[1]), corners, hidden, engine, memory)
    drops = drops.reshape(*drops.shape[:2], *grid.shape)
    return drops if several(targets, logits) else drops[:, 0]


def dots(
    features: Callable[[Num[Array, "n h w c"]], Float[Array, "n ..."]],
    images: Num[Array, "n h w c"],
    activations: Float[Array, "n ..."],
    gradients: Float[Array, "t n ..."],
    window: tuple[int, int],
    corners: Int[np.ndarray, "p 2"],
    hidden: Num[Array, "..."],
    engine: str,
    memory: int | None,
) -> Float32[Array, "n t p"]:
    """The linear drops image by image, without keeping the features of all windows."""

    def one(image, fill, known, slopes):
        def scores(variants):
            lost = (known - features(variants)).astype(jnp.float32).reshape(variants.shape[0], -1)
            slopes_of = slopes.astype(jnp.float32).reshape(slopes.shape[0], -1)
            return jnp.einsum("nd,td->nt", lost, slopes_of, precision="highest")

        fill = fill[None] if fill.ndim == 3 else fill
        evaluate = evaluator(scores, engine, memory=max(1, budget(memory) // len(images)))
        return evaluate(image[None], window=window, offsets=corners, fill=fill)[0].T

    in_axes = (0, 0 if hidden.ndim == 4 else None, 0, 1)
    return jax.vmap(one, in_axes=in_axes)(images, hidden, activations, gradients)


def compare_with_exact(
    approximate: Callable[..., Float[Array, "n ..."]],
    fn: Function,
    images: Num[Array, "n h w c"],
    targets: Targets,
    window: int | Sequence[int] = (32, 32),
    stride: int | Sequence[int] = (16, 16),
    fill: Fill = 0.0,
    *,
    engine: str = "incremental",
    **options: Any,
) -> Agreement:
    """Agreement with the exact maps of these images; `approximate(images, targets, window, stride, fill)` gives maps.

    Give it a sample: this computes the exact maps too. `options` go to `occlusion` (`memory`, `value_range`, ...).
    """
    exact = partial(occlusion, fn, engine=engine, **options)
    maps = [method(images, targets, window, stride, fill) for method in (approximate, exact)]
    return agreement(np.asarray(maps[0]), np.asarray(maps[1]))
