"""What a map explains: classes of each image, or any function of the logits.

Every attribution method takes `targets` in one of three forms:

- `(n,)` integers: one class an image, one map an image;
- `(n, t)` integers: `t` classes an image, `t` maps an image;
- a function of the logits `(n, k) -> (n,)` or `(n, t)`, whose value for an image depends on that image's logits only.

`predicted`, `top_k`, `every_class` make the second form from logits; `difference` and `probability` the third.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

Score = Callable[[Float[Array, "n k"]], Float[Array, "..."]]
Targets = Int[Array, "..."] | Score


def check_targets(targets: Int[Array, "..."], images: int, classes: int | None = None) -> None:
    """Refuse a number of targets that does not match the images, and classes that there are not.

    Broadcasting and clipped indices would hide both. Inside `jit` the values are not known; scores and maps of a class
    that there is not are NaN there.
    """
    if targets.ndim not in (1, 2) or targets.shape[0] != images:
        raise ValueError(f"targets must be ({images},) or ({images}, t), got {targets.shape}")
    known = not isinstance(targets, jax.core.Tracer) and getattr(targets, "is_fully_addressable", True)
    if classes is not None and known and targets.size:
        values = np.asarray(targets)  # numpy, for under a trace a sum over known values is traced as well
        smallest, largest = values.min(), values.max()
        if smallest < 0 or largest >= classes:
            raise ValueError(f"targets must lie in 0..{classes - 1}, got {smallest if smallest < 0 else largest}")


def invalid(targets: Int[Array, "..."], classes: int) -> Bool[Array, "..."]:
    """True for class numbers that there are not; negative ones do not count from the end."""
    return (targets < 0) | (targets >= classes)


def chosen_scores(logits: Float[Array, "n k"], targets: Targets) -> Float32[Array, "n t"]:
    """The targets' scores; t is 1 for one target an image."""
    if callable(targets):
        scores = targets(logits).astype(jnp.float32)
        if scores.ndim not in (1, 2) or scores.shape[0] != logits.shape[0]:
            raise ValueError(f"a target function must give ({logits.shape[0]},) or (.., t) scores, got {scores.shape}")
        return scores if scores.ndim == 2 else scores[:, None]
    check_targets(targets, *logits.shape)
    columns = targets if targets.ndim == 2 else targets[:, None]
    columns = jnp.where(invalid(columns, logits.shape[1]), logits.shape[1], columns)
    # Gathered before the cast, so that the gradient keeps the logits' dtype.
    return jnp.take_along_axis(logits, columns, axis=1, mode="fill").astype(jnp.float32)


def score_directions(
    logits: Float[Array, "n k"], targets: Targets
) -> tuple[Float32[Array, "n t"], Float[Array, "t n k"]]:
    """The targets' scores and, for each, its gradient with respect to the logits: what a pullback takes.

    >>> scores, directions = score_directions(jnp.array([[1.0, 2.0]]), jnp.array([1]))
    >>> scores.tolist(), directions.tolist()
    ([[2.0]], [[[0.0, 1.0]]])
    """
    scores, pullback = jax.vjp(lambda values: chosen_scores(values, targets), logits)
    choices = jnp.broadcast_to(jnp.eye(scores.shape[1], dtype=scores.dtype)[:, None], (scores.shape[1], *scores.shape))
    return scores, jax.vmap(lambda choice: pullback(choice)[0])(choices)


def several(targets: Targets, logits: Float[Array, "n k"]) -> bool:
    """Whether the targets ask for maps with an axis t, even if it has length one."""
    return (jax.eval_shape(targets, logits) if callable(targets) else targets).ndim == 2


def predicted(logits: Float[Array, "n k"]) -> Int[Array, " n"]:
    """The class with the largest logit; of equal ones the first."""
    return logits.argmax(-1).astype(jnp.int32)


def top_k(logits: Float[Array, "n k"], k: int) -> Int[Array, "n t"]:
    """The `k` classes with the largest logits, largest first."""
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k must lie in 1..{logits.shape[-1]}, got {k}")
    return jax.lax.top_k(logits, k)[1]


def every_class(logits: Float[Array, "n k"]) -> Int[Array, "n k"]:
    """All classes, in their order, for each image."""
    return jnp.broadcast_to(jnp.arange(logits.shape[-1], dtype=jnp.int32), logits.shape)


def difference(positive: Int[Array, "..."], negative: Int[Array, "..."]) -> Score:
    """Contrast of two classes: the logit of `positive` minus that of `negative` (what speaks for a rather than b)."""
    if positive.shape != negative.shape:
        raise ValueError(f"both classes need one shape, got {positive.shape} and {negative.shape}")

    def score(logits):
        values = chosen_scores(logits, positive) - chosen_scores(logits, negative)
        return values if positive.ndim == 2 else values[:, 0]

    return score


def probability(targets: Int[Array, "..."]) -> Score:
    """Softmax probability of the classes, instead of their logits."""

    def score(logits):
        values = chosen_scores(jax.nn.softmax(logits.astype(jnp.float32)), targets)
        return values if targets.ndim == 2 else values[:, 0]

    return score
