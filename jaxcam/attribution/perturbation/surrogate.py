"""LIME (Ribeiro, Singh and Guestrin, 2016): a linear model of how parts of an image move the score.

Parts are switched off at random, the score is asked each time, and a weighted regression tells what each part
contributes. All targets come from the same forwards, and the regressions of a batch are solved together on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Num, PRNGKeyArray

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
from jaxcam.attribution.perturbation.regression import explained, lasso, rank_correlation, ridge
from jaxcam.attribution.perturbation.segments import segment_count, segment_means
from jaxcam.attribution.targets import Targets, several

GROUPS = 8
"""the samples are cut into so many groups to tell how far the coefficients can be trusted"""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A linear model of the score for each image and target; `paint(coefficients, segments)` makes maps of it.

    Arrays have an axis t after n where several targets were asked for.
    """

    coefficients: Float[Array, "n ..."]
    """(n, s): what each part adds to the score when it is shown; 0 for numbers that an image does not use"""
    intercepts: Float[Array, "n ..."]
    """(n,) the model's score with every part hidden"""
    fit: Float[Array, "n ..."]
    """(n,) weighted R^2: the share of the score's variance the model explains"""
    errors: Float[Array, "n ..."]
    """(n, s) standard errors of the coefficients from the random choice of samples (jackknife over 8 groups)"""
    stability: Float[Array, "n ..."]
    """(n,) Spearman correlation of the coefficients of two halves of the samples; near 0, the parts' order is chance"""


@dataclass(frozen=True, kw_only=True)
class LimeConvention:
    """One package's choices."""

    samples: int
    distance: str = "cosine"
    """cosine or euclidean"""
    between: str = "segments"
    """what the distance is taken of: switched-on `segments` (0 and 1), or the `pixels` of both images"""
    kernel: str = "root"
    """of the distance d and the width v: "root" sqrt(exp(-d^2/v^2)), "half" exp(-d^2/(2 v^2)), "plain" exp(-d^2/v^2)"""
    width: float = 0.25
    regression: str = "ridge"
    """ridge or lasso"""
    alpha: float = 1.0
    fill: str | float = "segments"
    """"segments": each part's mean colour; else as in `occlusion`"""
    first_whole: bool = False
    """the first sample hides nothing"""
    keep: float = 0.5


CONVENTIONS = {
    "lime": LimeConvention(samples=1000, first_whole=True),
    "captum": LimeConvention(
        samples=25, between="pixels", kernel="half", width=1.0, regression="lasso", alpha=0.01, fill=0.0
    ),
    "xplique": LimeConvention(
        samples=150, distance="euclidean", between="pixels", kernel="plain", width=45.0, alpha=2.0, fill=0.5
    ),
    "matlab": LimeConvention(samples=2048),
}


