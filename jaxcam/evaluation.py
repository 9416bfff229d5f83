"""Predictions for a whole image set, and their CSV file."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from jaxcam import devices
from jaxcam.classifier import Classifier, Predictions
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.files import replacing
from jaxcam.progress import Progress


@dataclass(frozen=True)
class SetPredictions:
    """Logits of an image set, row by row; NaN where the image could not be read."""

    images: ImageSet
    logits: Float32[np.ndarray, "n k"]
    errors: Mapping[int, str] = field(default_factory=dict)
    """row -> why the image could not be read"""

    @property
    def finite(self) -> Bool[np.ndarray, " n"]:
        """Whether the image could be read and its logits are numbers."""
        return np.isfinite(self.logits).all(1)

    @property
    def readable(self) -> np.ndarray:
        """Rows with a label of the classifier and logits that are numbers."""
        return np.flatnonzero((self.images.labels >= 0) & self.finite)

    @property
    def accuracy(self) -> float:
        """Share of the readable labelled images that are right; NaN where there is none."""
        rows = self.readable
        return float((self.logits[rows].argmax(1) == self.images.labels[rows]).mean()) if len(rows) else float("nan")

    @property
    def confidence(self) -> float:
        """Mean probability of the predicted class."""
        rows = np.flatnonzero(self.finite)
        chosen = Predictions(self.logits[rows], self.images.class_names).probabilities
        return float(chosen.max(1).mean()) if len(rows) else float("nan")


def predict_set(
    classifier: Classifier, images: ImageSet, *, progress: Progress, batch_size: int = 32
) -> SetPredictions:
    """Logits for every image of a set; unreadable ones are counted and named, not fatal."""
    logits = np.full((len(images), len(classifier.class_names)), np.nan, np.float32)
    errors: dict[int, str] = {}
    own = devices.own_mesh()
    size, params = devices.padded(batch_size, on=own), devices.replicate(classifier.params, on=own)

    def put(batch):
        return batch, devices.shard(devices.pad_rows(batch.images, size), on=own)

    source = batches(images, classifier.preprocessing, batch_size=batch_size)
    steps = -(-len(images) // batch_size)
    for batch, pixels in progress.over(prefetch_to_device(source, put), steps, f"{images.name}: predicting"):
        found = np.asarray(classifier.compiled(params, pixels))[: len(batch.mask)]
        logits[batch.index[batch.mask]] = found[batch.mask]
        errors.update(batch.errors)
    return SetPredictions(images, logits, errors)


Part = tuple[SetPredictions, Mapping[int, str]]
"""predictions of some rows, and their flags in words by row of the part"""


def write_predictions(path: Path, predictions: SetPredictions, flags: Mapping[int, str] | None = None) -> None:
    """Write `path,label,predicted,p_CLASS...,loss,flags`; unreadable images keep their row, with the reason."""
    write_parts(path, predictions.images.class_names, [(predictions, flags or {})])


def write_parts(path: Path, names: tuple[str, ...], parts: Iterable[Part]) -> None:
    """The same table from predictions that come in parts, in order; only one part is held at a time."""
    with replacing(path) as file:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", *(f"p_{name}" for name in names), "loss", "flags"])
        for predictions, flags in parts:
            writer.writerows(_rows(predictions, names, flags))
        table.detach()


def _rows(predictions: SetPredictions, names: tuple[str, ...], flags: Mapping[int, str]) -> Iterator[list[str]]:
    images, nothing = predictions.images, ["", *("" for _ in names), ""]
    probabilities = Predictions(predictions.logits, names).probabilities
    for row, (image, folder) in enumerate(zip(images.paths, images.folder_names, strict=True)):
        logits, label = predictions.logits[row].astype(np.float64), images.labels[row]
        if row in predictions.errors:
            yield [image, folder, *nothing, f"unreadable: {predictions.errors[row]}"]
        elif not np.isfinite(logits).all():
            yield [image, folder, *nothing, "logits are NaN or infinite"]
        else:
            loss = "" if label < 0 else f"{np.logaddexp.reduce(logits) - logits[label]:.6g}"
            shares = (f"{p:.6f}" for p in probabilities[row].tolist())
            yield [image, folder, names[int(logits.argmax())], *shares, loss, flags.get(row, "")]
