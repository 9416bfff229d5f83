"""Sanity checks (Adebayo et al., 2018): does the map depend on what the network has learned?

Parameters are replaced by random ones, all at once or stage by stage from the output down, and the new maps are
compared with the old ones. Maps that stay alike show the picture (its edges), not the network. So a small similarity is
good; what "alike" means by chance is seen in the maps of two random networks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from jaxcam.attribution.judging.ranking import flat, mean_ranks, orderable

Params = Mapping[str, Any]
Explain = Callable[[Any], Float[Array, "n h w"]]
"""parameters -> the maps of a fixed batch of images and targets; best compiled, for it is called many times"""


class Similarity(NamedTuple):
    """How alike two maps are; NaN where one of them is the same everywhere or not finite."""

    spearman: Float32[Array, "*s n"]
    """rank correlation, -1 to 1"""
    spearman_absolute: Float32[Array, "*s n"]
    """rank correlation of the sizes, without signs"""
    ssim: Float32[Array, "*s n"]
    """structural similarity of the maps on 0..1, at most 1"""


def similarity(first: Float[Array, "n h w"], second: Float[Array, "n h w"]) -> Similarity:
    """How alike the maps of two networks, or of two methods, are, for each image; no forward pass."""
    if first.shape != second.shape:
        raise ValueError(f"maps of one shape are compared, got {first.shape} and {second.shape}")
    return Similarity(
        spearman(first, second), spearman(jnp.abs(first), jnp.abs(second)), ssim(on_unit(first), on_unit(second))
    )


def spearman(first: Float[Array, "n h w"], second: Float[Array, "n h w"]) -> Float32[Array, " n"]:
    """Rank correlation of each pair of maps, -1 to 1; equal values share their mean rank."""
    a, b = (mean_ranks(flat(maps).astype(jnp.float32)) for maps in (first, second))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    size = jnp.sqrt((a * a).sum(1)) * jnp.sqrt((b * b).sum(1))
    defined = orderable(first) & orderable(second)
    return jnp.where(defined, (a * b).sum(1) / jnp.where(size > 0, size, 1), jnp.nan)


def on_unit(maps: Float[Array, "n h w"]) -> Float32[Array, "n h w"]:
    """Each map from its smallest to its largest value on 0..1; NaN for one that is the same everywhere."""
    maps = maps.astype(jnp.float32)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return jnp.where(high > low, (maps - low) / jnp.where(high > low, high - low, 1), jnp.nan)


def ssim(first: Float[Array, "n h w"], second: Float[Array, "n h w"], *, window: int = 7) -> Float32[Array, " n"]:
    """Mean structural similarity (Wang et al., 2004) of maps on 0..1, even windows that fit into the map.

    Equals scikit-image's `structural_similarity(data_range=1)`. Maps smaller than the window take the largest odd one
    that fits.
    """
    side = min(window, *first.shape[1:])
    side -= 1 - side % 2
    if side < 1:
        raise ValueError(f"maps of at least one position are compared, got {first.shape}")
    a, b = first.astype(jnp.float32), second.astype(jnp.float32)
    count = side * side

    def mean(values):
        return jax.lax.reduce_window(values, 0.0, jax.lax.add, (1, side, side), (1, 1, 1), "valid") / count

    # Around 0.5, where the squares are small: variances are differences of nearly equal numbers.
    a, b = a - 0.5, b - 0.5
    mean_a, mean_b = mean(a), mean(b)
    sample = count / max(count - 1, 1)
    variance_a, variance_b = sample * (mean(a * a) - mean_a**2), sample * (mean(b * b) - mean_b**2)
    covariance = sample * (mean(a * b) - mean_a * mean_b)
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_a + variance_b + 0.03**2)
    return (light * structure).mean((1, 2))


def shuffled(params: Params, key: PRNGKeyArray) -> dict[str, Any]:
    """Parameters whose values have changed places within each array: random, but as large as they were.

    For networks whose initial parameters are not at hand; otherwise give fresh ones.
    """
    leaves, tree = jax.tree.flatten(dict(params))
    mixed = [
        jax.random.permutation(jax.random.fold_in(key, number), leaf.reshape(-1)).reshape(leaf.shape)
        for number, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(tree, mixed)


def cascade(params: Params, random: Params, order: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, parameters) with the stages of `order` replaced one after the other; the replaced ones stay replaced."""
    unknown = [name for name in order if name not in params or name not in random]
    if unknown or len(set(order)) != len(order):
        raise ValueError(f"order must name stages with parameters, each once; got {list(order)}, unknown {unknown}")
    current = dict(params)
    for name in order:
        current[name] = random[name]
        yield name, dict(current)


def cascading_randomisation(
    explain: Explain, params: Params, random: Params, order: Sequence[str]
) -> tuple[tuple[str, ...], Similarity]:
    """Model parameter randomisation, cascading: similarity with the true maps after each stage of `order`, (s, n).

    `params` and `random` are dicts of stages; `order` goes from the output down (of a chain: its stages with
    parameters, reversed). The first stages say whether the map follows the class' evidence, the last ones whether it
    follows the network at all. Cost: `len(order) + 1` times `explain`.
    """
    true = explain(params)
    found = [(name, similarity(true, explain(changed))) for name, changed in cascade(params, random, order)]
    names, parts = zip(*found, strict=True) if found else ((), ())
    if not found:
        raise ValueError("order names no stage")
    return tuple(names), Similarity(*(jnp.stack(values) for values in zip(*parts, strict=True)))


def label_randomisation(explain: Explain, params: Any, params_random_labels: Any) -> Similarity:
    """Data randomisation: similarity of the maps of a network with those of one trained on shuffled labels, (n,).

    Both networks have the same architecture and `explain` explains the same targets. Cost: 2 times `explain`.
    """
    return similarity(explain(params), explain(params_random_labels))
