"""Is one small picture the other one, cut, turned, recompressed? Aligned first, then compared everywhere.

Two thumbnails of one picture differ a little in every place (compression) and along its edges (a cut of some per cent
moves them). Two pictures of one scene, or of one class, differ much in some place. So the pair is aligned by a scale
and a shift in each direction and a gain and an offset of the grey levels (Gauss-Newton, after Lucas and Kanade, 1981),
and what is left is measured where it is largest.
"""

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from scipy.ndimage import gaussian_filter, uniform_filter

SIZE = 64
"""pixels across and down of a thumbnail"""
_COARSE_STEPS = 5
_FINE_STEPS = 6
_EXACT_STEPS = 3
_COARSE_LIMIT = 7.0
_NEAR = 3.0
_BLUR = 0.8
_FLOOR = 5.0
"""grey levels of difference that compression may leave anywhere"""
_SLACK = 0.6
"""pixels of a thumbnail by which an edge may still be off after the alignment"""
_WINDOW = 5
_LARGEST_CUT = 0.12
_BATCH = 256


def coarse(luma: UInt8[np.ndarray, "n 64 64"]) -> Float32[np.ndarray, "n 16 16"]:
    """What `may_match` compares: made once a picture, for a picture may be in many pairs."""
    parts = [
        _halved(_halved(_blurred(luma[start : start + _BATCH].astype(np.float32))))
        for start in range(0, len(luma), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, SIZE // 4, SIZE // 4), np.float32)


def may_match(
    first: Float32[np.ndarray, "n 16 16"], second: Float32[np.ndarray, "n 16 16"]
) -> tuple[Int64[np.ndarray, " m"], Float32[np.ndarray, "m 6"]]:
    """Rows of the pairs that a coarse look does not rule out, and how it aligns them.

    Most pairs differ so much that it shows here, and copies are far from that limit.
    """
    parameters = np.tile(np.array([1, 0, 1, 0, 1, 0], np.float32), (len(first), 1))
    if not len(first):
        return np.zeros(0, np.int64), parameters
    parameters = _align(first, second, parameters, _COARSE_STEPS)
    rows = np.flatnonzero(_worst(first, second, parameters, slack=1.0) < _COARSE_LIMIT)
    return rows, parameters[rows]


def largest_difference(
    first: UInt8[np.ndarray, "n 64 64"], second: UInt8[np.ndarray, "n 64 64"]
) -> Float32[np.ndarray, " n"]:
    """How much two thumbnails differ where they differ most, in units of what compression explains; below 1 is alike.

    Infinite where no scale and shift of up to 12 % aligns them, and where a coarse look rules them out.
    """
    worst = np.full(len(first), np.inf, np.float32)
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        likely, parameters = may_match(coarse(first[part]), coarse(second[part]))
        worst[start + likely] = fine_difference(first[part][likely], second[part][likely], parameters)
    return worst


def fine_difference(
    first: UInt8[np.ndarray, "n 64 64"], second: UInt8[np.ndarray, "n 64 64"], parameters: Float32[np.ndarray, "n 6"]
) -> Float32[np.ndarray, " n"]:
    """`largest_difference` of pairs that `may_match` has aligned."""
    if not len(first):
        return np.zeros(0, np.float32)
    one, two = (_blurred(pictures.astype(np.float32)) for pictures in (first, second))
    parameters = _align(_halved(one), _halved(two), parameters, _FINE_STEPS)
    worst = _worst(one, two, parameters, slack=_SLACK)
    near = np.flatnonzero((worst > 1) & (worst < _NEAR))  # fine patterns need the full resolution
    if len(near):
        one, two = one[near], two[near]
        exact = _align(one, two, parameters[near], _EXACT_STEPS)
        worst[near] = np.minimum(worst[near], _worst(one, two, exact, slack=_SLACK))
    return worst


def _worst(
    first: Float32[np.ndarray, "n s s"],
    second: Float32[np.ndarray, "n s s"],
    parameters: Float32[np.ndarray, "n 6"],
    *,
    slack: float,
) -> Float32[np.ndarray, " n"]:
    """The largest difference in any window, over what is allowed there; infinite where the alignment was lost."""
    moved, inside = _warp(second, parameters)
    left = np.where(inside, first - moved, 0)
    down, across = np.gradient(first, axis=(1, 2))
    contrast = first.std(axis=(1, 2), keepdims=True)
    allowed = np.clip(0.12 * contrast, 1.5, _FLOOR) + slack * np.hypot(down, across)
    window = (1, _WINDOW, _WINDOW) if first.shape[1] == SIZE else (1, 1, 1)
    energy = uniform_filter(left**2, window, mode="constant")
    limit = uniform_filter(np.where(inside, allowed, 0) ** 2, window, mode="constant")
    share = uniform_filter(inside.astype(np.float32), window, mode="constant")
    worst = np.where(share > 0.5, np.sqrt(energy / np.maximum(limit, 1e-6)), 0).max(axis=(1, 2))
    scale, shift, gain = parameters[:, (0, 2)], parameters[:, (1, 3)], parameters[:, 4]
    lost = (np.abs(scale - 1).max(1) > _LARGEST_CUT) | (np.abs(shift).max(1) > _LARGEST_CUT)
    lost |= (gain < 0.5) | (gain > 2) | ~np.isfinite(parameters).all(1)
    return np.where(lost, np.inf, worst).astype(np.float32)


def _align(
    first: Float32[np.ndarray, "n s s"],
    second: Float32[np.ndarray, "n s s"],
    parameters: Float32[np.ndarray, "n 6"],
    steps: int,
) -> Float32[np.ndarray, "n 6"]:
    """Scale and shift down and across (places in -1..1), gain and offset, that turn the second into the first."""
    count, size = len(first), first.shape[1]
    places = _places(size)
    for _ in range(steps):
        plain = parameters.copy()
        plain[:, 4:] = (1, 0)
        moved, inside = _warp(second, plain)
        gain = parameters[:, 4, None, None]
        left = first - gain * moved - parameters[:, 5, None, None]
        step = places[1] - places[0]
        down, across = (gain * slope / step for slope in np.gradient(moved, axis=(1, 2)))
        slopes = np.stack(
            [down * places[:, None], down, across * places[None, :], across, moved, np.ones_like(moved)], axis=-1
        ).reshape(count, -1, 6)
        # Places that differ for a better reason than the alignment (another figure) pull less.
        spread = 1.5 * np.median(np.abs(left), axis=(1, 2), keepdims=True) + 2
        weights = np.where(inside, 1 / (1 + (left / spread) ** 2), 0).reshape(count, -1, 1)
        weighted = slopes * weights
        normal = np.swapaxes(slopes, 1, 2) @ weighted
        normal += np.eye(6, dtype=np.float32) * (1e-4 * np.einsum("nii->n", normal)[:, None, None] / 6 + 1e-3)
        scales = np.sqrt(np.einsum("nii->ni", normal))
        target = np.swapaxes(weighted, 1, 2) @ left.reshape(count, -1, 1)
        normal /= scales[:, :, None] * scales[:, None, :]
        change = np.linalg.solve(normal + 1e-4 * np.eye(6, dtype=np.float32), target / scales[:, :, None])[..., 0]
        change /= scales
        change[:, :4] = np.clip(change[:, :4], -0.05, 0.05)
        parameters = parameters + change.astype(np.float32)
    return parameters


def _warp(
    pictures: Float32[np.ndarray, "n s s"], parameters: Float32[np.ndarray, "n 6"]
) -> tuple[Float32[np.ndarray, "n s s"], np.ndarray]:
    """The pictures at scaled and shifted places, with gain and offset, and which of these places lie inside."""
    rows, rows_inside = _sampling(parameters[:, 0], parameters[:, 1], pictures.shape[1])
    columns, columns_inside = _sampling(parameters[:, 2], parameters[:, 3], pictures.shape[1])
    moved = rows @ pictures @ np.swapaxes(columns, 1, 2)
    inside = rows_inside[:, :, None] & columns_inside[:, None, :]
    return moved * parameters[:, 4, None, None] + parameters[:, 5, None, None], inside


def _sampling(
    scale: Float32[np.ndarray, " n"], shift: Float32[np.ndarray, " n"], size: int
) -> tuple[Float32[np.ndarray, "n s s"], np.ndarray]:
    """Linear interpolation along one axis as one matrix a picture."""
    wanted = scale[:, None] * _places(size) + shift[:, None]
    position = (np.nan_to_num(wanted, nan=9.0) + 1) * size / 2 - 0.5
    inside = (position >= -0.25) & (position <= size - 0.75)
    position = np.clip(position, 0, size - 1)
    distance = np.abs(position[:, :, None] - np.arange(size, dtype=np.float32))
    return np.maximum(0, 1 - distance).astype(np.float32), inside


def _places(size: int) -> Float32[np.ndarray, " s"]:
    return ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)


def _blurred(pictures: Float32[np.ndarray, "n s s"]) -> Float32[np.ndarray, "n s s"]:
    return gaussian_filter(pictures, (0, _BLUR, _BLUR), mode="nearest")


def _halved(pictures: Float32[np.ndarray, "n s s"]) -> Float32[np.ndarray, "n t t"]:
    rows = pictures[:, ::2] + pictures[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)
