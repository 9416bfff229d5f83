"""Predictions for a whole image set, their CSV file, and the numbers that follow from them."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int

from jaxcam import devices, metrics
from jaxcam.classifier import Classifier, Predictions
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.files import replacing
from jaxcam.progress import Progress

TABLE_CLASSES = 12
"""up to so many classes the confusion matrix is shown whole"""


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


def summary(split: str, predictions: SetPredictions) -> str:
    """What a set's predictions amount to, as lines of text without a newline at the end.

    Accuracy with its 95 % Wilson interval and the number of images, balanced accuracy, the class with the lowest
    recall, how many images were left out and why, and the confusion matrix (above `TABLE_CLASSES` classes: the most
    frequent confusions).
    """
    images, names, rows = predictions.images, predictions.images.class_names, predictions.readable
    labels, predicted = images.labels[rows], predictions.logits[rows].argmax(1)
    matrix = metrics.confusion_matrix(labels, predicted, len(names))
    left_out = {
        "could not be read": len(predictions.errors),
        "gave logits that are NaN or infinite": int((~predictions.finite).sum()) - len(predictions.errors),
        "are of no class of the classifier": int((predictions.finite & (images.labels < 0)).sum()),
    }
    notes = [f"left out: {count} of {len(images)} images {why}" for why, count in left_out.items() if count]
    if not len(rows):
        shares = np.bincount(predictions.logits[predictions.finite].argmax(1), minlength=len(names))
        found = ", ".join(f"{name} {count}" for name, count in zip(names, shares, strict=True) if count)
        return "\n".join([f"{split}: no image has a known class; predicted: {found or 'nothing'}", *notes])
    correct = int(np.diag(matrix).sum())
    low, high = metrics.wilson(correct, len(rows))
    recalls = metrics.recalls(matrix)
    worst = int(np.nanargmin(recalls))
    return "\n".join(
        [
            f"{split}: accuracy {correct / len(rows):.4f}, 95 % interval {low:.4f} to {high:.4f} (n = {len(rows)})",
            f"balanced accuracy {metrics.balanced_accuracy(matrix):.4f}, "
            f"always the most frequent class {metrics.majority_share(matrix):.4f}",
            f"worst class {names[worst]}: {matrix[worst, worst]} of {matrix[worst].sum()} ({recalls[worst]:.4f})",
            *notes,
            *(confusion_table(matrix, names) if len(names) <= TABLE_CLASSES else confusion_list(matrix, names)),
        ]
    )


def confusion_table(matrix: Int[np.ndarray, "k k"], names: tuple[str, ...]) -> list[str]:
    """The matrix as lines of text: a row for each true class, a column for each predicted one."""
    head = ["true \\ predicted", *names]
    cells = [head, *([name, *map(str, row)] for name, row in zip(names, matrix.tolist(), strict=True))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]


def confusion_list(matrix: Int[np.ndarray, "k k"], names: tuple[str, ...], limit: int = 10) -> list[str]:
    """The most frequent confusions, a line each."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [f"{names[a]} taken for {names[b]}: {wrong[a, b]}" for a, b in pairs if wrong[a, b]]
