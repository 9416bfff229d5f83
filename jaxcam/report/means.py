"""Where the network looks on average: the mean map of each class, over the mean of its pictures."""

from dataclasses import dataclass

import numpy as np

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.images import decode_raw
from jaxcam.maps.store import MapStore
from jaxcam.preprocessing import Preprocessing
from jaxcam.report import pictures
from jaxcam.report.gather import Run, Split

MEAN_ROWS = 4096
"""pictures of a split whose maps are averaged; of more a seeded sample"""
MEAN_IMAGES = 48
"""pictures of a class whose mean is drawn behind the map; of more a seeded sample"""
MEAN_CLASSES = 24
"""classes shown; of more the ones with most pictures"""
WIDTH = 320
BLOCK = 512


@dataclass(frozen=True)
class MeanMap:
    """One class of one method."""

    name: str
    count: int
    dead: int
    """maps without any positive heat, left out of the mean"""
    peak: float
    """largest value, as a multiple of heat spread evenly"""
    place: str
    photo: str | None
    heat: str | None
    ratio: float


@dataclass(frozen=True)
class MeanRow:
    """All classes of one method of one split."""

    split: str
    method: str
    explained: str
    rows: int
    total: int
    high: float
    classes: tuple[MeanMap, ...]
    hidden: int


def mean_rows(run: Run, split: Split) -> list[MeanRow]:
    """The mean maps of a split, one row a method; empty without maps."""
    store = split.store
    if store is None:
        return []
    labels = np.where(split.predicted >= 0, split.labels, -1)
    rows = np.flatnonzero(labels >= 0)
    if len(rows) > MEAN_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MEAN_ROWS, replace=False))
    counts = np.bincount(labels[rows], minlength=len(split.classes))
    shown = sorted(np.argsort(-counts, kind="stable")[:MEAN_CLASSES].tolist())
    size = input_size(run, store) or (store.shapes[store.methods[0]][-2], store.shapes[store.methods[0]][-1])
    photos = {label: mean_photo(run, split, rows[labels[rows] == label], size) for label in shown}
    found = []
    for method in store.methods:
        sums, used = mean_maps(store, method, rows, labels)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums / used[:, None, None] * sums[0].size
        high = float(np.nanmax(means[shown], initial=0.0)) if len(shown) else 0.0
        classes = tuple(
            MeanMap(
                name=split.classes[label],
                count=int(counts[label]),
                dead=int(counts[label] - used[label]),
                peak=float(means[label].max()) if used[label] else 0.0,
                place=pictures.hottest_place(means[label]) if used[label] else "nowhere",
                photo=photos[label],
                heat=pictures.heat(means[label], low=0.0, high=high) if used[label] else None,
                ratio=size[1] / size[0],
            )
            for label in shown
        )
        explained = {
            "predicted": "the predicted class",
            "true": "the picture's own class",
            "all": "the picture's own class",
        }
        target = str(store.manifest.get("targets", "predicted"))
        words = explained.get(target, f"class {target}" if target in split.classes else f"the first of {target}")
        hidden = len(split.classes) - len(shown)
        total = int((labels >= 0).sum())
        found.append(MeanRow(split.name, method, words, len(rows), total, high, classes, hidden))
    return found


def mean_maps(store: MapStore, method: str, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over each class' maps, each scaled to sum 1, and how many there were: (k, h, w) and (k,).

    Of a signed map the positive part counts. Maps that are NaN or have no positive value are left out. Where the store
    holds several maps an image, the one of the picture's own class is taken, or the first one.
    """
    classes = store.shapes["logits"][1]
    sums = np.zeros((classes, *store.shapes[method][-2:]))
    used = np.zeros(classes, dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        maps = store.read(method, block).astype(np.float64)
        if maps.ndim == 4:
            maps = maps[np.arange(len(block)), _place_of(store.read("targets", block), labels[block])]
        maps = np.maximum(np.where(np.isfinite(maps), maps, 0.0), 0.0)
        totals = maps.sum((1, 2))
        alive = totals > 0
        np.add.at(sums, labels[block][alive], maps[alive] / totals[alive, None, None])
        used += np.bincount(labels[block][alive], minlength=classes)
    return sums, used


def _place_of(targets: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which of an image's maps is of its own class; the first where none is (its maps are of other classes)."""
    return (targets == labels[:, None]).argmax(1)


def mean_photo(run: Run, split: Split, rows: np.ndarray, size: tuple[int, int]) -> str | None:
    """Mean of (a sample of) the pictures in `rows`, as the network sees them; None where none can be read."""
    if len(rows) > MEAN_IMAGES:
        rows = np.sort(np.random.default_rng(0).choice(rows, MEAN_IMAGES, replace=False))
    scale = min(1.0, WIDTH / size[1])
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    prepared = Preprocessing(size=small, fit="crop" if run.cropped else "stretch")
    total, count = np.zeros((*small, 3)), 0
    for row in rows.tolist():
        try:
            raw = split.picture(row)
            if raw is None:
                continue
            total += decode_raw(raw, prepared)
        except UnreadableImage:
            continue  # counted and listed with the gallery
        count += 1
    return pictures.thumbnail(np.rint(total / count).astype(np.uint8), WIDTH) if count else None


def input_size(run: Run, store: MapStore | None) -> tuple[int, int] | None:
    """(height, width) of the network's input; None where neither the maps nor the classifier say it."""
    for size in ({} if store is None else store.manifest).get("input_size"), run.preprocessing.get("size"):
        if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size):
            return size[0], size[1]
    return None
