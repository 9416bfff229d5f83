"""Maps in order: enlarging them to an image's size, ranks of their positions, shares of their top, with ties."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, PRNGKeyArray, Shaped


def enlarged(maps: Float[Array, "n h w"], size: tuple[int, int]) -> Float32[Array, "n height width"]:
    """Maps at another (height, width), bilinear with half-pixel centres, never antialiased: as they are looked at."""
    maps = maps.astype(jnp.float32)
    if maps.shape[1:] == tuple(size):
        return maps
    return jax.image.resize(maps, (maps.shape[0], *size), "linear", antialias=False)


def flat(maps: Shaped[Array, "n ..."]) -> Shaped[Array, "n p"]:
    """One row of values a map; also for no maps at all, where a reshape to -1 would not know the length."""
    return maps.reshape(maps.shape[0], math.prod(maps.shape[1:]))


def orderable(maps: Float[Array, "n h w"]) -> Bool[Array, " n"]:
    """Whether a map puts its positions in any order: it is finite and not the same everywhere."""
    values = flat(maps)
    return jnp.isfinite(values).all(1) & (values.max(1, initial=-jnp.inf) > values.min(1, initial=jnp.inf))


def ranks(maps: Float[Array, "n h w"], key: PRNGKeyArray | None = None) -> Int32[Array, "n h w"]:
    """Place of every position in its map's order, the largest value first, from 0.

    Equal values are put in reading order, or with a key in a random one: the same random order for every map, so that a
    map's ranks do not depend on its place in the batch.

    >>> ranks(jnp.array([[[0.1, 0.7], [0.3, 0.7]]])).tolist()
    [[[3, 0], [2, 1]]]
    """
    height, width = maps.shape[1:]
    falling = -flat(maps).astype(jnp.float32)
    places = jnp.broadcast_to(jnp.arange(height * width, dtype=jnp.int32), falling.shape)
    if key is None:
        _, order = jax.lax.sort((falling, places), dimension=1, num_keys=2)
    else:
        mixed = jnp.broadcast_to(jax.random.permutation(key, height * width).astype(jnp.int32), falling.shape)
        _, _, order = jax.lax.sort((falling, mixed, places), dimension=1, num_keys=2)
    # The inverse of a permutation is its own order.
    _, found = jax.lax.sort((order, places), dimension=1, num_keys=1)
    return found.reshape(maps.shape)


def mean_ranks(values: Float[Array, "n p"]) -> Float32[Array, "n p"]:
    """Ranks from the smallest value, counted from 1; equal values share the mean of their ranks."""

    def of_one(row):
        ordered = jnp.sort(row)
        below = jnp.searchsorted(ordered, row, side="left", method="sort")
        up_to = jnp.searchsorted(ordered, row, side="right", method="sort")
        return (below + up_to + 1).astype(jnp.float32) / 2

    return jax.vmap(of_one)(values)


def share_of_top(
    maps: Float[Array, "n h w"], inside: Bool[Array, "n h w"], counts: Shaped[Array, " n"]
) -> Float32[Array, " n"]:
    """Which share of a map's `counts` largest values lies inside; of equal values at the threshold the mean share.

    So the order in which equal values happen to stand plays no part. NaN for a count of zero and for maps without an
    order.
    """
    values, within = flat(maps).astype(jnp.float32), flat(inside)
    counts = jnp.minimum(counts.astype(jnp.int32), values.shape[1])
    falling = -jnp.sort(-values, axis=1)
    threshold = jnp.take_along_axis(falling, jnp.maximum(counts - 1, 0)[:, None], axis=1)
    above, at = values > threshold, values == threshold
    number = lambda where: where.sum(1).astype(jnp.float32)
    left = counts.astype(jnp.float32) - number(above)
    hits = number(above & within) + left * number(at & within) / jnp.maximum(number(at), 1)
    wanted = counts.astype(jnp.float32)
    return jnp.where((counts > 0) & orderable(maps), hits / jnp.maximum(wanted, 1), jnp.nan)
