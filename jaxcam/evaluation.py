"""Predictions for a whole image set, their CSV file, and the numbers that follow from them."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jaxcam import devices
from jaxcam.classifier import Classifier, Predictions
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.files import replace_file
from jaxcam.progress import Progress


@dataclass(frozen=True)
class SetPredictions:
    """Logits of an image set, row by row; NaN where the image could not be read."""

    images: ImageSet
    logits: Float32[np.ndarray, "n k"]
    errors: Mapping[int, str] = field(default_factory=dict)
    """row -> why the image could not be read"""

    @property
    def readable(self) -> np.ndarray:
        """Rows with a label of the classifier and an image that could be read."""
        return np.flatnonzero((self.images.labels >= 0) & np.isfinite(self.logits).all(1))

    @property
    def accuracy(self) -> float:
        """Share of the readable labelled images that are right; NaN where there is none."""
        rows = self.readable
        return float((self.logits[rows].argmax(1) == self.images.labels[rows]).mean()) if len(rows) else float("nan")

    @property
    def confidence(self) -> float:
        """Mean probability of the predicted class."""
        rows = np.flatnonzero(np.isfinite(self.logits).all(1))
        chosen = Predictions(self.logits[rows], self.images.class_names).probabilities
        return float(chosen.max(1).mean()) if len(rows) else float("nan")


def predict_set(
    classifier: Classifier, images: ImageSet, *, progress: Progress, batch_size: int = 32
) -> SetPredictions:
    """Logits for every image of a set; unreadable ones are counted and named, not fatal."""
    logits = np.full((len(images), len(classifier.class_names)), np.nan, np.float32)
    errors: dict[int, str] = {}
    size = devices.padded(batch_size)
    params = devices.replicate(classifier.params)

    def put(batch):
        return batch, devices.shard(devices.pad_rows(batch.images, size))

    source = batches(images, classifier.preprocessing, batch_size=batch_size)
    steps = -(-len(images) // batch_size)
    for batch, pixels in progress.over(prefetch_to_device(source, put), steps, f"{images.name}: predicting"):
        found = np.asarray(classifier.compiled(params, pixels))[: len(batch.mask)]
        logits[batch.index[batch.mask]] = found[batch.mask]
        errors.update(batch.errors)
    return SetPredictions(images, logits, errors)


def write_predictions(path: Path, predictions: SetPredictions, flags: Mapping[int, str] | None = None) -> None:
    """Write `path,label,predicted,p_CLASS...,loss,flags`; unreadable images keep their row, with the reason."""
    images, names = predictions.images, predictions.images.class_names
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "predicted", *(f"p_{name}" for name in names), "loss", "flags"])
    probabilities = Predictions(predictions.logits, names).probabilities
    for row, (image, folder) in enumerate(zip(images.paths, images.folder_names, strict=True)):
        if row in predictions.errors:
            reason = f"unreadable: {predictions.errors[row]}"
            writer.writerow([image, folder, "", *("" for _ in names), "", reason])
            continue
        logits, label = predictions.logits[row].astype(np.float64), images.labels[row]
        loss = "" if label < 0 else f"{np.logaddexp.reduce(logits) - logits[label]:.6g}"
        flag = (flags or {}).get(row, "")
        shares = (f"{p:.6f}" for p in probabilities[row])
        writer.writerow([image, folder, names[int(logits.argmax())], *shares, loss, flag])
    replace_file(path, table.getvalue().encode())
