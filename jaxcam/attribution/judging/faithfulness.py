"""Does the network use what a map says it uses? Numbers from the scores of changed images.

`fn` is any function from images (n, h, w, c) to logits (n, k); `maps` (n, h, w) have any resolution and are enlarged to
the images' size, half-pixel bilinear. `targets` as in `targets`, one an image. What is followed is the target's
probability, as in the papers, or with `score="logit"` its logit; a function of the logits is taken as it is. Maps that
put nothing in order (the same everywhere) and maps with NaN give NaN. All functions are pure and work under `jit`,
`vmap` and sharding; `memory` bounds the bytes of the forward passes in flight.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Num, PRNGKeyArray

from jaxcam.attribution.judging.ranking import enlarged, orderable, ranks
from jaxcam.attribution.perturbation.forwards import (
    MEMORY,
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
from jaxcam.attribution.targets import Targets, chosen_scores, probability

Measure = Literal["probability", "logit"]


class Curve(NamedTuple):
    """Scores while an image is taken apart or put together."""

    shares: Float32[Array, " s"]
    """share of the pixels removed (deletion) or shown (insertion), 0 to 1"""
    scores: Float32[Array, "n s"]
    """the target's score there"""
    area: Float32[Array, " n"]
    """area under the curve, by trapezoids: the mean score"""


class Change(NamedTuple):
    """What happens to the score when only what the map shows is left."""

    before: Float32[Array, " n"]
    """score of the image"""
    after: Float32[Array, " n"]
    """score of the image seen through its map"""
    drop: Float32[Array, " n"]
    """max(0, before - after) / before, 0 to 1; its mean in percent is the average drop, smaller is better"""
    increase: Float32[Array, " n"]
    """1 where after > before; its mean in percent is the increase in confidence, larger is better"""


def deletion(
    fn: Function,
    images: Num[Array, "n h w c"],
    maps: Float[Array, "n _h _w"],
    targets: Targets,
    *,
    steps: int = 20,
    fill: Fill = 0.0,
    score: Measure = "probability",
    key: PRNGKeyArray | None = None,
    memory: int = MEMORY,
) -> Curve:
    """Deletion (Petsiuk et al., 2018): the score while the hottest pixels are replaced first; a smaller area is better.

    `fill` is what replaces them (see `perturbation.filled`): 0 is the mean colour for most preprocessing; "blur" leaves
    the image's colours. Equal values are removed in reading order, or with a `key` in a random one, which is fairer to
    maps that are zero in most places. Compare with the area for a random map. Cost: `steps + 1` forwards.
    """
    shown = lambda kept, images, other: jnp.where(kept, images, other)
    return _curve(shown, fn, images, maps, targets, steps, fill, score, key, memory)


def insertion(
    fn: Function,
    images: Num[Array, "n h w c"],
    maps: Float[Array, "n _h _w"],
    targets: Targets,
    *,
    steps: int = 20,
    fill: Fill = "blur",
    score: Measure = "probability",
    key: PRNGKeyArray | None = None,
    memory: int = MEMORY,
) -> Curve:
    """Insertion (Petsiuk et al., 2018): the score while the hottest pixels are shown first; a larger area is better.

    The image starts as `fill`, by default blurred as in the paper. Otherwise as `deletion`. Cost: `steps + 1` forwards.
    """
    shown = lambda kept, images, other: jnp.where(kept, other, images)
    return _curve(shown, fn, images, maps, targets, steps, fill, score, key, memory)


def confidence_change(
    fn: Function,
    images: Num[Array, "n h w c"],
    maps: Float[Array, "n _h _w"],
    targets: Targets,
    *,
    fill: Fill = 0.0,
    score: Measure = "probability",
) -> Change:
    """Average drop and increase in confidence (Chattopadhay et al., 2018), for each image.

    The map's positive part divided by its maximum is a mask m, and the network sees `m * image + (1 - m) * fill`. A map
    that shows everything has no drop, so that the number means little without the map's complexity. NaN for a map
    without positive heat; the drop also where the score before is not above zero. Cost: 2 forwards.
    """
    targets, before = scored(fn, images, targets, score)
    heat = jax.nn.relu(enlarged(maps, (images.shape[1], images.shape[2])))
    peak = heat.max((1, 2))
    defined = jnp.isfinite(heat).all((1, 2)) & (peak > 0)
    mask = (heat / jnp.where(defined, peak, 1)[:, None, None])[..., None]
    floats = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32)
    mask = mask.astype(floats.dtype)
    seen = (mask * floats + (1 - mask) * filled(fill, floats)).astype(images.dtype)
    after = chosen_scores(checked_logits(fn(seen), seen), targets)[:, 0]
    drop = jnp.where(before > 0, jnp.maximum(before - after, 0) / jnp.where(before > 0, before, 1), jnp.nan)
    increase = (after > before).astype(jnp.float32)
    return Change(before, *(jnp.where(defined, values, jnp.nan) for values in (after, drop, increase)))


def scored(
    fn: Function, images: Num[Array, "n h w c"], targets: Targets, score: Measure
) -> tuple[Targets, Float32[Array, " n"]]:
    """Targets that hold for changed images and give the score that is followed; and its value for the images."""
    if score not in ("probability", "logit"):
        raise ValueError(f"score must be probability or logit, got {score!r}")
    logits = checked_logits(fn(images), images)
    targets = settled(targets, logits)
    if not callable(targets) and score == "probability":
        if logits.shape[1] == 1:
            raise ValueError('one logit has no probability; give score="logit", or a function of the logits as target')
        targets = probability(targets)
    scores = chosen_scores(logits, targets)
    if scores.shape[1] != 1:
        raise ValueError(f"one target an image is judged, got {scores.shape[1]}")
    return targets, scores[:, 0]


def scores_of(fn: Function, variants: Num[Array, "n p h w c"], targets: Targets) -> Float32[Array, "n p"]:
    """Scores of p variants of every image."""
    return variant_scores(forward(fn, variants), targets)[:, 0]


def area(shares: Float32[Array, " s"], scores: Float32[Array, "n s"]) -> Float32[Array, " n"]:
    """Area under curves, by trapezoids.

    >>> area(jnp.array([0.0, 0.5, 1.0]), jnp.array([[1.0, 0.5, 0.0]])).tolist()
    [0.5]
    """
    return ((scores[:, 1:] + scores[:, :-1]) / 2 * jnp.diff(shares)).sum(1)


def _curve(shown, fn, images, maps, targets, steps, fill, score, key, memory) -> Curve:
    count, height, width, _ = images.shape
    positions = height * width
    if not 1 <= steps <= positions:
        raise ValueError(f"steps must lie in 1..{positions}, the pixels of an image; got {steps}")
    if maps.shape[0] != count:
        raise ValueError(f"got {maps.shape[0]} maps for {count} images")
    targets, _ = scored(fn, images, targets, score)
    large = enlarged(maps, (height, width))
    order, other = ranks(large, key), filled(fill, images)
    other = other[:, None] if other.ndim == 4 else other
    numbers = np.round(np.arange(steps + 1) * positions / steps).astype(np.int32)

    def step(removed: Int32[Array, " p"]) -> Float32[Array, "n p"]:
        kept: Bool[Array, "n p h w 1"] = (order[:, None] >= removed[:, None, None])[..., None]
        return scores_of(fn, shown(kept, images[:, None], other), targets)

    scores = chunked(step, jnp.asarray(numbers), chunk_size(fn, images, steps + 1, memory))
    shares = jnp.asarray(numbers / positions, jnp.float32)
    return Curve(shares, scores, jnp.where(orderable(large), area(shares, scores), jnp.nan))
