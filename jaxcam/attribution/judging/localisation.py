"""Does a map point at the thing? Numbers for maps beside masks or boxes of what is shown.

Maps are (n, h, w) at any resolution and are enlarged to the masks' (n, height, width), half-pixel bilinear; masks are
True on the thing. No function costs a forward pass. For all of them a larger number is better, and NaN stands for what
is not defined: an empty mask, a map with NaN, a map without positive heat or without an order.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Shaped

from jaxcam.attribution.judging.ranking import enlarged, orderable, share_of_top


def heat_in_mask(heat: Float[Array, "n h w"], masks: Bool[Array, "n height width"]) -> Float32[Array, " n"]:
    """Share of the heat that falls into the mask, 0..1: energy-based pointing game (Wang et al., 2020).

    The same number is the relevance mass accuracy of Arras et al. (2022). The positive part of each map is enlarged.
    NaN for a map without positive heat; an even map gives the mask's share of the area, which is what to compare with.

    >>> heat_in_mask(jnp.ones((1, 2, 2)), jnp.array([[[True, False], [False, False]]])).item()
    0.25
    """
    large = enlarged(jax.nn.relu(heat.astype(jnp.float32)), (masks.shape[1], masks.shape[2]))
    inside = jnp.where(masks, large, 0).sum((1, 2))
    total = large.sum((1, 2))
    return jnp.where(total > 0, inside / jnp.where(total > 0, total, 1), jnp.nan)


def relevance_mass(heat: Float[Array, "n h w"], masks: Bool[Array, "n height width"]) -> Float32[Array, " n"]:
    """Relevance mass accuracy (Arras et al., 2022), 0..1: `heat_in_mask`, and NaN where the mask is empty."""
    return jnp.where(masks.any((1, 2)), heat_in_mask(heat, masks), jnp.nan)


def relevance_rank(maps: Float[Array, "n h w"], masks: Bool[Array, "n height width"]) -> Float32[Array, " n"]:
    """Relevance rank accuracy (Arras et al., 2022), 0..1: of as many top positions as the mask has, the share inside.

    Equal values count by their mean share (`ranking.share_of_top`).
    """
    large = enlarged(maps, (masks.shape[1], masks.shape[2]))
    return share_of_top(large, masks, masks.sum((1, 2)))


def top_k_intersection(
    maps: Float[Array, "n h w"], masks: Bool[Array, "n height width"], k: int
) -> Float32[Array, " n"]:
    """Share of the `k` largest values that lies inside the mask, 0..1 (Theiner et al., 2021).

    Where the mask is smaller than `k`, the share cannot reach 1. Equal values count by their mean share.
    """
    if not 1 <= k <= masks.shape[1] * masks.shape[2]:
        raise ValueError(f"k must lie in 1..{masks.shape[1] * masks.shape[2]}, the positions of a mask; got {k}")
    large = enlarged(maps, (masks.shape[1], masks.shape[2]))
    counts = jnp.full(maps.shape[:1], k, jnp.int32)
    return jnp.where(masks.any((1, 2)), share_of_top(large, masks, counts), jnp.nan)


def pointing_game(
    maps: Float[Array, "n h w"], masks: Bool[Array, "n height width"], *, tolerance: float = 15.0
) -> Float32[Array, " n"]:
    """1 where the map's maximum lies in the mask or at most `tolerance` pixels from it, else 0 (Zhang et al., 2018).

    15 pixels is the paper's tolerance; 0 asks for the mask itself. Several equal maxima count by the share that hits.
    NaN for an empty mask and for a map that is the same everywhere.

    >>> heat = jnp.zeros((1, 4, 4)).at[0, 0, 0].set(1.0)
    >>> mask = jnp.zeros((1, 4, 4), bool).at[0, 0, 2].set(True)
    >>> [pointing_game(heat, mask, tolerance=t).item() for t in (1.0, 2.0)]
    [0.0, 1.0]
    """
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance must be a number of pixels of at least 0, got {tolerance}")
    large = enlarged(maps, (masks.shape[1], masks.shape[2]))
    peaks = large == large.max((1, 2), keepdims=True)
    hits = (peaks & dilated(masks, tolerance)).sum((1, 2)).astype(jnp.float32)
    share = hits / jnp.maximum(peaks.sum((1, 2)).astype(jnp.float32), 1)
    return jnp.where(masks.any((1, 2)) & orderable(large), share, jnp.nan)


def dilated(masks: Bool[Array, "n h w"], radius: float) -> Bool[Array, "n h w"]:
    """Masks with every position that is at most `radius` (Euclidean) from them."""
    height, width = masks.shape[1:]
    found = masks
    reach = min(int(radius), max(height, width))
    if reach == 0:
        return found
    # A disc is a stack of rows; how many True stand within a row's reach is a difference of running sums.
    sums = jnp.pad(jnp.cumsum(masks.astype(jnp.int32), axis=2), ((0, 0), (0, 0), (1, 0)))
    columns = np.arange(width)
    for step in range(min(reach, height - 1) + 1):
        half = int(np.sqrt(max(radius**2 - step**2, 0)))
        near = sums[:, :, np.minimum(columns + half + 1, width)] > sums[:, :, np.maximum(columns - half, 0)]
        found = found.at[:, step:].set(found[:, step:] | near[:, : height - step])
        found = found.at[:, : height - step].set(found[:, : height - step] | near[:, step:])
    return found


def box_masks(boxes: Shaped[Array, "n 4"], size: tuple[int, int]) -> Bool[Array, "n height width"]:
    """Masks of boxes (top, left, bottom, right) in pixels, bottom and right not included.

    >>> box_masks(jnp.array([[0, 1, 1, 3]]), (2, 3)).astype(int).tolist()
    [[[0, 1, 1], [0, 0, 0]]]
    """
    rows, columns = jnp.arange(size[0])[None, :, None], jnp.arange(size[1])[None, None]
    top, left, bottom, right = (boxes[:, side, None, None] for side in range(4))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
