"""Gradients of many targets' scores at one place of a network, from one forward pass, within bounded memory."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.targets import Targets, check_targets, chosen_scores, invalid

Head = Callable[[Float[Array, "n h w c"]], Float[Array, "n k"]]
Reduce = Callable[[Float32[Array, "n ..."]], Any]

MEMORY = 2**28
"""bytes of gradients that stand in memory together, 256 MiB; targets beyond that take turns"""


def pulled_back(
    function: Callable[[Float[Array, "n ..."]], Float[Array, "n k"]],
    point: Float[Array, "n ..."],
    targets: Targets,
    reduce: Reduce,
    *,
    memory: int | None = None,
) -> tuple[Float32[Array, "n t"], Any]:
    """The targets' scores, and for each target `reduce(gradient)`, where the gradient is float32 and shaped as `point`.

    `reduce` gives arrays with the images first; the result has the axis t after it. One forward, one backward a
    target. The backward passes of all targets are one
    batch, or several that take turns where they need more than `memory` bytes (None: `MEMORY`).
    """
    logits, pullback = jax.vjp(function, point)
    scores = chosen_scores(logits, targets)
    direction = directions(logits, targets)

    def one(index):
        return reduce(pullback(direction(index))[0].astype(jnp.float32))

    count = scores.shape[1]
    # The gradient, its float32 copy and one more of the kind while a pool or ReLU is taken back.
    rounds = max(1, -(-count * prod(point.shape) * 12 // (memory or MEMORY))) if count else 1
    values = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), in_rounds(one, count, min(rounds, max(count, 1))))
    return scores, values


def directions(logits: Float[Array, "n k"], targets: Targets) -> Callable[[Any], Float[Array, "n k"]]:
    """From a target's number to the gradient of its score with respect to the logits; NaN where there is no class."""
    if callable(targets):
        scores, pullback = jax.vjp(lambda values: chosen_scores(values, targets), logits)
        return lambda index: pullback(jnp.zeros_like(scores).at[:, index].set(1.0))[0]
    check_targets(targets, *logits.shape)
    columns = targets.reshape(targets.shape[0], -1)

    def direction(index):
        classes = jnp.take(columns, index, axis=1)
        chosen = jax.nn.one_hot(classes, logits.shape[1], dtype=logits.dtype)
        return jnp.where(invalid(classes, logits.shape[1])[:, None], jnp.asarray(jnp.nan, logits.dtype), chosen)

    return direction


def in_rounds(function: Callable[[Any], Any], count: int, rounds: int) -> Any:
    """`function` of 0..count - 1, stacked: all at once, or in `rounds` that take turns."""
    if rounds == 1:
        return jax.vmap(function)(jnp.arange(count))
    size = -(-count // rounds)
    numbers = jnp.minimum(jnp.arange(-(-count // size) * size), count - 1).reshape(-1, size)
    values = jax.lax.map(jax.vmap(function), numbers)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], values)


def has_target_axis(head: Head, activations: Float[Array, "n h w c"], targets: Targets) -> bool:
    """Whether maps get an axis t."""
    if callable(targets):
        return len(jax.eval_shape(lambda values: targets(head(values)), activations).shape) == 2
    return targets.ndim == 2
