"""Occlusion over a whole set: what hiding each place costs, by class. The most direct detector of a leak.

A mark that stands at the same place in every image of a class shows here as accuracy lost at that place. The maps come
from the logits that occlusion of every image computes anyway. Batches give sums; sums are added, in any order, over
batches, processes and resumed runs; the maps are made at the end.

    base, occluded = occluded_logits(fn, images, grid)              # on the device, a batch at a time
    totals = totals + occlusion_totals(base, occluded, labels)
    maps = global_maps(totals)                                      # on the host, at the end
"""

from dataclasses import dataclass, fields
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from jaxcam.attribution.perturbation.forwards import variant_scores
from jaxcam.attribution.targets import chosen_scores

Numbers = Array | np.ndarray


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("images", "right", "probability", "lost", "gained", "flips", "probability_hidden", "drop"),
    meta_fields=(),
)
@dataclass(frozen=True, kw_only=True)
class OcclusionTotals:
    """Sums over images with a known label, by true class (k,) and by true class and window (k, gh, gw)."""

    images: Numbers
    """(k,) images of each class"""
    right: Numbers
    """(k,) of them, predicted rightly when nothing is hidden"""
    probability: Numbers
    """(k,) sum of the true class's probability"""
    lost: Numbers
    """(k, gh, gw) right before, wrong with the window hidden"""
    gained: Numbers
    """(k, gh, gw) wrong before, right with the window hidden"""
    flips: Numbers
    """(k, gh, gw) predictions that change"""
    probability_hidden: Numbers
    """(k, gh, gw) sum of the true class's probability"""
    drop: Numbers
    """(k, gh, gw) sum of the drops of the true class's logit"""

    def __add__(self, other: "OcclusionTotals") -> "OcclusionTotals":
        if self.lost.shape != other.lost.shape:
            raise ValueError(f"totals of another grid or other classes: {self.lost.shape} and {other.lost.shape}")
        return OcclusionTotals(**{name: value + getattr(other, name) for name, value in self.arrays().items()})

    def arrays(self) -> dict[str, Numbers]:
        """The sums by name: what to store, and `OcclusionTotals(**arrays)` gives them back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def on_host(self) -> "OcclusionTotals":
        """The sums as float64 on the host, where adding many batches loses nothing."""
        return OcclusionTotals(**{name: np.asarray(value, np.float64) for name, value in self.arrays().items()})


def occlusion_totals(
    base: Float[Array, "n k"], occluded: Float[Array, "n ..."], labels: Int[Array, " _"]
) -> OcclusionTotals:
    """The sums of one batch, from `occluded_logits`; images with a label below 0 (padding, unknown) count nowhere.

    Pure; runs on the device, also inside the program that computes the logits. A batch costs some additions only.
    """
    n, *shape, k = occluded.shape
    if base.shape != (n, k) or labels.shape != (n,):
        raise ValueError(f"base and labels must be ({n}, {k}) and ({n},), got {base.shape} and {labels.shape}")
    flat = occluded.reshape(n, -1, k)
    # Labels below 0, and past the classes, give a row of zeros.
    member = jax.nn.one_hot(labels, k, dtype=jnp.float32)
    labels = jnp.clip(labels, 0, k - 1)
    soft = lambda logits: jax.nn.softmax(logits.astype(jnp.float32))
    before, after = base.argmax(-1), flat.argmax(-1)
    was_right, is_right = before == labels, after == labels[:, None]
    per_image = {"images": jnp.ones(n), "right": was_right, "probability": chosen_scores(soft(base), labels)[:, 0]}
    per_window = {
        "lost": was_right[:, None] & ~is_right,
        "gained": ~was_right[:, None] & is_right,
        "flips": after != before[:, None],
        "probability_hidden": variant_scores(soft(flat), labels)[:, 0],
        "drop": chosen_scores(base, labels) - variant_scores(flat, labels)[:, 0],
    }
    add = lambda values: jnp.einsum("nk,n...->k...", member, values.astype(jnp.float32), precision="highest")
    sums = {name: add(values) for name, values in per_image.items()}
    return OcclusionTotals(**sums, **{name: add(values).reshape(k, *shape) for name, values in per_window.items()})


@dataclass(frozen=True, kw_only=True)
class GlobalOcclusion:
    """Maps on the window grid: what hiding a window loses, over a whole set. Positive: the set needs that place."""

    accuracy_lost: Float64[np.ndarray, "gh gw"]
    balanced_accuracy_lost: Float64[np.ndarray, "gh gw"]
    """of the classes' `accuracy_lost_by_class`, the mean"""
    probability_lost: Float64[np.ndarray, "gh gw"]
    """mean loss of the true class's probability"""
    drop: Float64[np.ndarray, "gh gw"]
    """mean drop of the true class's logit"""
    flips: Float64[np.ndarray, "gh gw"]
    """share of predictions that change"""
    z: Float64[np.ndarray, "gh gw"]
    """McNemar's (lost - gained) / sqrt(lost + gained): above about 3, the loss at a place is hardly chance"""
    accuracy_lost_by_class: Float64[np.ndarray, "k gh gw"]
    """NaN for a class without images, here and in the next three"""
    probability_lost_by_class: Float64[np.ndarray, "k gh gw"]
    drop_by_class: Float64[np.ndarray, "k gh gw"]
    flips_by_class: Float64[np.ndarray, "k gh gw"]
    accuracy: float
    """with nothing hidden"""
    balanced_accuracy: float
    images: int


def global_maps(totals: OcclusionTotals) -> GlobalOcclusion:
    """The maps, from the sums of a set; ValueError where no image had a label."""
    sums = totals.on_host()
    each, count = np.asarray(sums.images), float(np.sum(sums.images))
    if count == 0:
        raise ValueError("no image with a known label was counted; the maps need true classes")
    divide = lambda values: np.divide(
        values, each[:, None, None], out=np.full(values.shape, np.nan), where=each[:, None, None] > 0
    )
    lost = np.asarray(sums.lost - sums.gained)
    faded = np.asarray(sums.probability)[:, None, None] - np.asarray(sums.probability_hidden)
    drop, flips = np.asarray(sums.drop), np.asarray(sums.flips)
    found = each > 0
    changed = np.asarray(sums.lost + sums.gained).sum(0)
    recalls = np.asarray(sums.right)[found] / each[found]
    return GlobalOcclusion(
        accuracy_lost=lost.sum(0) / count,
        balanced_accuracy_lost=divide(lost)[found].mean(0),
        probability_lost=faded.sum(0) / count,
        drop=drop.sum(0) / count,
        flips=flips.sum(0) / count,
        z=np.divide(lost.sum(0), np.sqrt(changed), out=np.zeros(changed.shape), where=changed > 0),
        accuracy_lost_by_class=divide(lost),
        probability_lost_by_class=divide(faded),
        drop_by_class=divide(drop),
        flips_by_class=divide(flips),
        accuracy=float(np.sum(sums.right) / count),
        balanced_accuracy=float(recalls.mean()),
        images=round(count),
    )
