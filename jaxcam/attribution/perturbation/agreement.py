"""How far two maps say the same: what an approximation must report beside its speed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float, Float64


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of approximate maps with exact ones, a value a map (n,); NaN where it is not defined."""

    rank: Float64[np.ndarray, " n"]
    """Spearman's rank correlation of all values"""
    ssim: Float64[np.ndarray, " n"]
    """structural similarity (Wang et al., 2004) of the raw maps, over the exact map's range"""
    top: Float64[np.ndarray, " n"]
    """overlap of the largest 5 % of the values: 1 where they are the same places"""

    def summary(self) -> dict[str, float]:
        """Mean and worst over the maps."""
        values = {"rank": self.rank, "ssim": self.ssim, "top": self.top}
        known = {name: value[~np.isnan(value)] for name, value in values.items()}
        pick = lambda value, how: float(how(value)) if value.size else float("nan")
        means = {name: pick(value, np.mean) for name, value in known.items()}
        return means | {f"worst_{name}": pick(value, np.min) for name, value in known.items()}

    def __str__(self) -> str:
        found = self.summary()
        parts = [f"{name} {found[name]:.3f} (worst {found['worst_' + name]:.3f})" for name in ("rank", "ssim", "top")]
        return f"{len(self.rank)} maps: " + ", ".join(parts)


def agreement(
    approximate: Float[Array | np.ndarray, "..."], exact: Float[Array | np.ndarray, "..."], *, share: float = 0.05
) -> Agreement:
    """Agreement of maps (.. h w) with the exact ones of the same shape, on the host; `share` is that of `top`.

    SSIM's window is 7 wide, or as wide as the map allows (odd, at least 3; smaller maps have none).
    """
    if approximate.shape != exact.shape or exact.ndim < 2:
        raise ValueError(f"both must be maps (.. h w) of one shape, got {approximate.shape} and {exact.shape}")
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    pairs = [np.asarray(maps, np.float64).reshape(-1, *exact.shape[-2:]) for maps in (approximate, exact)]
    rows = [_compare(ours, true, share) for ours, true in zip(*pairs, strict=True)]
    rank, ssim, top = np.array(rows, np.float64).reshape(-1, 3).T
    return Agreement(rank=rank, ssim=ssim, top=top)


def _compare(ours: Float64[np.ndarray, "h w"], true: Float64[np.ndarray, "h w"], share: float) -> tuple[float, ...]:
    from scipy.stats import spearmanr
    from skimage.metrics import structural_similarity

    if not (np.isfinite(ours).all() and np.isfinite(true).all()):
        return np.nan, np.nan, np.nan
    spread = np.ptp(true)
    rank = spearmanr(ours, true, axis=None).statistic if spread > 0 and np.ptp(ours) > 0 else np.nan
    side = min(7, *true.shape)
    side -= 1 - side % 2
    ssim = structural_similarity(true, ours, win_size=side, data_range=spread) if spread > 0 and side >= 3 else np.nan
    count = max(1, round(share * true.size))
    # Ties at the edge: the first places, in both.
    largest = [set(np.argsort(-values, axis=None, kind="stable")[:count].tolist()) for values in (ours, true)]
    return float(rank), float(ssim), len(largest[0] & largest[1]) / count
