"""Path methods: gradients collected on the way from a baseline to the image, which add up to a difference of scores.

Both return a `Decomposition`: the attributions, the sum they should have, and by how much they miss it, so that a path
that was sampled too coarsely shows. `fn` is any JAX function from float images (n, h, w, c) to scores (n, k).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int, Key

from jaxcam.attribution.gradient.samples import (
    MEMORY,
    Function,
    arranged,
    fold,
    gradients_at,
    image_keys,
    logits_shape,
    points_at_once,
    target_scores,
)
from jaxcam.attribution.targets import Targets, chosen_scores
from jaxcam.errors import UserError

Rule = Literal["gauss_legendre", "riemann_left", "riemann_right", "riemann_middle", "trapezoid"]
RULES = ("gauss_legendre", "riemann_left", "riemann_right", "riemann_middle", "trapezoid")


class Decomposition(NamedTuple):
    """Attributions that should add up to a known number."""

    attributions: Float32[Array, "n *more"]
    """signed share of every input value: (n, h, w, c), or (n, t, h, w, c) for t targets"""
    expected: Float32[Array, "n *t"]
    """what they should add up to: (n,), or (n, t)"""
    error: Float32[Array, "n *t"]
    """their sum minus `expected`"""


def decomposition(
    attributions: Float32[Array, "t n *shape"], expected: Float32[Array, "n t"], targets: Targets, logits
) -> Decomposition:
    """Attributions of each target beside their sum and what it should be."""
    sums = attributions.sum(tuple(range(2, attributions.ndim)))
    values = (attributions, expected.T, sums - expected.T)
    return Decomposition(*(arranged(value, targets, logits) for value in values))


def integrated_gradients(
    fn: Function,
    images: Float[Array, "n *shape"],
    targets: Targets,
    *,
    baselines: ArrayLike,
    steps: int = 50,
    rule: Rule = "gauss_legendre",
    memory: int = MEMORY,
) -> Decomposition:
    """Integrated gradients: the gradient averaged on the straight line from a baseline, times the distance.

    Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks" (2017). Completeness: the attributions of an
    image add up to `fn(image) - fn(baseline)` at the target, up to `error`, which falls as `steps` grows. `baselines`
    is a number, or an array that broadcasts to the images: (c,), (h, w, c) or (n, h, w, c), in the images' units (after
    normalising, the data set's mean colour is 0). `rule` places the points: Gauss-Legendre (captum's default, best
    for smooth functions), a Riemann sum or the trapezoid rule; all weights add up to 1. The points are made in float32
    and given to `fn` in the images' dtype. `memory` (bytes) bounds how many run together and changes no number.

    Returns signed float32 attributions (n, h, w, c), or (n, t, h, w, c) for t targets, in a `Decomposition`.

    Cost: `steps` + 2 forwards, and `steps` backwards for each target.

    >>> fn = lambda x: jnp.square(x).sum((1, 2, 3))[:, None]
    >>> result = integrated_gradients(fn, jnp.full((1, 1, 1, 1), 3.0), jnp.array([0]), baselines=1.0)
    >>> round(result.attributions.item(), 4), abs(result.error.item()) < 1e-4
    (8.0, True)
    """
    logits = logits_shape(fn, images)
    places, weights = (jnp.asarray(values, jnp.float32) for values in quadrature(rule, steps))
    starts = broadcast_baselines(baselines, images)
    wide, away = starts[:, None], images.astype(jnp.float32) - starts
    budget = points_at_once(fn, images, memory)

    def step(total, numbers):
        along = jnp.expand_dims(places[numbers], tuple(range(1, images.ndim)))
        points = (wide + along * away[:, None]).astype(images.dtype)
        average = lambda gradient: jnp.tensordot(gradient, weights[numbers], (1, 0))
        return total + gradients_at(fn, points, targets, average, at_once=max(1, budget // len(numbers)))

    after = target_scores(fn, images, targets)
    before = target_scores(fn, starts.astype(images.dtype), targets)
    zeros = jnp.zeros((after.shape[1], *images.shape), jnp.float32)
    return decomposition(fold(step, zeros, steps, budget) * away, after - before, targets, logits)


def expected_gradients(
    fn: Function,
    images: Float[Array, "n *shape"],
    targets: Targets,
    *,
    key: Key[Array, "..."],
    references: Float[Array, "m ..."],
    samples: int = 50,
    memory: int = MEMORY,
) -> Decomposition:
    """Expected gradients: integrated gradients averaged over references drawn from the data instead of one baseline.

    Source: Erion et al., "Improving performance of deep learning models with axiomatic attribution priors and expected
    gradients" (2021); captum's GradientShap without noise. Each sample takes one reference and one place on the line
    from it to the image. Places are drawn one from each of `samples` equal parts of the line and references in shuffled
    rounds, which leaves the expectation as it is and lowers the variance. The attributions add up to `fn(image)` minus
    the mean of `fn(references)` at the target, up to `error`, which is the sampling error.

    `references` (m, h, w, c) serve all images. `key` is one key, and every image gets the same draws, or one key for
    each image (n,). `memory` (bytes) bounds how many samples run together and changes no number.

    Returns signed float32 attributions (n, h, w, c), or (n, t, h, w, c) for t targets, in a `Decomposition`.

    Cost: `samples` + 1 forwards and `samples` backwards for each target, and one forward of the m references a batch.
    """
    logits, keys = logits_shape(fn, images), image_keys(key, images.shape[0])
    if references.shape[1:] != images.shape[1:] or not len(references):
        wanted = ", ".join(map(str, images.shape[1:]))
        raise UserError(f"references must be (m, {wanted}), at least one, got {references.shape}")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    places, choices = jax.vmap(lambda key: draws(key, samples, len(references)))(keys)
    wide, pool = images.astype(jnp.float32)[:, None], references.astype(jnp.float32)
    budget = points_at_once(fn, images, memory)

    def step(total, numbers):
        starts = pool[choices[:, numbers]]
        along = jnp.expand_dims(places[:, numbers], tuple(range(2, images.ndim + 1)))
        points = (starts + along * (wide - starts)).astype(images.dtype)
        average = lambda gradient: (gradient * (wide - starts)).sum(1) / samples
        return total + gradients_at(fn, points, targets, average, at_once=max(1, budget // len(numbers)))

    after = target_scores(fn, images, targets)
    # A target function may hold one value for each image, so it sees each reference's logits once for every image.
    others = fn(references.astype(images.dtype))
    spread = lambda row: chosen_scores(jnp.broadcast_to(row, (images.shape[0], *row.shape)), targets)
    before = jax.vmap(spread)(others).mean(0)
    zeros = jnp.zeros((after.shape[1], *images.shape), jnp.float32)
    return decomposition(fold(step, zeros, samples, budget), after - before, targets, logits)


def draws(key: Key[Array, ""], samples: int, references: int) -> tuple[Float[Array, " s"], Int[Array, " s"]]:
    """Places in 0..1, one in each of `samples` equal parts, and the reference of each; the two are independent."""
    place, order, rounds = jax.random.split(key, 3)
    parts = jax.random.permutation(order, samples)
    places = (parts.astype(jnp.float32) + jax.random.uniform(place, (samples,))) / samples
    shuffles = jax.random.split(rounds, -(-samples // references))
    choices = jax.vmap(lambda key: jax.random.permutation(key, references))(shuffles)
    return places, choices.reshape(-1)[:samples].astype(jnp.int32)


def broadcast_baselines(baselines: ArrayLike, images: Float[Array, "n *shape"]) -> Float32[Array, "n *shape"]:
    """Baselines for every image, in float32; a `UserError` where the shape does not fit."""
    starts = jnp.asarray(baselines, jnp.float32)
    try:
        return jnp.broadcast_to(starts, images.shape)
    except ValueError:
        raise UserError(f"baselines {starts.shape} do not broadcast to the images {images.shape}") from None


def quadrature(rule: Rule, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in 0..1 and their weights, which add up to 1.

    captum's `riemann_trapezoid` has weights that add up to (steps - 1) / steps; the others are captum's.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if steps < (2 if rule == "trapezoid" else 1):
        raise ValueError(f"too few steps for {rule}: {steps}")
    if rule == "gauss_legendre":
        places, weights = np.polynomial.legendre.leggauss(steps)
        return (1 + places) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    shift = {"riemann_left": 0, "riemann_middle": 0.5, "riemann_right": 1}[rule]
    return (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)
