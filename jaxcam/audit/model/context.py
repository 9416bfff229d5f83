"""What every test of the model layer looks at, and what keeps a test from being made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float64, Int, UInt8
from PIL import Image

from jaxcam.audit.model.intervals import class_means
from jaxcam.audit.model.measured import FEW, Measured
from jaxcam.audit.model.program import compiled_show
from jaxcam.audit.sample import where_from
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.subject import Subject
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.progress import Progress

ABOVE_CHANCE = 0.2
"""how far above chance the accuracy must be for a loss of accuracy to mean anything"""
SHOWN = 8
THUMBNAIL = 192
UNSURE = 20
"""with fewer pictures a red finding counts as amber"""


@dataclass(frozen=True, eq=False)
class Context:
    """The subject, what was measured on its sample, and pictures of it."""

    subject: Subject
    measured: Measured
    colour: np.ndarray
    scenes: UInt8[np.ndarray, "n q h w 3"] | None
    progress: Progress
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.subject.classifier.class_names

    @cached_property
    def classes(self) -> list[int]:
        """Classes with enough pictures."""
        return [c for c, count in self.measured.sample.counts.items() if count >= FEW]

    @cached_property
    def tested(self) -> Bool[np.ndarray, " n"]:
        """Pictures of these classes."""
        return np.isin(self.measured.labels, self.classes)

    @property
    def count(self) -> int:
        """Number of these."""
        return int(self.tested.sum())

    @property
    def chance(self) -> float:
        """Balanced accuracy of an answer that does not depend on the picture."""
        return 1 / max(1, len(self.classes))

    def accuracy(self, predicted: Int[np.ndarray, " n"]) -> float:
        """Balanced accuracy of some answers to the sample; -1 is a picture that was not asked."""
        asked, labels = predicted >= 0, self.measured.labels
        right = (predicted == labels).astype(np.float64)
        return float(class_means(right[asked, None], labels[asked], self.classes)[0])

    @cached_property
    def base(self) -> float:
        """Balanced accuracy on the pictures as they are."""
        return self.accuracy(self.measured.predicted)

    @property
    def of(self) -> str:
        """The sample in words."""
        return where_from(self.measured.sample)

    def problem(self) -> str:
        """Why tests that take away parts of pictures say nothing; empty where they do."""
        if len(self.names) < 2:
            return "the classifier has one class only"
        if len(self.classes) < 2:
            return f"fewer than two classes have {FEW} pictures or more ({self.of})"
        if self.base < self.chance + ABOVE_CHANCE:
            return (
                f"balanced accuracy is {self.base:.2f} where guessing gives {self.chance:.2f}; a model that knows so "
                "little has nothing to lose"
            )
        return ""

    def left_out(self) -> str:
        """Classes that the tests leave out, in words; empty where there are none."""
        small = [self.names[c] for c, n in self.measured.sample.counts.items() if n < FEW]
        return f"; classes with fewer than {FEW} pictures are left out: {', '.join(small[:6])}" if small else ""

    def examples(self, chosen: Bool[np.ndarray, " n"], most: int = SHOWN) -> Int[np.ndarray, " m"]:
        """Places of some of the chosen pictures, as evenly over the classes as they allow; audited ones first."""
        labels = self.measured.labels
        turns: list[tuple[int, int, int]] = []
        for c in self.classes:
            own = np.flatnonzero(chosen & (labels == c))
            turns += [(turn, c, int(place)) for turn, place in enumerate(own.tolist())]
        return np.array([place for _, _, place in sorted(turns)[:most]], np.int64)

    def paths(self, places: Int[np.ndarray, " m"]) -> tuple[str, ...]:
        """The names of these pictures."""
        return tuple(self.measured.sample.paths[place] for place in places.tolist())

    def pictures(self, arm: str | None, places: Int[np.ndarray, " m"]) -> Figure:
        """These pictures as they are, or changed as in an arm, small, with what the model answers."""
        measured, names = self.measured, self.names
        if arm is None:
            pixels, answers = measured.sample.pixels[places], measured.predicted[places]
        else:
            pixels, answers = self.changed(arm, places), measured.arm(arm)[places]
        truth = measured.labels[places]
        # A picture that was not asked (-1) has no answer.
        said = [f": called {names[answer]}" if answer >= 0 else "" for answer in answers.tolist()]
        captions = tuple(f"{names[label]}{more}" for label, more in zip(truth.tolist(), said, strict=True))
        return Figure(thumbnails(pixels), "picture", captions)

    def changed(self, arm: str, places: Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "m h w 3"]:
        """The copies of at most `SHOWN` pictures that an arm's answers are for."""
        measured, settings = self.measured, self.measured.settings
        rows = np.resize(places, SHOWN).astype(np.int32)
        pixels, pairs = measured.sample.pixels, measured.pairs
        show = compiled_show(self.subject.classifier, settings)
        found = show(
            np.int32(settings.arms.index(arm)),
            pixels[rows],
            measured.maps[rows],
            rows,
            pixels[np.maximum(pairs.same[rows], 0)],
            pixels[np.maximum(pairs.other[rows], 0)],
            None if self.scenes is None else self.scenes[rows],
            self.colour,
        )
        return np.asarray(jax.device_get(found))[: len(places)]

    def signal(self, id: str, name: str, value: float, *, judged: bool = True, **values: Any) -> Signal:
        """A signal of the model layer whose status follows from the table; without an entry it is shown only."""
        values.setdefault("count", self.count)
        signal = Signal(id=id, name=name, layer="model", value=value, **values)
        if not judged or id not in THRESHOLDS or not np.isfinite(value):
            return signal
        status, threshold = THRESHOLDS[id].judge(value)
        if status == "red" and signal.count < UNSURE:
            status = "amber"
            few = f"; with {signal.count} pictures this is a hint, no more"
            signal = replace(signal, sentence=signal.sentence.rstrip(".") + few)
        return replace(signal, status=status, threshold=threshold)

    def inapplicable(self, id: str, name: str, reason: str) -> Signal:
        """A test of the model layer that could not be made."""
        return not_applicable(id, name, "model", reason)


def bound(id: str, usual: float) -> float:
    """The table's red bound of a signal, or the usual one where the table has none."""
    found = THRESHOLDS[id].red if id in THRESHOLDS else None
    return usual if found is None else found


def thumbnails(pixels: UInt8[np.ndarray, "m h w 3"]) -> UInt8[np.ndarray, "m th tw 3"]:
    """Pictures whose longer side is at most `THUMBNAIL`."""
    height, width = pixels.shape[1:3]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if not len(pixels):
        return np.zeros((0, size[1], size[0], 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)) for picture in pixels])


def by_class(names: Sequence[str], classes: Sequence[int], values: Iterable[float]) -> Mapping[str, float]:
    """Numbers by the names of their classes, as JSON values."""
    return {names[c]: round(float(value), 4) for c, value in zip(classes, values, strict=True)}


def class_share(
    happened: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: Sequence[int]
) -> Float64[np.ndarray, " k"]:
    """The share of each class' pictures that something happened to."""
    return np.array([happened[labels == c].mean() for c in classes], np.float64)
