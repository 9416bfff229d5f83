"""Sums over any number of pictures in constant memory: mean maps by class, how alike maps are, calibration.

Each batch adds to sums that stay on the device; nothing grows with the set. The same sums are made from a sample's
maps and logits with `sums_of`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, UInt8

from jaxcam import devices
from jaxcam.audit.model.program import Settings, as_heat
from jaxcam.calibration import BINS
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.maps.program import Surroundings, explain_program
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

CERTAIN = 0.999
Numbers = Array | np.ndarray | np.floating


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("count", "heat", "unit", "cold", "confusion", "bins", "confidence", "correct", "certain", "loss"),
    meta_fields=(),
)
@dataclass(frozen=True, kw_only=True)
class SetSums:
    """Sums over pictures with a known class; k classes, maps on a grid."""

    count: Numbers
    """(k,) pictures of each class"""
    heat: Numbers
    """(k, gh, gw) sum of the maps, each adding up to one; a map without heat counts as an even one"""
    unit: Numbers
    """(k, gh, gw) sum of the maps with mean zero and norm one"""
    cold: Numbers
    """(k,) maps without any heat"""
    confusion: Numbers
    """(k, k) pictures by class and answer"""
    bins: Numbers
    """(b,) pictures by the probability of their answer"""
    confidence: Numbers
    """(b,) sum of these probabilities"""
    correct: Numbers
    """(b,) of them right"""
    certain: Numbers
    """() answers with a probability above .999"""
    loss: Numbers
    """() sum of the cross-entropy"""

    def __add__(self, other: "SetSums") -> "SetSums":
        return SetSums(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def on_host(self) -> "SetSums":
        """The sums as float64 on the host."""
        return SetSums(**{f.name: np.asarray(getattr(self, f.name), np.float64) for f in fields(self)})

    def mean_maps(self) -> Float64[np.ndarray, "k gh gw"]:
        """The mean map of each class, adding up to one; NaN for a class without pictures."""
        count = np.asarray(self.count, np.float64)[:, None, None]
        return np.divide(self.heat, count, out=np.full(self.heat.shape, np.nan), where=count > 0)

    def alike(self) -> Float64[np.ndarray, " k"]:
        """Mean correlation of two maps of a class (|sum|^2 - n) / (n (n - 1)); NaN below two pictures."""
        count = np.asarray(self.count, np.float64) - np.asarray(self.cold, np.float64)
        squared = (np.asarray(self.unit, np.float64) ** 2).sum((1, 2))
        pairs = count * (count - 1)
        return np.divide(squared - count, pairs, out=np.full(len(count), np.nan), where=pairs > 0)

    def calibration_error(self) -> float:
        """Expected calibration error over bins of equal width; NaN without pictures."""
        total = float(np.sum(self.bins))
        return float(np.abs(np.asarray(self.correct) - np.asarray(self.confidence)).sum() / total) if total else np.nan


def sums_of(maps: Float[Array, "n gh gw"], logits: Float[Array, "n k"], labels: Int[Array, " n"]) -> SetSums:
    """The sums of some pictures; those with a label below 0 (padding, unknown) or logits that are no numbers count not.

    Pure; runs on the device.
    """
    classes, size = logits.shape[1], maps.shape[1] * maps.shape[2]
    known = (labels >= 0) & jnp.isfinite(logits).all(1)
    weight = known.astype(jnp.float32)
    member = jax.nn.one_hot(labels, classes, dtype=jnp.float32) * weight[:, None]
    maps, logits = maps.astype(jnp.float32), jnp.where(known[:, None], logits.astype(jnp.float32), 0)
    shares = jax.nn.softmax(logits)
    best, confidence = logits.argmax(1), shares.max(1)
    right = (best == labels).astype(jnp.float32)
    place = jnp.searchsorted(jnp.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
    in_bin = jax.nn.one_hot(place, BINS, dtype=jnp.float32) * weight[:, None]
    own = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.clip(labels, 0)[:, None], 1)[:, 0]
    add = lambda values: jnp.einsum("nk,n...->k...", member, values, precision="highest")
    total, unit = maps.sum((1, 2), keepdims=True), unit_maps(maps)
    even = jnp.full_like(maps, 1 / size)
    return SetSums(
        count=member.sum(0),
        heat=add(jnp.where(total > 0, maps / jnp.where(total > 0, total, 1), even)),
        unit=add(unit),
        cold=add((jnp.abs(unit).max((1, 2)) == 0).astype(jnp.float32)),
        confusion=add(jax.nn.one_hot(best, classes, dtype=jnp.float32)),
        bins=in_bin.sum(0),
        confidence=(in_bin * confidence[:, None]).sum(0),
        correct=(in_bin * right[:, None]).sum(0),
        certain=((confidence > CERTAIN) & known).astype(jnp.float32).sum(),
        loss=-(own * weight).sum(),
    )


def unit_maps(maps: Float[Array, "n gh gw"]) -> Float[Array, "n gh gw"]:
    """Maps with mean zero and norm one; zeros where a map is the same everywhere."""
    maps = maps.astype(jnp.float32)
    peak = jnp.abs(maps).max((1, 2), keepdims=True)
    maps = maps / jnp.where(peak > 0, peak, 1)
    centred = maps - maps.mean((1, 2), keepdims=True)
    norm = jnp.sqrt((centred * centred).sum((1, 2), keepdims=True))
    flat = norm <= 1e-6
    return jnp.where(flat, 0, centred / jnp.where(flat, 1, norm))


def whole_set(
    classifier: Classifier,
    images: ImageSet,
    settings: Settings,
    *,
    colour: Float[np.ndarray, " 3"],
    batch_size: int,
    progress: Progress,
    order: Int[np.ndarray, " m"] | None = None,
) -> SetSums:
    """The sums over a set, or over the rows `order` of it: one forward pass each, whatever the set's length."""
    rows = np.arange(len(images)) if order is None else order
    size = devices.padded(min(batch_size, max(1, len(rows))))
    step = compiled_step(classifier, settings)
    params, shade = devices.replicate((classifier.params, np.asarray(colour, np.float32)))

    def put(batch):
        labels = np.where(batch.mask, batch.labels, -1).astype(np.int32)
        return devices.shard((batch.images, labels))

    source = prefetch_to_device(batches(images, classifier.preprocessing, batch_size=size, order=rows), put)
    sums = None
    for pixels, labels in progress.over(source, -(-len(rows) // size), f"{images.name}: mean maps"):
        found = step(params, pixels, labels, shade)
        sums = found if sums is None else added(sums, found)
    if sums is None:
        raise ValueError("there are no pictures to sum over")
    return sums.on_host()


@partial(jax.jit, donate_argnums=0)
def added(sums: SetSums, more: SetSums) -> SetSums:
    """The sum, in the place of the first."""
    return sums + more


def compiled_step(classifier: Classifier, settings: Settings) -> Any:
    """The jitted `(params, images, labels, colour) -> SetSums`, the same object for the same network and settings."""
    return _compiled(classifier.network, classifier.preprocessing, classifier.class_names, settings)


@lru_cache(maxsize=16)
def _compiled(
    network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...], settings: Settings
) -> Callable[..., SetSums]:
    names_only = Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)
    explain, name = explain_program(names_only, settings.request), settings.request.specs()[0].name

    def step(
        params: Any, images: UInt8[Array, "n h w 3"], labels: Int[Array, " n"], colour: Float[Array, " 3"]
    ) -> SetSums:
        found = explain(params, images, labels, Surroundings(colour))
        return sums_of(as_heat(found[name]), found["logits"], labels)

    return jax.jit(step)
