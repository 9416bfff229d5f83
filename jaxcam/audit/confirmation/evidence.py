"""What the confirming tests share: the pictures they look at, the model's answers, and where the objects are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from jaxcam import devices
from jaxcam.audit.confirmation.shares import Share, share_of
from jaxcam.audit.sample import Sample
from jaxcam.audit.subject import Subject
from jaxcam.classifier import Classifier

SHOWN = 8
"""pictures that stand behind a finding"""
ABOVE_CHANCE = 0.2
"""a model that is not at least so much better than guessing has nothing to lose: tests of a loss do not apply"""


@dataclass(frozen=True, eq=False)
class Objects:
    """Where the object of each sampled picture is."""

    masks: Bool[np.ndarray, "n h w"]
    """True on the object; all False where there is none or it is not known"""
    known: Bool[np.ndarray, " n"]
    """whether there is a mask with something in it"""
    source: str
    """where the masks come from, in words"""
    boxes: bool = False
    """the masks are boxes: they hold background too"""
    derived: bool = False
    """nobody gave them"""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Empty scenes that the pictures were taken before."""

    pictures: UInt8[np.ndarray, "s h w 3"]
    names: tuple[str, ...]
    of_class: Float[np.ndarray, "k s"]
    """share of each class' pictures that was taken before each scene; NaN where the class has no scene"""
    of_row: Int[np.ndarray, " n"]
    """scene of each sampled picture; -1: none of them"""
    source: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """A subject with its sample; what is costly is computed once, when somebody asks for it."""

    subject: Subject
    sample: Sample

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.subject.classifier.class_names)

    @cached_property
    def logits(self) -> Float32[np.ndarray, "n k"]:
        """The model's logits for the sample."""
        return logits_of(self.subject.classifier, self.sample.pixels, self.subject.options.batch_size)

    @property
    def own(self) -> int:
        """How many pictures of the sample are of the audited set; the others are training pictures."""
        return len(self.sample) - self.sample.added

    @cached_property
    def share(self) -> Share:
        """Right answers on the audited pictures; training pictures, which the model may know by heart, left out."""
        return self.share_at(np.arange(self.own))

    def share_at(self, places: Int[np.ndarray, " m"]) -> Share:
        """Right answers at some places of the sample."""
        return share_of(
            self.logits[places].argmax(1) == self.sample.labels[places], self.sample.labels[places], self.classes
        )


def logits_of(
    classifier: Classifier, pixels: UInt8[np.ndarray, "n h w 3"], batch_size: int
) -> Float32[np.ndarray, "n k"]:
    """Logits of pictures in memory, batch by batch over the devices."""
    size = devices.padded(batch_size)
    params = devices.replicate(classifier.params)
    found = [
        np.asarray(classifier.compiled(params, devices.shard(devices.pad_rows(part, size))))[: len(part)]
        for part in parts(pixels, size)
    ]
    return np.concatenate(found) if found else np.zeros((0, len(classifier.class_names)), np.float32)


def parts(pixels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive parts of at most `size` rows."""
    for first in range(0, len(pixels), size):
        yield pixels[first : first + size]


def probabilities(logits: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n k"]:
    """Softmax."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def enough_above_chance(share: Share, classes: int) -> bool:
    """Whether there is an accuracy that a test can take away."""
    return share.total > 0 and share.value >= 1 / classes + ABOVE_CHANCE


def spread(count: int, shown: int = SHOWN) -> list[int]:
    """Some of `count` places, evenly.

    >>> spread(5, 3)
    [0, 2, 4]
    """
    return sorted(set(np.linspace(0, count - 1, min(count, shown)).round().astype(int).tolist())) if count else []
