"""Near duplicates: pairs with like hashes are searched by matrix products, then compared closely, then grouped."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from jaxcam.data.scan import hashes as perceptual
from jaxcam.data.scan import registration
from jaxcam.data.scan.pool import cores

LIKE = 0.9
"""cosine between the hashes of two pictures that are compared closely; a cut of 2 % leaves 0.94 (1 % quantile)"""
DIFFERENCE = 1.7
"""largest local difference, in units of what compression explains, of two pictures that count as one"""
COLOUR_DIFFERENCE = 24.0
CANDIDATES = 32
"""pictures compared with one; of a set before one background all are alike, and the nearest suffice"""
_MOST = 512
_TILE = (1024, 8192)
_BATCH = 256


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures whose hashes are alike, `first` < `second`."""

    first: Int64[np.ndarray, " p"]
    second: Int64[np.ndarray, " p"]
    view: tuple[str, ...]
    """how the second has to be turned, of `hashes.VIEWS`"""
    likeness: Float32[np.ndarray, " p"]
    """cosine between the hashes"""
    difference: Float32[np.ndarray, " p"]
    """largest local difference; at most `DIFFERENCE` for near duplicates"""

    @property
    def same(self) -> np.ndarray:
        """Which pairs are near duplicates."""
        return self.difference <= DIFFERENCE


def near_duplicates(
    luma: UInt8[np.ndarray, "n 64 64"],
    colour: UInt8[np.ndarray, "n 16 16 3"] | None = None,
    *,
    views: Sequence[str] = tuple(perceptual.VIEWS),
) -> list[list[int]]:
    """Groups of pictures that are one picture: recompressed, resized, cut by a few per cent, mirrored or turned.

    `luma` are grey thumbnails, `colour` (where given) coarse colour ones, as `measures.small_copies` makes them. Each
    group is a sorted list of rows; pictures that are like no other are in none. Pictures without structure (one colour)
    are in none either. Pictures of one scene or class that only look alike do not count: see `compare`.
    """
    pairs = compare(luma, candidates(perceptual.hashes(luma), views=views), colour)
    chosen = pairs.same
    return grouped(len(luma), zip(pairs.first[chosen].tolist(), pairs.second[chosen].tolist(), strict=True))


def candidates(
    values: Float32[np.ndarray, "n 63"],
    *,
    like: float = LIKE,
    most: int = CANDIDATES,
    views: Sequence[str] = tuple(perceptual.VIEWS),
) -> Pairs:
    """Pairs whose hashes have a cosine of at least `like`, in any of the views; at most `most` a picture.

    All pairs are compared, by matrix products of tiles: 63 multiplications a pair and view, in memory for one tile.
    `difference` is infinite in the result.
    """
    found = []
    for number, view in enumerate(views):
        for row, others, likeness in _nearest(values, perceptual.turned_hashes(values, view), like, most):
            found.append((np.full(len(others), row), others, likeness, np.full(len(others), number, np.int8)))
    if not found:
        nothing = np.zeros(0, np.int64)
        return Pairs(nothing, nothing, (), nothing.astype(np.float32), nothing.astype(np.float32))
    first, second, likeness, turn = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((turn, -likeness, second, first))  # the best view of every pair comes first
    repeated = np.r_[False, (np.diff(first[order]) == 0) & (np.diff(second[order]) == 0)]
    order = order[~repeated]
    order = order[np.lexsort((-likeness[order], first[order]))]
    starts = np.r_[0, np.flatnonzero(np.diff(first[order])) + 1]
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    order = order[rank < most]
    chosen = tuple(views[number] for number in turn[order])
    far = np.full(len(order), np.inf, np.float32)
    return Pairs(first[order], second[order], chosen, likeness[order].astype(np.float32), far)


