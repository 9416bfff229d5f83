"""What hiding each place costs a whole set, added up from the store of its occlusion maps: no forward is needed."""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from jaxcam.attribution.perturbation.global_occlusion import GlobalOcclusion, OcclusionTotals, global_maps
from jaxcam.files import replace_file
from jaxcam.maps.panels import softmax
from jaxcam.maps.reader import Maps
from jaxcam.metrics import wilson

ARRAYS = ("occlusion_predicted", "occlusion_probability", "occlusion_logit")
MARKED = 3.0
"""McNemar's z above which the loss at a place is hardly chance"""


@dataclass(frozen=True)
class Erased:
    """How many predictions change when the strongest window of each image is hidden, and when a random one is."""

    images: int
    strongest: float
    strongest_interval: tuple[float, float]
    """95 % Wilson interval"""
    any_window: float
    """mean share of an image's windows that change its prediction: what a random window does"""


def totals(maps: Maps) -> OcclusionTotals:
    """The sums over the images of a selection that have a label and could be read; a block is held at a time."""
    k, grid = len(maps.class_names), maps["occlusion_predicted"].shape[1:]
    sums = {name: np.zeros(k) for name in ("images", "right", "probability")}
    windows = ("lost", "gained", "flips", "probability_hidden", "drop")
    sums |= {name: np.zeros((k, *grid)) for name in windows}
    for start in range(0, len(maps), 256):
        part = maps.where(slice(start, start + 256))
        logits, labels = part["logits"][:].astype(np.float64), part.labels
        known = (labels >= 0) & np.isfinite(logits).all(1)
        part, logits, labels = part.where(known), logits[known], labels[known]
        before, after = logits.argmax(1), part["occlusion_predicted"][:]
        was_right, is_right = before == labels, after == labels[:, None, None]
        rows = np.arange(len(labels))
        values = {
            "images": np.ones(len(labels)),
            "right": was_right,
            "probability": softmax(logits)[rows, labels],
            "lost": was_right[:, None, None] & ~is_right,
            "gained": ~was_right[:, None, None] & is_right,
            "flips": after != before[:, None, None],
            "probability_hidden": part["occlusion_probability"][:].astype(np.float64),
            "drop": logits[rows, labels][:, None, None] - part["occlusion_logit"][:],
        }
        for name, value in values.items():
            np.add.at(sums[name], labels, value)
    return OcclusionTotals(**sums)


def erased(maps: Maps) -> Erased:
    """What hiding the strongest window does to the predictions; the maps must be of the predicted class."""
    flipped, shares, count = 0, 0.0, 0
    for start in range(0, len(maps), 256):
        part = maps.where(slice(start, start + 256))
        logits = part["logits"][:]
        part, logits = part.where(np.isfinite(logits).all(1)), logits[np.isfinite(logits).all(1)]
        best = logits.argmax(1)
        drops = _of_predicted(part, best)
        changed = (part["occlusion_predicted"][:] != best[:, None, None]).reshape(len(best), -1)
        place = np.nan_to_num(drops.reshape(len(best), -1), nan=-np.inf).argmax(1)
        flipped += int(changed[np.arange(len(best)), place].sum())
        shares += float(changed.mean(1).sum()) if len(best) else 0.0
        count += len(best)
    share = flipped / max(1, count)
    return Erased(count, share, wilson(flipped, max(1, count)), shares / max(1, count))


def _of_predicted(maps: Maps, best: Int[np.ndarray, " n"]) -> Float32[np.ndarray, "n gh gw"]:
    """The drops of the predicted class; zeros for images whose maps are not of it."""
    drops, targets = maps["occlusion"][:].astype(np.float32), maps["targets"][:]
    drops = drops if drops.ndim == 4 else drops[:, None]
    found = targets == best[:, None]
    if "against" in maps:
        found &= maps["against"][:] < 0
    chosen = drops[np.arange(len(best)), found.argmax(1)]
    return np.where(found.any(1)[:, None, None], chosen, 0)


def explains_predicted(maps: Maps) -> bool:
    """Whether every image has an occlusion map of its predicted class."""
    words = str(maps.manifest.get("targets", "")).split(",")
    return bool({"predicted", "all"} & set(words)) or any(word.startswith("top") for word in words)


def global_occlusion(maps: Maps) -> GlobalOcclusion | None:
    """The maps of the whole selection by window and class; None without occlusion maps or without labels."""
    if not all(name in maps for name in ARRAYS) or maps.table is None:
        return None
    found = totals(maps)
    return global_maps(found) if float(np.sum(found.images)) else None


def write(path: Path, found: GlobalOcclusion) -> None:
    """The maps as a NumPy archive, an array a field."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {field.name: np.asarray(getattr(found, field.name)) for field in fields(found)}
    np.savez(content, **arrays)
    replace_file(path, content.getvalue())


def tell(run: Path, split: str, maps: Maps) -> list[str]:
    """Write `maps/SPLIT.occlusion.npz` where there are occlusion maps; what stands in it, as lines of text."""
    found = global_occlusion(maps)
    if found is None:
        return []
    path = run / "maps" / f"{split}.occlusion.npz"
    write(path, found)
    row, column = np.unravel_index(int(found.accuracy_lost.argmax()), found.accuracy_lost.shape)
    worst, z = found.accuracy_lost[row, column], found.z[row, column]
    chance = "" if z >= MARKED else ", which may be chance"
    lines = [
        f"{path}: hiding window ({row}, {column}) of {found.accuracy_lost.shape} costs the most accuracy, "
        f"{worst:.1%} of {found.accuracy:.1%} (z = {z:.1f}{chance})"
    ]
    if explains_predicted(maps):
        change = erased(maps)
        low, high = change.strongest_interval
        lines.append(
            f"hiding each image's strongest window changes {change.strongest:.1%} of the predictions "
            f"({low:.1%} to {high:.1%}), a random window {change.any_window:.1%}"
        )
    return lines
