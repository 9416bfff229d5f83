"""Erase the strongest window and ask again: does the map show what the answer rests on?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Num, PRNGKeyArray

from jaxcam.attribution.perturbation.occlusion import strongest, window_drops
from jaxcam.metrics import wilson


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Erasure:
    """For each image: which window was hidden, and whether the prediction changed."""

    place: Int32[Array, " n"]
    """number of the strongest window, counted along rows"""
    flipped: Bool[Array, " n"]
    """the prediction changes when it is hidden"""
    random_place: Int32[Array, " n"]
    random_flipped: Bool[Array, " n"]
    """the same for a window drawn at random"""
    any_flipped: Float[Array, " n"]
    """share of all windows that change it: what a random window does on average"""


def erase_strongest(
    base: Float[Array, "n k"],
    occluded: Float[Array, "n ..."],
    *,
    key: PRNGKeyArray,
    by: Num[Array, "..."] | None = None,
) -> Erasure:
    """Hide each image's strongest window and see whether the prediction changes; against a random window of that size.

    `base` (n k) and `occluded` (n gh gw k) come from `occluded_logits`, so this costs no forward. The strongest window
    has the largest drop of the predicted class, or the largest value in `by` (n gh gw), any map on the window grid.
    The random window differs from the strongest one (where there is a second); `key` draws it.
    """
    n, *shape, k = occluded.shape
    if by is not None and by.shape != (n, *shape):
        raise ValueError(f"by must have a value for every window, {(n, *shape)}, got {by.shape}")
    flat = occluded.reshape(n, -1, k)
    count = flat.shape[1]
    predicted = base.argmax(-1)
    drops = window_drops(base, occluded, predicted) if by is None else by
    place = strongest(drops)
    steps = jax.random.randint(key, (n,), 1, max(2, count))
    random_place = ((place + steps) % count).astype(jnp.int32)
    changed = flat.argmax(-1) != predicted[:, None]
    at = lambda places: jnp.take_along_axis(changed, places[:, None], axis=1)[:, 0]
    return Erasure(
        place=place,
        flipped=at(place),
        random_place=random_place,
        random_flipped=at(random_place),
        any_flipped=changed.astype(jnp.float32).mean(1),
    )


@dataclass(frozen=True, kw_only=True)
class ErasureShares:
    """Of the images of a set, how many predictions change; intervals are Wilson's."""

    images: int
    strongest: float
    strongest_interval: tuple[float, float]
    random: float
    random_interval: tuple[float, float]
    any_window: float
    """mean share of windows that change a prediction"""


def erasure_shares(erasure: Erasure, counted: Bool[np.ndarray, " n"] | None = None) -> ErasureShares:
    """The shares over a set, on the host; `counted` leaves images out (padding). ValueError without any image."""
    rows = np.ones(erasure.place.shape, bool) if counted is None else np.asarray(counted)
    count = int(rows.sum())
    if count == 0:
        raise ValueError("no image to count; give at least one")
    flips = int(np.asarray(erasure.flipped)[rows].sum())
    random = int(np.asarray(erasure.random_flipped)[rows].sum())
    return ErasureShares(
        images=count,
        strongest=flips / count,
        strongest_interval=wilson(flips, count),
        random=random / count,
        random_interval=wilson(random, count),
        any_window=float(np.asarray(erasure.any_flipped)[rows].mean()),
    )
