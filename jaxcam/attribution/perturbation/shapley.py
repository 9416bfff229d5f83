"""KernelSHAP (Lundberg and Lee, 2017): Shapley values of an image's parts, as a weighted regression."""

from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from jaxcam.attribution.perturbation.forwards import Fill, Function, checked_logits, settled
from jaxcam.attribution.perturbation.regression import constrained, explained
from jaxcam.attribution.perturbation.surrogate import (
    Surrogate,
    hidden_parts,
    jackknifed,
    prepared,
    switched_scores,
    used_parts,
)
from jaxcam.attribution.targets import Targets, several


def kernel_shap(
    fn: Function,
    images: Float[Array, "n ..."],
    targets: Targets,
    *,
    key: PRNGKeyArray,
    segments: Int[Array, "..."] | Int[np.ndarray, "..."],
    samples: int = 2048,
    fill: Fill = "segments",
    count: int | None = None,
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
) -> Surrogate:
    """Shapley values (n, s), or (n, t, s), of the parts that `segments` (h, w) or (n, h, w) numbers from 0.

    They add up to score(image) - score(all hidden) exactly; `intercepts` is the latter. With few parts (2^s up to
    `samples`) every combination is asked and the values are exact, `errors` 0. Otherwise sizes are drawn by the Shapley
    kernel, each draw together with its opposite (Covert and Lee, 2021), the same for every image. `stability` and
    `errors` as in `lime`; other arguments too.

    Cost: min(2^s, `samples`) forwards an image, for all targets together. Raises ValueError for too few samples.
    """
    fn, images, numbers, count = prepared(fn, images, segments, count)
    hidden = hidden_parts(fill, images, numbers, count, value_range)
    exact = count <= 24 and 2**count <= samples
    if not exact and samples < 4 * count + 2:
        raise ValueError(f"{count} parts need at least {4 * count + 2} samples, got {samples}")
    used = used_parts(numbers, count)
    if exact:
        switches, weights = every_combination(count)
    else:
        switches = drawn_combinations(key, count, (samples - 2) // 2)
        weights = jnp.ones(len(switches))
    ends = jnp.stack([jnp.zeros(count), jnp.ones(count)])
    base = checked_logits(fn(images), images)
    targets = settled(targets, base)
    asked = jnp.concatenate([ends, switches])
    scores, _ = switched_scores(fn, images, numbers, asked, hidden, targets, memory)

    def fit(used, scores):
        empty, whole, values = scores[:, 0], scores[:, 1], scores[:, 2:] - scores[:, :1]

        def solve(rows):
            return constrained(switches, weights * rows, values, used, whole - empty), empty

        if not exact:
            return jackknifed(solve, switches, weights, scores[:, 2:])
        # A single part has no combinations to learn from: it makes the whole difference.
        coefficients = solve(jnp.ones(len(switches)))[0] if count > 1 else (whole - empty)[:, None]
        return Surrogate(
            coefficients=coefficients,
            intercepts=empty,
            fit=explained(switches, weights, scores[:, 2:], coefficients, empty),
            errors=jnp.zeros_like(coefficients),
            stability=jnp.ones_like(empty),
        )

    fitted = jax.vmap(fit)(used, scores)
    return fitted if several(targets, base) else jax.tree.map(lambda values: values[:, 0], fitted)


def every_combination(parts: int) -> tuple[Float32[Array, "m s"], Float32[Array, " m"]]:
    """All combinations but none and all, and the Shapley kernel's weights of them."""
    rows = np.arange(1, 2**parts - 1)[:, None] >> np.arange(parts) & 1
    size = rows.sum(1)
    by_size = [0.0] + [(parts - 1) / (comb(parts, k) * k * (parts - k)) for k in range(1, parts)]
    weights = np.array(by_size)[size]
    return jnp.asarray(rows, jnp.float32), jnp.asarray(weights, jnp.float32)


def drawn_combinations(key: PRNGKeyArray, parts: int, pairs: int) -> Float32[Array, "m s"]:
    """Random combinations whose sizes follow the Shapley kernel, each followed by its opposite."""
    size_key, order_key = jax.random.split(key)
    sizes = np.arange(1, parts)
    chosen = jax.random.choice(size_key, sizes, (pairs,), p=jnp.asarray(1 / (sizes * (parts - sizes)), jnp.float32))
    order = jnp.argsort(jnp.argsort(jax.random.uniform(order_key, (pairs, parts)), axis=1), axis=1)
    rows = (order < chosen[:, None]).astype(jnp.float32)
    return jnp.stack([rows, 1 - rows], axis=1).reshape(2 * pairs, parts)
