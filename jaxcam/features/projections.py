"""Features in two dimensions, and who is near whom: scikit-learn's PCA, t-SNE and neighbours, UMAP where installed."""

import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int

from jaxcam.errors import UserError
from jaxcam.progress import Progress

Projection = Literal["pca", "tsne", "umap"]
BEFORE_NEIGHBOURS = 50
"""principal components that t-SNE and UMAP work on, as van der Maaten advises"""


def available() -> tuple[Projection, ...]:
    """Projections that can be made here."""
    umap: tuple[Projection, ...] = ("umap",) if importlib.util.find_spec("umap") else ()
    return ("pca", "tsne", *umap)


def prepared(features: Float32[np.ndarray, "n c"], scale: bool) -> Float32[np.ndarray, "n c"]:
    """Features about their mean; with `scale` each divided by its deviation (one that never varies stays zero)."""
    centred = features - features.mean(0)
    if scale:
        spread = centred.std(0)
        centred = centred / np.where(spread > 0, spread, 1)
    return centred.astype(np.float32)


def project(
    features: Float32[np.ndarray, "n c"],
    names: Sequence[Projection],
    *,
    seed: int = 0,
    perplexity: float = 30.0,
    scale: bool = False,
    progress: Progress | None = None,
) -> tuple[dict[str, Float32[np.ndarray, "n 2"]], list[float]]:
    """Places of every row by each projection, and the shares of the variance on PCA's two axes.

    All rows must be finite. With too few rows for a projection (PCA two, the others four) its places are zero. The
    perplexity is lowered to a third of the rows where there are few. Raises `UserError` for UMAP without its package.
    """
    progress = progress or Progress(quiet=True)
    if "umap" in names and "umap" not in available():
        raise UserError("umap needs the package umap-learn, which is not installed; pip install umap-learn")
    from sklearn.decomposition import PCA

    values, count = prepared(features, scale), len(features)
    found: dict[str, np.ndarray] = {}
    wanted = min(BEFORE_NEIGHBOURS if set(names) - {"pca"} else 2, *values.shape)
    # Equal rows have no direction, and PCA would divide by their variance.
    spread = bool(values.size) and float(np.abs(values).max()) > 0
    components, shares = np.zeros((count, max(2, wanted)), np.float32), [0.0, 0.0]
    if spread and count >= 2:
        model = PCA(wanted, random_state=seed).fit(values)
        components[:, :wanted] = model.transform(values)
        shares = [*model.explained_variance_ratio_[:2].tolist(), 0.0][:2]
    for name in names:
        if name == "pca":
            found[name] = components[:, :2].copy()
        elif count < 4 or not spread:
            found[name] = np.zeros((count, 2), np.float32)
        else:
            progress.say(f"{name} of {count} rows and {components.shape[1]} principal components")
            found[name] = neighbour_places(name, components, seed, perplexity)
    return {name: value.astype(np.float32) for name, value in found.items()}, shares


def neighbour_places(name: str, values: np.ndarray, seed: int, perplexity: float) -> Any:
    """t-SNE's or UMAP's places."""
    count = len(values)
    if name == "umap":
        from umap import UMAP

        return UMAP(n_neighbors=min(15, count - 1), random_state=seed, n_jobs=1).fit_transform(values)
    from sklearn.manifold import TSNE

    deviation = values[:, 0].std() or 1.0
    start = values[:, :2] / deviation * 1e-4
    lowered = max(1.0, min(perplexity, (count - 1) / 3))
    return TSNE(2, perplexity=lowered, init=start, learning_rate="auto", random_state=seed).fit_transform(values)


def nearest(
    features: Float32[np.ndarray, "n c"], queries: Float32[np.ndarray, "m c"], count: int, *, itself: bool
) -> tuple[Int[np.ndarray, "m k"], Float32[np.ndarray, "m k"]]:
    """Rows with the smallest angle to each query, nearest first, and their cosine similarity.

    `itself`: the queries are the rows themselves, and no row is its own neighbour. A row of zeros has similarity 0.
    """
    count = max(0, min(count, len(features) - itself))
    units = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (features, queries)]
    rows, sizes = np.zeros((len(queries), count), np.int64), np.zeros((len(queries), count), np.float32)
    for start in range(0, len(queries) if count else 0, 512):
        alike = units[1][start : start + 512] @ units[0].T
        if itself:
            alike[np.arange(len(alike)), start + np.arange(len(alike))] = -np.inf
        few = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        # Of equal ones the first row first, so that the order does not depend on the partition.
        few.sort(axis=1)
        order = np.argsort(-np.take_along_axis(alike, few, 1), axis=1, kind="stable")
        rows[start : start + 512] = np.take_along_axis(few, order, 1)
        sizes[start : start + 512] = np.take_along_axis(alike, rows[start : start + 512], 1)
    return rows, sizes
