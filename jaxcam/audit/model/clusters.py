"""Kinds of maps within a class (SpRAy, Lapuschkin et al. 2019): groups to look at, without a verdict."""

import warnings

import numpy as np
from jaxtyping import Float

from jaxcam.audit.model.context import SHOWN, Context
from jaxcam.audit.model.places import coarse
from jaxcam.audit.signals import Figure, Signal

CELLS = 16
MAPS = 2000
NEIGHBOURS = 10
MOST = 5
"""clusters of a class"""
LEAST = 8
"""maps of a class below which nothing is grouped"""
SHOWN_CLASSES = 20


def clusters(context: Context) -> Signal:
    """M13: for each class its maps in spectral clusters, with sizes, mean maps and pictures; shown only."""
    name, measured = "clusters of maps", context.measured
    warm = measured.maps.max((1, 2)) > 0
    chosen = [c for c in context.classes if (warm & (measured.labels == c)).sum() >= LEAST][:SHOWN_CLASSES]
    if not chosen:
        return context.inapplicable("M13", name, f"no class has {LEAST} maps with any heat")
    means, captions, told, count = [], [], dict[str, object](), 0
    examples: list[int] = []
    for c in chosen:
        places = np.flatnonzero(warm & (measured.labels == c))[:MAPS]
        groups, eigenvalues = grouped(
            coarse(measured.maps[places], CELLS).reshape(len(places), -1), measured.settings.seed
        )
        order = [g for g in np.argsort(-np.bincount(groups), kind="stable").tolist() if (groups == g).any()]
        told[context.names[c]] = {
            "sizes": [int((groups == g).sum()) for g in order],
            "eigenvalues": [round(float(v), 5) for v in eigenvalues],
            "images": [list(context.paths(places[groups == g][:SHOWN])) for g in order],
        }
        count += len(places)
        for number, g in enumerate(order, start=1):
            own = measured.maps[places[groups == g]]
            means.append((own / own.sum((1, 2), keepdims=True)).mean(0))
            captions.append(f"{context.names[c]}: kind {number}, {len(own)} maps")
            examples.append(int(places[groups == g][0]))
    shown = np.array(examples[:12])
    return context.signal(
        "M13",
        name,
        float(len(means)),
        judged=False,
        count=count,
        sentence=(
            f"The maps of {len(chosen)} classes fall into {len(means)} kinds; look whether a small one has a cue of "
            "its own. Their number says nothing: honest models and cheaters have the same."
        ),
        images=context.paths(shown),
        details={"by_class": told},
        figures={"kinds": Figure(np.stack(means).astype(np.float32), "heat", tuple(captions))},
    )


def grouped(rows: Float[np.ndarray, "n p"], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster numbers and the smallest eigenvalues of the normalised Laplacian over nearest neighbours.

    The number of clusters is where the eigenvalues leap most, 2 to `MOST`; neighbours and eigenvalues are capped so
    that eight maps are enough. Maps that are all the same are one cluster.
    """
    from scipy.linalg import eigh
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    count = len(rows)
    if np.ptp(rows, axis=0).max() < 1e-9:
        return np.zeros(count, int), np.zeros(1)
    near = kneighbors_graph(rows, min(NEIGHBOURS, count - 1), include_self=False).toarray()
    # A little of everything keeps the graph in one piece.
    weights = np.maximum(near, near.T) + 1e-6
    np.fill_diagonal(weights, 0)
    degree = weights.sum(1)
    laplacian = np.eye(count) - weights / np.sqrt(np.outer(degree, degree))
    kept = min(32, count - 2)
    values, vectors = eigh(laplacian, subset_by_index=(0, kept - 1))
    leaps = np.diff(values[: min(MOST, kept - 1) + 1])
    wanted = int(leaps[1:].argmax()) + 2 if len(leaps) > 1 else 2
    embedded = vectors[:, :wanted] / np.maximum(np.linalg.norm(vectors[:, :wanted], axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct maps than clusters
        return KMeans(wanted, n_init=5, random_state=seed).fit_predict(embedded), values
