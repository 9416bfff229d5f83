"""Arithmetic of changed boxes, one axis at a time, on the host: no array of the network is touched here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Extent:
    """Along one axis of `size` positions, those that may have changed: low <= position < high, per window."""

    low: Int[np.ndarray, " p"]
    high: Int[np.ndarray, " p"]
    size: int

    @staticmethod
    def union(extents: Sequence["Extent"]) -> "Extent":
        """The smallest extent that covers all of them; an empty one covers nothing."""
        low, high = extents[0].low, extents[0].high
        for other in extents[1:]:
            empty, blank = high <= low, other.high <= other.low
            low, high = (
                np.where(blank, low, np.where(empty, other.low, np.minimum(low, other.low))),
                np.where(blank, high, np.where(empty, other.high, np.maximum(high, other.high))),
            )
        return Extent(low, high, extents[0].size)

    def bounded(self, share: float) -> "Extent":
        """Cut to the centre where it is longer than that share of the axis (Krypton's projective field threshold)."""
        limit = max(1, round(share * self.size))
        length = self.high - self.low
        low = np.where(length > limit, self.low + (length - limit) // 2, self.low)
        return Extent(low, np.where(length > limit, low + limit, self.high), self.size)


@dataclass(frozen=True)
class Side:
    """One side of a group's boxes: the first position of each window's box, and one static length for all."""

    starts: Int[np.ndarray, " p"]
    length: int
    size: int

    @property
    def full(self) -> bool:
        """Whether the box is the whole axis."""
        return self.length == self.size


def lengths(extent: Extent, share: float) -> Int[np.ndarray, " p"]:
    """Positions to compute for every window: those that may change, or all where they are nearly all of them.

    All: from `share` of the axis on, and where only one is spared (`share` up to 1). Whole axes need no gathering.
    """
    length = np.clip(extent.high - extent.low, 1, extent.size)
    whole = (length >= share * extent.size) | ((length >= extent.size - 1) & (share <= 1))
    return np.where(whole, extent.size, length)


def side(extent: Extent, windows: Int[np.ndarray, " _"], share: float) -> Side:
    """The shortest side that holds the extents of these windows."""
    length = int(lengths(Extent(extent.low[windows], extent.high[windows], extent.size), share).max(initial=1))
    return Side(np.clip(extent.low[windows], 0, extent.size - length), length, extent.size)


@dataclass(frozen=True)
class Link:
    """Position i of an output's axis `to` comes from positions i * stride - low + (0 .. kernel) of an input's axis.

    `mirrored` stands for i of the axis read backwards instead.
    """

    to: int
    kernel: int = 1
    stride: int = 1
    low: int = 0
    mirrored: bool = False

    def extent(self, extent: Extent, size: int) -> Extent:
        """Outputs, of `size`, that see a changed input."""
        if self.mirrored:
            return Extent(size - extent.high, size - extent.low, size)
        first = -((-(extent.low + self.low - (self.kernel - 1))) // self.stride)
        last = (extent.high - 1 + self.low) // self.stride
        low = np.clip(first, 0, size - 1)
        high = np.where(extent.high <= extent.low, low, np.clip(last + 1, low, size))
        return Extent(low, high, size)

    def source(self, box: Side, size: int) -> Side:
        """The inputs, of `size`, that a box of outputs reads; they may reach beyond both ends."""
        if self.mirrored:
            return Side(size - box.starts - box.length, box.length, size)
        return Side(box.starts * self.stride - self.low, (box.length - 1) * self.stride + self.kernel, size)


Extents = Mapping[int, Extent]
Sides = Mapping[int, Side]
Links = Mapping[int, Link]
