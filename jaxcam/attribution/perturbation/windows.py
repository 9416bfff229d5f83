"""Where occluding windows stand, and how their values become one value a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int64

EDGES = ("moved", "cut", "full", "centred")
Span = tuple[int, int]


@dataclass(frozen=True)
class WindowGrid:
    """The windows of one image size: every combination of one span an axis.

    `size` is the image's size along each axis; `spans[i]` lists (first, one past the last) pixel along axis i. Usually
    made by `window_grid`.
    """

    size: tuple[int, ...]
    spans: tuple[tuple[Span, ...], ...]

    def __post_init__(self):
        if len(self.size) != len(self.spans):
            raise ValueError(f"one list of spans an axis: got {len(self.spans)} for the size {self.size}")
        for length, spans in zip(self.size, self.spans, strict=True):
            if not spans or any(not 0 <= first < last <= length for first, last in spans):
                raise ValueError(f"windows must be non-empty and lie inside the image of size {self.size}: {spans}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of windows along each axis."""
        return tuple(len(spans) for spans in self.spans)

    @property
    def count(self) -> int:
        """Number of windows: the forwards an image costs, besides one without a window."""
        return int(np.prod(self.shape))

    def boxes(self) -> Int64[np.ndarray, "p axes 2"]:
        """(first, one past the last) pixel along each axis, for every window, the last axis running fastest."""
        indices = np.indices(self.shape).reshape(len(self.shape), -1)
        axes = [np.array(spans, np.int64)[chosen] for spans, chosen in zip(self.spans, indices, strict=True)]
        return np.stack(axes, axis=1)

    def covers(self) -> tuple[Bool[np.ndarray, "..."], ...]:
        """For each axis (windows, pixels): whether a window's span holds the pixel."""
        return tuple(
            np.array([[first <= pixel < last for pixel in range(length)] for first, last in spans])
            for length, spans in zip(self.size, self.spans, strict=True)
        )


def window_grid(
    size: Sequence[int], window: Sequence[int], stride: Sequence[int], *, edges: str = "moved"
) -> WindowGrid:
    """The grid of windows for images of `size`; `grid.count` is the number of forwards an occlusion map needs.

    `edges` says what happens where the stride does not divide:

    - "moved": windows stay whole and inside; the last one of an axis is moved in to touch the border;
    - "cut": the last window sticks out and is cut (captum);
    - "full": whole windows only, the rim may stay uncovered (PAIR, xplique);
    - "centred": window centres at pixels 0, stride, 2 stride, ..., cut on all sides (MATLAB).

    A stride larger than the window leaves pixels between the windows uncovered. Raises ValueError for a window larger
    than the image, and for numbers that make no grid.

    >>> window_grid((224, 224), (32, 32), (16, 16)).shape
    (13, 13)
    >>> window_grid((10,), (4,), (4,)).spans
    (((0, 4), (4, 8), (6, 10)),)
    """
    if not len(size) == len(window) == len(stride):
        raise ValueError(f"size, window and stride need one number an axis, got {size}, {window} and {stride}")
    if edges not in EDGES:
        raise ValueError(f"edges must be one of {', '.join(EDGES)}, got {edges!r}")
    if min(window) < 1 or min(stride) < 1:
        raise ValueError(f"window and stride must be at least 1, got {tuple(window)} and {tuple(stride)}")
    if any(inner > outer for inner, outer in zip(window, size, strict=True)):
        raise ValueError(f"the window {tuple(window)} is larger than the image {tuple(size)}; make it smaller")
    axes = [_spans(int(n), int(w), int(s), edges) for n, w, s in zip(size, window, stride, strict=True)]
    return WindowGrid(tuple(int(n) for n in size), tuple(axes))


def _spans(length: int, window: int, stride: int, edges: str) -> tuple[Span, ...]:
    room = length - window
    if edges == "centred":
        firsts = range(-(window // 2), length - window // 2, stride)
        return tuple((max(0, first), min(length, first + window)) for first in firsts)
    if edges == "cut":
        return tuple((i * stride, min(length, i * stride + window)) for i in _reaching(room, stride, length))
    starts = list(range(0, room + 1, stride))
    if edges == "moved" and starts[-1] != room:
        starts.append(room)
    return tuple((start, start + window) for start in starts)


def _reaching(room: int, stride: int, length: int) -> range:
    """Numbers of the windows until one touches the far border; one that would lie outside is left out."""
    count = -(-room // stride) + 1
    return range(count if (count - 1) * stride < length else count - 1)


def per_pixel(drops: Float[Array, "..."], grid: WindowGrid, *, how: str = "mean") -> Float32[Array, "..."]:
    """Values on the window grid (..., gh, gw) to one a pixel (..., h, w): the mean, or sum, over covering windows.

    A pixel that no window covers is NaN in the mean and 0 in the sum. A value that is not finite makes NaN of its own
    window only. One small matrix product an axis: no scatter, no loop.

    >>> per_pixel(jnp.array([1.0, 3.0]), window_grid((3,), (2,), (1,))).tolist()
    [1.0, 2.0, 3.0]
    """
    rank = len(grid.size)
    if drops.shape[drops.ndim - rank :] != grid.shape or drops.ndim < rank:
        raise ValueError(f"the values must end in the grid's shape {grid.shape}, got {drops.shape}")
    if how not in ("mean", "sum"):
        raise ValueError(f"how must be mean or sum, got {how!r}")
    covers = grid.covers()
    values = drops.astype(jnp.float32)
    finite = jnp.isfinite(values)
    total = _spread(jnp.where(finite, values, 0), covers)
    spoilt = _spread(jnp.where(finite, 0.0, 1.0), covers) > 0
    if how == "mean":
        counts = np.ones((1,) * rank)
        for axis, cover in enumerate(covers):
            counts = counts * cover.sum(0).reshape([-1 if i == axis else 1 for i in range(rank)])
        shares = np.divide(1, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        total = total * jnp.asarray(shares, jnp.float32)
    return jnp.where(spoilt, jnp.nan, total)


def _spread(values: Float32[Array, "..."], covers: tuple[Bool[np.ndarray, "..."], ...]) -> Float32[Array, "..."]:
    for cover in covers:
        # Each product takes the first of the grid's axes and puts the pixels' axis at the end.
        matrix = jnp.asarray(cover, jnp.float32)
        values = jnp.tensordot(values, matrix, ((values.ndim - len(covers),), (0,)), precision="highest")
    return values