def lime(
    fn: Function,
    images: Float[Array, "n ..."],
    targets: Targets,
    *,
    key: PRNGKeyArray,
    segments: Int[Array, "..."] | Int[np.ndarray, "..."],
    samples: int | None = None,
    fill: Fill | None = None,
    convention: str = "lime",
    count: int | None = None,
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
    **choices: Any,
) -> Surrogate:
    """LIME coefficients (n, s), or (n, t, s), of the parts that `segments` (h, w) or (n, h, w) numbers from 0.

    `convention` takes the choices of a package:

    - "lime": 1000 samples, hidden parts show their mean colour, cosine distance between switches, kernel
      sqrt(exp(-d^2/0.25^2)), ridge with alpha 1;
    - "captum": 25 samples, fill 0, cosine distance between images, kernel exp(-d^2/2), lasso with alpha 0.01;
    - "xplique": 150 samples, fill 0.5, euclidean distance between images, kernel exp(-d^2/45^2), ridge with alpha 2;
    - "matlab": 2048 samples and a linear model, the rest as "lime"; its imageLIME scores probabilities, of 49 parts.

    `samples`, `fill` and `choices` (fields of `LimeConvention`: `distance`, `between`, `kernel`, `width`, `regression`,
    `alpha`, `first_whole`, `keep`) change single ones. The draws depend on `key` only: every image of a batch, and of
    every batch, sees the same switches.

    `segments` come from `grid_segments` or `superpixels`. Under `jit` with traced segments `count` tells how many there
    are at most. Features (n f) take segments (f,) or (n, f).

    Cost: `samples` + 1 forwards an image, for all targets together. Raises ValueError for what does not fit.

    >>> fn = lambda x: x.sum((1, 2))
    >>> halves = jnp.array([[0, 0, 1, 1]] * 4)
    >>> found = lime(fn, jnp.ones((1, 4, 4, 1)), jnp.array([0]), key=jax.random.key(0), segments=halves, fill=0.0)
    >>> found.coefficients.round().tolist()
    [[8.0, 8.0]]
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    rules = checked_rules(replace(CONVENTIONS[convention], **choices), samples)
    fn, images, numbers, count = prepared(fn, images, segments, count)
    hidden = hidden_parts(rules.fill if fill is None else fill, images, numbers, count, value_range)
    switches = jax.random.bernoulli(key, rules.keep, (rules.samples, count)).astype(jnp.float32)
    if rules.first_whole:
        switches = switches.at[0].set(1)
    base = checked_logits(fn(images), images)
    targets = settled(targets, base)
    pixels = rules.distance if rules.between == "pixels" else ""
    scores, apart = switched_scores(fn, images, numbers, switches, hidden, targets, memory, pixels=pixels)
    used = used_parts(numbers, count)

    def fit(used, apart, values):
        design = switches * used
        weights = kernel_weights(rules, part_distances(rules, design, used) if apart is None else apart)
        solve = partial({"ridge": ridge, "lasso": lasso}[rules.regression], alpha=rules.alpha)
        return jackknifed(lambda rows: solve(design, weights * rows, values), design, weights, values)

    fitted = jax.vmap(fit, in_axes=(0, None if apart is None else 0, 0))(used, apart, scores)
    return fitted if several(targets, base) else jax.tree.map(lambda values: values[:, 0], fitted)


def checked_rules(rules: LimeConvention, samples: int | None) -> LimeConvention:
    """The choices with the number of samples put in; ValueError for what is not one of them."""
    rules = rules if samples is None else replace(rules, samples=samples)
    allowed = {
        "distance": ("cosine", "euclidean"),
        "between": ("segments", "pixels"),
        "kernel": ("root", "half", "plain"),
        "regression": ("ridge", "lasso"),
    }
    for name, values in allowed.items():
        if getattr(rules, name) not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}, got {getattr(rules, name)!r}")
    if rules.samples < 2 * GROUPS or not 0 < rules.keep < 1 or not rules.width > 0 or not rules.alpha >= 0:
        raise ValueError(
            f"need at least {2 * GROUPS} samples, keep between 0 and 1, width above 0 and alpha of at least 0, "
            f"got {rules.samples}, {rules.keep}, {rules.width} and {rules.alpha}"
        )
    return rules


def prepared(
    fn: Function, images: Num[Array, "n ..."], segments: Int[Array, "..."] | Int[np.ndarray, "..."], count: int | None
) -> tuple[Function, Num[Array, "n h w c"], Int[Array, "n h w"], int]:
    """Function, images and segments in the shapes of pictures, and the number of parts."""
    fn, lifted, _ = lift(fn, images)
    positions = (images.shape[0], *(images.shape[1:3] if images.ndim == 4 else images.shape[1:2]))
    if segments.shape not in (positions, positions[1:]):
        raise ValueError(f"segments must be {positions} or {positions[1:]}, got {segments.shape}")
    known = count if isinstance(segments, jax.core.Tracer) and count is not None else segment_count(segments)
    if count is not None and count < known:
        raise ValueError(f"count is {count}, but the segments are numbered up to {known - 1}")
    numbers = jnp.broadcast_to(jnp.asarray(segments), positions).reshape(lifted.shape[:3])
    return fn, lifted, numbers, count or known


def hidden_parts(
    fill: Fill, images: Num[Array, "n h w c"], numbers: Int[Array, "n h w"], count: int, value_range: Any
) -> Num[Array, "..."]:
    """What hidden parts show; "segments" is each part's own mean colour."""
    if isinstance(fill, str) and fill == "segments":
        return segment_means(images, numbers, count).astype(images.dtype)
    return filled(fill, images, value_range=value_range)


