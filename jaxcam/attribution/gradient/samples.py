"""Gradients at many points near each image, a few at a time: what SmoothGrad and the path methods share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, Key

from jaxcam.attribution.interpret import trace
from jaxcam.attribution.loops import loop_ready
from jaxcam.attribution.targets import Targets, chosen_scores, score_directions
from jaxcam.errors import UserError

Function = Callable[[Float[Array, "n *shape"]], Float[Array, "n k"]]
"""Any JAX function from a batch of float images to scores, one row an image."""

MEMORY = 2**30
"""Default budget, in bytes, for what all points in flight keep for their backward pass."""


def logits_shape(fn: Function, images: Float[Array, "n *shape"]) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the scores; refuses images that are not floats and functions that do not give rows."""
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise UserError(f"images are {images.dtype}; a gradient needs floats: apply the preprocessing first")
    logits = jax.eval_shape(fn, images)
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != images.shape[0]:
        raise ValueError(f"fn must give scores ({images.shape[0]}, k), got {shape or type(logits)}")
    return logits


def points_at_once(fn: Function, images: Float[Array, "n *shape"], memory: int) -> int:
    """How many points for each image fit the budget, at least one, by the sizes of `fn`'s intermediate results."""
    program, _ = trace(fn, jax.ShapeDtypeStruct(images.shape, images.dtype))
    # Twice: a value kept by the forward pass, and its gradient.
    return max(1, memory // max(1, 2 * program.bytes))


def target_scores(fn: Function, images: Float[Array, "n *shape"], targets: Targets) -> Float32[Array, "n t"]:
    """The targets' scores for the images."""
    return chosen_scores(fn(images), targets)


def arranged(values: Array, targets: Targets, logits: jax.ShapeDtypeStruct) -> Array:
    """(t, n, ...) as the methods return it: (n, t, ...) for several targets, (n, ...) for one."""
    asked = jax.eval_shape(targets, logits) if callable(targets) else targets
    return jnp.moveaxis(values, 0, 1) if asked.ndim == 2 else values[0]


def gradients_at(
    fn: Function,
    points: Float[Array, "n s *shape"],
    targets: Targets,
    reduce: Callable[[Float32[Array, "n s *shape"]], Any],
    *,
    at_once: int = 1,
) -> Any:
    """`reduce` of the gradients at s points for each image, in float32, for each target: a tree of (t, ...).

    All targets share one forward; `at_once` of their backward passes run together.
    """
    images, count = points.shape[:2]
    # Points of one image stand together, so that a batch split over devices stays split as it is.
    logits, pullback = pulled_back(fn, points.reshape(images * count, *points.shape[2:]))
    split = logits.reshape(images, count, logits.shape[-1])
    chosen = lambda values: score_directions(values, targets)
    scores, directions = jax.vmap(chosen, in_axes=1, out_axes=(2, 2))(split)

    def reduced(argument):
        score, direction = argument
        (gradient,) = pullback(direction.reshape(logits.shape))
        gradient = gradient.astype(jnp.float32).reshape(points.shape)
        # ReLUs pass no gradient at NaN, so that the map of a score that is NaN would look like one of a dead network.
        unknown = jnp.isnan(score).reshape(score.shape + (1,) * (points.ndim - 2))
        return reduce(jnp.where(unknown, jnp.nan, gradient))

    return mapped(reduced, (jnp.moveaxis(scores, 1, 0), directions), at_once)


def pulled_back(fn: Function, points: Float[Array, "m *shape"]) -> tuple[Array, Callable[[Array], tuple[Array]]]:
    """As `jax.vjp`, in the form that is fast where samples are taken in a loop: see `loop_ready`."""
    logits, pullback = jax.vjp(fn, points)
    return logits, lambda direction: loop_ready(pullback)(direction)


def mapped(function: Callable[[Any], Any], rows: Any, at_once: int) -> Any:
    """`function` of every row of a tree of arrays, `at_once` rows together."""
    if len(jax.tree.leaves(rows)[0]) <= at_once:
        return jax.vmap(function)(rows)
    return jax.lax.map(function, rows, batch_size=at_once if at_once > 1 else None)


def fold(step: Callable[[Any, Int[Array, " s"]], Any], carry: Any, samples: int, at_once: int) -> Any:
    """`carry = step(carry, indices)` over the samples' numbers, `at_once` at a time and a shorter part first."""
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    at_once = min(at_once, samples)
    # Even parts: 50 samples of which 48 fit are 25 and 25.
    at_once = -(-samples // -(-samples // at_once))
    full, rest = divmod(samples, at_once)
    if rest:
        carry = step(carry, jnp.arange(rest))
    if full == 1:
        return step(carry, rest + jnp.arange(at_once))
    return jax.lax.scan(
        lambda c, i: (step(c, rest + i * at_once + jnp.arange(at_once)), None), carry, jnp.arange(full)
    )[0]


def image_keys(key: Key[Array, "..."], images: int) -> Key[Array, " n"]:
    """A key for each image: the same for all, or those given."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape not in ((), (images,)):
        raise ValueError(
            f"key must be one jax.random.key, or one for each of {images} images, got {key.shape} {key.dtype}"
        )
    return jnp.broadcast_to(key, (images,)) if key.ndim == 0 else key
