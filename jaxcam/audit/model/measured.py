"""The program of the model layer over a whole sample, and what it found, on the host."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from jaxcam import devices
from jaxcam.audit.model.program import ASIDE, PARTNERS, Settings, compiled_program, random_heads
from jaxcam.audit.sample import Sample, quotas
from jaxcam.classifier import Classifier
from jaxcam.data.loader import prefetch_to_device
from jaxcam.maps.stream import stream
from jaxcam.progress import Progress

FEW = 5
"""a class with fewer pictures is left out of the tests"""
PART = 500
"""of a larger sample, how many pictures are asked the arms of `ASIDE`"""


@dataclass(frozen=True, eq=False)
class Partners:
    """Whose border each picture gets: places in the sample, -1 where there is nobody."""

    same: Int32[np.ndarray, "n p"]
    other: Int32[np.ndarray, "n p"]


def partners(labels: Int32[np.ndarray, " n"], seed: int, *, each: int = PARTNERS, few: int = 1) -> Partners:
    """For each picture others of its own class, and pictures of other classes; every class is as likely.

    Classes of fewer than `few` pictures lend no borders to others.
    """
    generator = np.random.default_rng([seed, 0xA2])
    places = {c: np.flatnonzero(labels == c) for c in np.unique(labels).tolist()}
    same, other = np.full((len(labels), each), -1, np.int32), np.full((len(labels), each), -1, np.int32)
    for place, label in enumerate(labels.tolist()):
        own = places[label][places[label] != place]
        if len(own):
            same[place] = generator.choice(own, each, replace=len(own) < each)
        rivals = [c for c in places if c != label and len(places[c]) >= few]
        if rivals:
            chosen = generator.choice(rivals, each, replace=len(rivals) < each)
            other[place] = [generator.choice(places[c]) for c in chosen.tolist()]
    return Partners(same, other)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the program found for the pictures of a sample."""

    sample: Sample
    settings: Settings
    pairs: Partners
    logits: Float32[np.ndarray, "n k"]
    maps: Float32[np.ndarray, "n gh gw"]
    head_maps: Float32[np.ndarray, "n r gh gw"] | None
    predicted_arms: Int32[np.ndarray, "n a"]
    probability_arms: Float32[np.ndarray, "n a"]
    """of the label"""
    kept_arms: Float32[np.ndarray, "n a"]
    """of the class predicted at first"""
    part: Bool[np.ndarray, " n"]
    """pictures that were asked all arms; the others have -1 and NaN for those of `ASIDE`"""
    forwards: int = 0
    """pictures that went through the network"""

    @cached_property
    def labels(self) -> Int32[np.ndarray, " n"]:
        """True classes."""
        return self.sample.labels

    @cached_property
    def predicted(self) -> Int32[np.ndarray, " n"]:
        """Answers to the pictures as they are."""
        return self.logits.argmax(1).astype(np.int32)

    @cached_property
    def right(self) -> Bool[np.ndarray, " n"]:
        """Whether these are right."""
        return self.predicted == self.labels

    @cached_property
    def probabilities(self) -> Float32[np.ndarray, "n k"]:
        """Softmax of the logits."""
        shifted = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)

    def arm(self, name: str) -> Int32[np.ndarray, " n"]:
        """Answers to one kind of changed copies; -1 where a picture was not asked."""
        return self.predicted_arms[:, self.settings.arms.index(name)]

    def arms(self, name: str) -> Int32[np.ndarray, "n m"]:
        """Answers to all draws of one kind: `moved`, `same`, `other`."""
        return np.stack([self.arm(arm) for arm in self.settings.arms if arm.startswith(f"{name}_")], 1)

    def shares(self, name: str) -> Float32[np.ndarray, " n"]:
        """Probability of the label, by arm."""
        return self.probability_arms[:, self.settings.arms.index(name)]


def measure(
    classifier: Classifier,
    found: Sample,
    settings: Settings,
    *,
    colour: Float32[np.ndarray, " 3"],
    scenes: UInt8[np.ndarray, "n q h w 3"] | None = None,
    batch_size: int,
    progress: Progress,
) -> Measured:
    """Run the program over a sample, the batches padded to one shape; all arms for `in_part` of the pictures."""
    part = in_part(found.labels)
    # The part stands together, so that few batches ask all arms.
    order = np.argsort(~part, kind="stable")
    count, pairs = len(found), partners(found.labels, settings.seed, few=FEW)
    size = devices.padded(min(batch_size, max(1, count)))
    program = compiled_program(classifier, settings)
    params, heads, shade = devices.replicate((classifier.params, random_heads(classifier, settings), colour))
    pixels = found.pixels

    def host(first: int):
        rows = order[first : first + size]
        arms = np.int32(len(settings.arms) if part[rows].any() else settings.everywhere)
        arrays = [
            pixels[rows],
            found.labels[rows],
            rows.astype(np.int32),
            pixels[np.maximum(pairs.same[rows], 0)],
            pixels[np.maximum(pairs.other[rows], 0)],
        ]
        return rows, arms, [*arrays, *([] if scenes is None else [scenes[rows]])]

    def put(item):
        rows, arms, arrays = item
        return rows, arms, devices.shard(tuple(devices.pad_rows(array, size) for array in arrays))

    parts: list[dict[str, np.ndarray]] = []

    def start(item):
        images, labels, rows, same, other, *more = item[2]
        return program(params, heads, images, labels, rows, same, other, more[0] if more else None, shade, item[1])

    source = prefetch_to_device((host(first) for first in range(0, count, size)), put, depth=1)
    shown = progress.over(source, -(-count // size), "audit: changed copies")
    stream(start, shown, lambda item, arrays: parts.append({k: v[: len(item[0])] for k, v in arrays.items()}))
    places = np.argsort(order)
    joined = {name: np.concatenate([found[name] for found in parts])[places] for name in parts[0]}
    aside = np.isin(settings.arms, ASIDE) & ~part[:, None]
    return Measured(
        sample=found,
        settings=settings,
        pairs=pairs,
        logits=joined["logits"],
        maps=joined["maps"],
        head_maps=joined.get("head_maps"),
        predicted_arms=np.where(aside, np.int32(-1), joined["predicted"]),
        probability_arms=np.where(aside, np.float32(np.nan), joined["probability"]),
        kept_arms=np.where(aside, np.float32(np.nan), joined["kept"]),
        part=part,
        forwards=count * (1 + settings.everywhere) + int(part.sum()) * (len(settings.arms) - settings.everywhere),
    )


def in_part(labels: Int32[np.ndarray, " n"], most: int = PART, few: int = FEW) -> Bool[np.ndarray, " n"]:
    """Marks `most` pictures, as even over the classes as they allow, and more where a class would have less than `few`.

    >>> in_part(np.array([0, 0, 0, 0, 1, 1], np.int32), most=4, few=1).tolist()
    [True, False, False, True, True, True]
    """
    counts = np.bincount(labels)
    chosen = np.zeros(len(labels), bool)
    for c, quota in enumerate(quotas(counts, len(labels), most).tolist()):
        own = np.flatnonzero(labels == c)
        chosen[own[np.linspace(0, len(own) - 1, min(len(own), max(quota, few))).round().astype(int)]] = True
    return chosen
