"""The pictures that the costly tests run on: an even share of every class, drawn once and kept in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from jaxcam.audit.subject import Subject
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

ENOUGH = 60
"""pictures that a test needs to say anything; where the audited set has fewer, training pictures are added"""
DECODED = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """Pictures of the classifier's size with their labels, in the order of the set."""

    rows: Int64[np.ndarray, " n"]
    """row in the set that each comes from"""
    pixels: UInt8[np.ndarray, "n h w 3"]
    labels: Int32[np.ndarray, " n"]
    paths: tuple[str, ...]
    """the set's name of each; training pictures that were added are called `train:PATH`"""
    added: int = 0
    """how many at the end are training pictures, added so that the tests can say something"""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def counts(self) -> dict[int, int]:
        """Number of pictures of each class that there is."""
        classes, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(classes.tolist(), counts.tolist(), strict=True))

    def take(self, places: Sequence[int] | np.ndarray) -> "Sample":
        """The pictures at some places, in the order given."""
        places = np.asarray(places, np.int64)
        return Sample(
            self.rows[places],
            self.pixels[places],
            self.labels[places],
            tuple(self.paths[place] for place in places.tolist()),
            int((places >= len(self) - self.added).sum()),
        )


def sample(
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    per_class: int,
    total: int,
    seed: int,
    progress: Progress,
) -> Sample:
    """Readable pictures with a label, at most `per_class` of a class and `total` together, as even as the set allows.

    The same set and seed give the same pictures. One that cannot be read is replaced by another of its class.
    """
    limits = quotas(np.bincount(images.labels[images.labels >= 0], minlength=len(images.class_names)), per_class, total)
    generator = np.random.default_rng([seed, 0x5A])
    waiting = [generator.permutation(np.flatnonzero(images.labels == c)) for c in range(len(limits))]
    found: list[tuple[int, np.ndarray]] = []
    missing = limits.copy()
    while missing.any():
        chosen = np.concatenate([rows[:count] for rows, count in zip(waiting, missing.tolist(), strict=True)])
        waiting = [rows[count:] for rows, count in zip(waiting, missing.tolist(), strict=True)]
        chosen = np.sort(chosen)
        source = batches(images, preprocessing, batch_size=min(DECODED, max(1, len(chosen))), order=chosen)
        steps = -(-len(chosen) // DECODED)
        for batch in progress.over(source, steps, f"{images.name}: reading a sample"):
            for place in np.flatnonzero(batch.mask).tolist():
                found.append((int(batch.index[place]), np.array(batch.images[place])))
                missing[batch.labels[place]] -= 1
        missing = np.minimum(missing, [len(rows) for rows in waiting])
    found.sort(key=lambda item: item[0])
    rows = np.array([row for row, _ in found], np.int64)
    pixels = np.stack([picture for _, picture in found]) if found else np.zeros((0, *preprocessing.size, 3), np.uint8)
    return Sample(rows, pixels, images.labels[rows].astype(np.int32), tuple(images.paths[row] for row in rows.tolist()))


def quotas(counts: Int64[np.ndarray, " k"], per_class: int, total: int) -> Int64[np.ndarray, " k"]:
    """How many to take of each class: all of the small ones, and as many of the others as fit into `total`.

    >>> quotas(np.array([3, 500, 90]), 200, 100).tolist()
    [3, 49, 48]
    """
    wanted = np.minimum(counts, max(0, per_class)).astype(np.int64)
    left, quota = max(0, total), np.zeros_like(wanted)
    while left and (quota < wanted).any():
        open_classes = np.flatnonzero(quota < wanted)
        share = left // len(open_classes)
        if share == 0:
            quota[open_classes[:left]] += 1
            break
        more = np.minimum(wanted[open_classes] - quota[open_classes], share)
        quota[open_classes] += more
        left -= int(more.sum())
    return quota


def tested(subject: Subject, *, progress: Progress) -> Sample:
    """The pictures that the model is tested on.

    A sample of the audited set. Where that has fewer than `ENOUGH` pictures altogether, every class that is short of
    its share of them is filled up with training pictures, so that eight validation pictures are not the whole evidence.
    A training picture that has the pixels of an audited one is not added.
    """
    options, preprocessing = subject.options, subject.classifier.preprocessing
    drawn = sample(
        subject.audited,
        preprocessing,
        per_class=options.per_class,
        total=options.samples,
        seed=options.seed,
        progress=progress,
    )
    train, classes = subject.train, len(subject.classifier.class_names)
    if train is None or len(drawn) >= min(ENOUGH, options.samples):
        return drawn
    share = -(-ENOUGH // max(1, classes))
    short = {c: max(0, min(share, options.per_class) - drawn.counts.get(c, 0)) for c in range(classes)}
    more = sample(
        train, preprocessing, per_class=2 * share, total=2 * share * classes, seed=options.seed + 1, progress=progress
    )
    seen = {picture.tobytes() for picture in drawn.pixels}
    places = []
    for place, label in enumerate(more.labels.tolist()):
        if short[label] > 0 and more.pixels[place].tobytes() not in seen:
            seen.add(more.pixels[place].tobytes())
            short[label] -= 1
            places.append(place)
    places = places[: max(0, options.samples - len(drawn))]
    added = more.take(places)
    return Sample(
        np.concatenate([drawn.rows, added.rows]),
        np.concatenate([drawn.pixels, added.pixels]),
        np.concatenate([drawn.labels, added.labels]),
        (*drawn.paths, *(f"train:{path}" for path in added.paths)),
        added=len(places),
    )


def where_from(found: Sample) -> str:
    """The origin of the pictures in words, for the sentences of the signals.

    >>> where_from(Sample(np.arange(3), np.zeros((3, 1, 1, 3), np.uint8), np.zeros(3, np.int32), ("a", "b", "c"), 2))
    '1 audited and 2 training pictures'
    """
    audited = len(found) - found.added
    return f"{audited} audited and {found.added} training pictures" if found.added else f"{audited} pictures"