def _nearest(
    values: Float32[np.ndarray, "n d"], turned: Float32[np.ndarray, "n d"], like: float, most: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For every row the later rows that are like it, the nearest first."""
    count, (height, width) = len(values), _TILE
    short_rows, short_columns = _shortened(values), _shortened(turned)
    for top in range(0, count, height):
        columns: list[list[np.ndarray]] = [[] for _ in range(min(height, count - top))]
        cosines: list[list[np.ndarray]] = [[] for _ in columns]
        for left in range(top, count, width):
            part = slice(left, left + width)
            bounds = short_rows[top : top + height] @ short_columns[part].T
            down, across = np.divmod(np.flatnonzero(bounds >= like), bounds.shape[1])
            later = across + left > down + top
            down, across = down[later], across[later]
            if len(down) > bounds.size // 16:
                products = (values[top : top + height] @ turned[part].T)[down, across]
            else:
                products = np.einsum("pd,pd->p", values[top + down], turned[left + across])
            alike = products >= like
            down, across, products = down[alike], across[alike] + left, products[alike]
            edges = [0, *(np.flatnonzero(np.diff(down)) + 1).tolist(), len(down)]
            for start, stop in itertools.pairwise(edges if len(down) else []):
                own = int(down[start])
                columns[own].append(across[start:stop])
                cosines[own].append(products[start:stop])
                if sum(map(len, columns[own])) > _MOST:
                    columns[own], cosines[own] = ([kept] for kept in _best(columns[own], cosines[own], most))
        for own, found in enumerate(columns):
            if found:
                others, likeness = _best(found, cosines[own], most)
                yield top + own, others, likeness


def _shortened(values: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n 16"]:
    """The 15 lowest coefficients and the length of the others: products of these are never below the full ones."""
    side = perceptual.COEFFICIENTS
    low = np.add.outer(np.arange(4) * side, np.arange(4)).ravel()[1:] - 1
    rest = np.delete(values, low, axis=1)
    return np.concatenate([values[:, low], np.linalg.norm(rest, axis=1, keepdims=True)], axis=1)


def _best(columns: list[np.ndarray], cosines: list[np.ndarray], most: int) -> tuple[np.ndarray, np.ndarray]:
    others, likeness = np.concatenate(columns), np.concatenate(cosines)
    order = np.argsort(-likeness, kind="stable")[:most]
    return others[order], likeness[order]


def compare(
    luma: UInt8[np.ndarray, "n 64 64"], pairs: Pairs, colour: UInt8[np.ndarray, "n 16 16 3"] | None = None
) -> Pairs:
    """The pairs with their largest local difference (see `registration`): the step that tells a copy from a likeness.

    Two pictures before one background, or two drawings of one class, have like hashes and differ much in some place;
    a copy differs little everywhere, once it is aligned.
    """
    involved, places = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    parts = [luma[involved[start : start + 4096]] for start in range(0, len(involved), 4096)]
    small = np.concatenate([np.zeros((0, 16, 16), np.float32), *map(registration.coarse, parts)])
    ends = places[: len(pairs.first)], places[len(pairs.first) :]
    views = np.array(pairs.view)
    difference = np.full(len(pairs.first), np.inf, np.float32)

    def look(view: str, rows: Int64[np.ndarray, " r"]) -> None:
        one, two = luma[pairs.first[rows]], np.ascontiguousarray(perceptual.turned(luma[pairs.second[rows]], view))
        left = np.where((one == two).all(axis=(1, 2)), 0, np.inf).astype(np.float32)
        unequal = np.flatnonzero(left > 0)
        turned = np.ascontiguousarray(perceptual.turned(small[ends[1][rows[unequal]]], view))
        likely, parameters = registration.may_match(small[ends[0][rows[unequal]]], turned)
        likely = unequal[likely]
        left[likely] = registration.fine_difference(one[likely], two[likely], parameters)
        if colour is not None:
            tints = perceptual.turned(colour[pairs.second[rows]], view)
            left = np.where(_tints_differ(colour[pairs.first[rows]], tints), np.inf, left)
        difference[rows] = left

    batches = [
        (view, rows[start : start + _BATCH])
        for view in perceptual.VIEWS
        for rows in [np.flatnonzero(views == view)]
        for start in range(0, len(rows), _BATCH)
    ]
    with ThreadPoolExecutor(cores(), thread_name_prefix="jaxcam-compare") as pool:
        for _ in pool.map(look, *zip(*batches, strict=True)) if batches else ():
            continue
    return Pairs(pairs.first, pairs.second, pairs.view, pairs.likeness, difference)


def _tints_differ(first: UInt8[np.ndarray, "n s s 3"], second: UInt8[np.ndarray, "n s s 3"]) -> np.ndarray:
    """Whether coloured pictures have other colours somewhere; a grey copy of a coloured one counts as a copy."""
    one, two = (_chroma(pictures) for pictures in (first, second))
    grey = [np.abs(chroma).max(axis=(1, 2, 3)) < 8 for chroma in (one, two)]
    far = np.abs(one - two).max(axis=(1, 2, 3)) > COLOUR_DIFFERENCE
    return far & ~(grey[0] ^ grey[1])


def _chroma(pictures: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n t t 2"]:
    """Blue and red against grey, in a quarter of the resolution, where compression leaves colours alone."""
    count, size = len(pictures), pictures.shape[1] // 4
    means = pictures.reshape(count, size, 4, size, 4, 3).mean(axis=(2, 4), dtype=np.float32)
    grey = means @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.stack([0.564 * (means[..., 2] - grey), 0.713 * (means[..., 0] - grey)], axis=-1)


def same_values(keys: Sequence[Hashable]) -> list[list[int]]:
    """Groups of rows with equal keys (checksums); empty keys are in none."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        if key:
            rows.setdefault(key, []).append(row)
    return [group for group in rows.values() if len(group) > 1]


def grouped(count: int, pairs: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected rows, each group sorted, in the order of their first rows; rows without a pair are in none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array(list(pairs), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, names = connected_components(graph, directed=False)
    return [group for group in same_values([f"g{name}" for name in names]) if len(group) > 1]
