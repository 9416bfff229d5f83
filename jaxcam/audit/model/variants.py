"""Changed copies of pictures, made on the device: parts hidden, parts exchanged, parts shuffled.

All take pictures on the scale 0..255 as float32 and give such; masks are 1 where something is hidden, with soft edges,
so that no sharp line tells the network where the change is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, Key

from jaxcam.attribution.judging.ranking import ranks
from jaxcam.attribution.perturbation.forwards import blurred

Pictures = Float32[Array, "n h w 3"]
SIDE = 0.7
"""the middle is a box of this share of each side: half of the picture"""
HIDDEN = 0.2
"""share of the cells of a map that are hidden as its hottest"""
SOFT = 1 / 40
"""width of the soft edge of a mask, as a share of the shorter side"""
TILES = 4


def middle(size: tuple[int, int], side: float = SIDE, soft: float = SOFT) -> Float32[np.ndarray, "h w"]:
    """1 in the middle of a picture, 0 at its border, the box's edges half way down."""
    width = max(1.0, soft * min(size))

    def ramp(length: int) -> np.ndarray:
        inside = side * length / 2 - np.abs(np.arange(length) + 0.5 - length / 2)
        return np.clip(inside / width + 0.5, 0, 1)

    return np.asarray(ramp(size[0])[:, None] * ramp(size[1])[None], np.float32)


def mixed(pictures: Pictures, other: Float32[Array, "..."], mask: Float32[Array, "..."]) -> Pictures:
    """`other` where the mask is 1; masks (h, w) or (n, h, w), `other` a colour (3,) or pictures."""
    return pictures + mask[..., None] * (other - pictures)


def hottest(maps: Float32[Array, "n h w"], key: Key[Array, ""], share: float = HIDDEN) -> Bool[Array, "n h w"]:
    """The cells with the largest values, the same number in every map; equal cells in a random order."""
    return ranks(maps, key) < cells_hidden(maps.shape[1:], share)


def cells_hidden(grid: tuple[int, ...], share: float = HIDDEN) -> int:
    """How many cells of a map are hidden; at least one."""
    return max(1, round(share * grid[0] * grid[1]))


def moved(cells: Bool[Array, "n h w"], keys: Key[Array, " n"]) -> Bool[Array, "n h w"]:
    """The same shapes elsewhere: shifted round the edges and flipped, each by its own key (n,)."""

    def one(cell, key):
        kinds = jax.random.split(key, 4)
        cell = jnp.roll(cell, jax.random.randint(kinds[0], (), 0, cell.shape[0]), 0)
        cell = jnp.roll(cell, jax.random.randint(kinds[1], (), 0, cell.shape[1]), 1)
        cell = jnp.where(jax.random.bernoulli(kinds[2]), cell[::-1], cell)
        return jnp.where(jax.random.bernoulli(kinds[3]), cell[:, ::-1], cell)

    return jax.vmap(one)(cells, keys)


def as_mask(cells: Bool[Array, "n h w"], size: tuple[int, int], soft: float = SOFT) -> Float32[Array, "n height width"]:
    """Cells of a map as a mask of the picture's size with soft edges."""
    rows = (np.arange(size[0]) * cells.shape[1]) // size[0]
    columns = (np.arange(size[1]) * cells.shape[2]) // size[1]
    sharp = cells[:, rows][:, :, columns].astype(jnp.float32)
    return blurred(sharp[..., None], max(0.5, soft * min(size) / 2))[..., 0]


def shuffled_tiles(pictures: Pictures, keys: Key[Array, " n"], tiles: int = TILES) -> Pictures:
    """Each picture cut into tiles x tiles parts, put together in a random order; a remainder at the edge stays."""
    height, width = (length // tiles for length in pictures.shape[1:3])
    if min(height, width) == 0:
        return pictures

    def one(picture, key):
        cut = picture[: height * tiles, : width * tiles].reshape(tiles, height, tiles, width, 3)
        parts = cut.transpose(0, 2, 1, 3, 4).reshape(tiles * tiles, height, width, 3)
        parts = jax.random.permutation(key, parts).reshape(tiles, tiles, height, width, 3)
        whole = parts.transpose(0, 2, 1, 3, 4).reshape(tiles * height, tiles * width, 3)
        return picture.at[: height * tiles, : width * tiles].set(whole)

    return jax.vmap(one)(pictures, keys)


def pooled(maps: Float32[Array, "n h w"], most: int) -> Float32[Array, "n gh gw"]:
    """Maps whose sides are at most `most` cells: the mean of what each cell covers."""
    for axis in (1, 2):
        length = maps.shape[axis]
        if length > most:
            maps = jnp.tensordot(maps, jnp.asarray(shares(length, most)), ((axis,), (0,)))
            maps = jnp.moveaxis(maps, -1, axis)
    return maps


def shares(length: int, cells: int) -> Float32[np.ndarray, "length cells"]:
    """How much each position adds to the mean of each cell; positions on a boundary count for both."""
    edges = np.arange(cells + 1) * length / cells
    low, high = np.arange(length)[:, None], np.arange(length)[:, None] + 1
    overlap = np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None)
    return (overlap / overlap.sum(0)).astype(np.float32)


def keys_of(rows: Int[Array, " n"], seed: int, use: int) -> Key[Array, " n"]:
    """A key for each picture that depends on its row only, not on its place in a batch."""
    base = jax.random.fold_in(jax.random.key(seed), use)
    return jax.vmap(lambda row: jax.random.fold_in(base, row))(rows)


NOVEL = 40
"""difference of a channel from the class' median picture above which a position counts as new"""


def before_scene(pictures: Pictures, own: Pictures, scene: Pictures, soft: float = SOFT) -> Pictures:
    """What is new in a picture, against its own class' median, before another median picture.

    The new part is widened by half the soft edge, so that outlines come along.
    """
    new = (jnp.abs(pictures - own).max(-1) > NOVEL).astype(jnp.float32)
    radius = max(1, round(soft * min(pictures.shape[1:3]) / 2))
    side = 2 * radius + 1
    wide = jax.lax.reduce_window(new, -jnp.inf, jax.lax.max, (1, side, side), (1, 1, 1), "SAME")
    mask = blurred(wide[..., None], max(0.5, radius / 2))[..., 0]
    return mixed(scene, pictures, mask)