def used_parts(numbers: Int[Array, "n h w"], count: int) -> Float32[Array, "n s"]:
    """1 for the numbers that an image has pixels of."""
    found = jax.lax.map(lambda number: (numbers == number).any((1, 2)), jnp.arange(count))
    return found.T.astype(jnp.float32)


def switched_scores(
    fn: Function,
    images: Num[Array, "n h w c"],
    numbers: Int[Array, "n h w"],
    switches: Float[Array, "m s"],
    hidden: Num[Array, "..."],
    targets: Targets,
    memory: int | None,
    *,
    pixels: str = "",
) -> tuple[Float32[Array, "n t m"], Float32[Array, "n m"] | None]:
    """Scores with the parts switched on and off, and, if asked, the distance between each image and what it became."""
    base = hidden[:, None] if hidden.ndim == 4 else hidden

    def step(rows):
        shown = jnp.moveaxis(rows[:, numbers], 1, 0) > 0.5
        variants = jnp.where(shown[..., None], images[:, None], base)
        results = {"scores": jnp.moveaxis(variant_scores(forward(fn, variants), targets), 1, 2)}
        if pixels:
            results["apart"] = pixel_distances(pixels, images, variants)
        return results

    found = chunked(step, switches, chunk_size(fn, images, switches.shape[0], memory))
    return jnp.moveaxis(found["scores"], 2, 1), found.get("apart")


def pixel_distances(
    kind: str, images: Num[Array, "n h w c"], variants: Num[Array, "n p h w c"]
) -> Float32[Array, "n p"]:
    """Cosine or euclidean distance between the pixels of an image and of its variants."""
    first = images.astype(jnp.float32).reshape(images.shape[0], 1, -1)
    second = variants.astype(jnp.float32).reshape(*variants.shape[:2], -1)
    if kind == "euclidean":
        return jnp.sqrt(((first - second) ** 2).sum(2))
    lengths = jnp.sqrt((first**2).sum(2)) * jnp.sqrt((second**2).sum(2))
    return 1 - (first * second).sum(2) / jnp.maximum(lengths, 1e-8)


def part_distances(
    rules: LimeConvention, design: Float[Array, "m s"], used: Float[Array, " s"]
) -> Float32[Array, " m"]:
    """Distance between the switches and all of them on."""
    on, parts = design.sum(1), used.sum()
    return jnp.sqrt(parts - on) if rules.distance == "euclidean" else 1 - jnp.sqrt(on / parts)


def kernel_weights(rules: LimeConvention, apart: Float[Array, " m"]) -> Float32[Array, " m"]:
    """Weights of the samples by their distance."""
    share = {"root": 0.5, "half": 0.5, "plain": 1.0}[rules.kernel]
    return jnp.exp(-share * (apart / rules.width) ** 2)


def jackknifed(
    solve: Callable[[Float[Array, " m"]], tuple[Float[Array, "t s"], Float[Array, " t"]]],
    design: Float[Array, "m s"],
    weights: Float[Array, " m"],
    values: Float[Array, "t m"],
) -> Surrogate:
    """The regression on all samples, and on parts of them to tell its errors; `solve` takes a factor a sample."""
    samples = design.shape[0]
    groups = np.arange(samples) * GROUPS // samples
    without = np.stack([groups != group for group in range(GROUPS)]).astype(np.float32)
    # Whole groups make the halves, because neighbouring samples may belong together.
    halves = np.stack([groups % 2 == half for half in range(2)]).astype(np.float32)
    rows = jnp.asarray(np.concatenate([np.ones((1, samples), np.float32), halves, without]))
    coefficients, intercepts = jax.vmap(solve)(rows)
    left = coefficients[3:]
    spread = ((left - left.mean(0)) ** 2).sum(0) * (GROUPS - 1) / GROUPS
    return Surrogate(
        coefficients=coefficients[0],
        intercepts=intercepts[0],
        fit=explained(design, weights, values, coefficients[0], intercepts[0]),
        errors=jnp.sqrt(spread),
        stability=rank_correlation(coefficients[1], coefficients[2]),
    )
