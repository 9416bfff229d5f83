"""What an image set's predictions amount to: in words, and as `RUN/evaluation/SPLIT.json` with its drawings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxcam import __version__, calibration
from jaxcam.calibration import Reliability, Temperature
from jaxcam.classifier import TEMPERATURE, Classifier
from jaxcam.evaluation import SetPredictions
from jaxcam.files import write_json
from jaxcam.scores import Number, Scores, score, temperature_scores

TABLE_CLASSES = 12
"""up to so many classes every class and the whole confusion matrix are shown"""
FLATTERED = 0.05
"""from so far above balanced accuracy, or above what is right, a number is said to flatter"""
FOLDER = "evaluation"


@dataclass(frozen=True)
class Results:
    """The numbers of one split, and what was left out of them."""

    split: str
    predictions: SetPredictions
    scores: Scores
    left_out: dict[str, int]
    """how many images, by the reason in words"""
    temperature: dict[str, Any] | None = None
    """JSON values of `scores.temperature_scores`"""
    after: Reliability | None = field(default=None, compare=False)
    """the reliability diagram with the temperature"""


def results(
    split: str, predictions: SetPredictions, *, temperature: Temperature | None = None, own: bool = False, seed: int = 0
) -> Results:
    """The numbers of a split's predictions.

    `temperature` is what probabilities before and after are compared with; `own`: it was fitted on this split.
    """
    labels, names = predictions.images.labels, predictions.images.class_names
    rows, unread = predictions.readable, len(predictions.errors)
    left_out = {
        "could not be read": unread,
        "gave logits that are NaN or infinite": int((~predictions.finite).sum()) - unread,
        "are of no class of the classifier": int((predictions.finite & (labels < 0)).sum()),
    }
    logits, known = predictions.logits[rows], labels[rows].astype(np.int64)
    about, after = None, None
    if temperature is not None and len(rows):
        about, after = temperature_scores(temperature, logits, known, own=own, seed=seed)
    found = score(logits, known, names, seed=seed)
    return Results(split, predictions, found, {why: n for why, n in left_out.items() if n}, about, after)


def fit(predictions: SetPredictions) -> Temperature:
    """The temperature of the readable labelled images."""
    rows = predictions.readable
    return calibration.fit_temperature(predictions.logits[rows], predictions.images.labels[rows].astype(np.int64))


def keep_temperature(classifier: Classifier, folder: Path, fitted: Temperature) -> str:
    """Write `temperature.json` beside the classifier, for these very parameters; returns what was done, in words.

    Nothing else changes: logits, probabilities and the classifier's fingerprint stay what they are. Where no
    temperature could be fitted, one that was kept before is removed.
    """
    file = folder / TEMPERATURE
    if fitted.problem:
        file.unlink(missing_ok=True)
        return f"no temperature is kept: {fitted.problem}"
    write_json(
        file,
        {
            "temperature": fitted.value,
            "interval": [fitted.low, fitted.high],
            "fitted_on": {"split": "valid", "images": fitted.count, "mistakes": fitted.mistakes},
            "caution": fitted.caution,
            "classifier": classifier.fingerprint,
            "jaxcam": __version__,
        },
    )
    return f"temperature {fitted.value:.4f} is kept in {file}"


def to_json(found: Results) -> dict[str, Any]:
    """Everything as JSON values; without labels, only what was predicted."""
    predictions = found.predictions
    names = predictions.images.class_names
    common = {
        "jaxcam": __version__,
        "split": found.split,
        "classes": list(names),
        "pictures": len(predictions.images),
        "left_out": found.left_out,
        "predicted": dict(zip(names, _predicted(predictions).tolist(), strict=True)),
    }
    if not found.scores.images:
        return {**common, "images": 0}
    return {**common, **found.scores.to_json(), "temperature": found.temperature}


def write(run: Path, found: Results, *, drawn: bool = True) -> list[Path]:
    """Write `evaluation/SPLIT.json` and, where there are labels, the drawings beside it; returns the files.

    The drawings are `SPLIT_reliability` and `SPLIT_confusion`, each as .png and .svg; those of an earlier set of this
    name are removed where none are `drawn`.
    """
    folder = run / FOLDER
    drawings = [folder / f"{found.split}_{what}.{kind}" for what in DRAWINGS for kind in ("png", "svg")]
    if found.scores.images and drawn:
        from jaxcam.report import plots, result_plots

        names = found.scores.class_names
        for file in drawings:
            # Each file has its own figure: a figure remembers what it was drawn for.
            if "_reliability." in file.name:
                figure = result_plots.reliability_figure(found.scores.calibration.diagram, after=found.after)
            else:
                figure = result_plots.confusion_figure(found.scores.matrix, names)
            plots.write_figure(file, figure)
    else:
        for file in drawings:
            file.unlink(missing_ok=True)
        drawings = []
    write_json(folder / f"{found.split}.json", to_json(found))
    return [folder / f"{found.split}.json", *drawings]


DRAWINGS = ("reliability", "confusion")


def summary(found: Results) -> str:
    """The numbers as lines of text, without a newline at the end.

    Accuracy and its kin with 95 % intervals, what deserves caution in plain sentences, a table of the classes and the
    confusion matrix (above `TABLE_CLASSES` classes: the worst classes and the most frequent confusions).
    """
    images, scores = found.predictions.images, found.scores
    notes = [f"left out: {count} of {len(images)} images {why}" for why, count in found.left_out.items()]
    names, worst = scores.class_names, scores.worst
    if worst is None:
        counts = zip(names, _predicted(found.predictions).tolist(), strict=True)
        words = ", ".join(f"{name} {count}" for name, count in counts if count)
        return "\n".join([f"{found.split}: no image has a known class; predicted: {words or 'nothing'}", *notes])
    small, calibrated = len(names) <= TABLE_CLASSES, scores.calibration
    return "\n".join(
        [
            f"{found.split}: accuracy {scores.accuracy.value:.4f}, 95 % interval {scores.accuracy.low:.4f} to "
            f"{scores.accuracy.high:.4f} (n = {scores.images})",
            f"balanced accuracy {_with(scores.balanced_accuracy)}, always the most frequent class "
            f"{scores.majority_share:.4f}",
            f"worst class {worst.name}: {worst.right} of {worst.images}, {_with(worst.recall)}",
            f"macro F1 {_with(scores.macro_f1)}, loss {_with(scores.loss)}, Brier score {_with(scores.brier)}",
            f"calibration error {_with(calibrated.error)}; true probabilities give about {calibrated.by_chance[0]:.4f} "
            f"with n = {scores.images}",
            *_temperature_words(found),
            *(f"note: {words}" for words in cautions(scores)),
            *notes,
            *class_table(scores, limit=TABLE_CLASSES),
            *(confusion_table(scores.matrix, names) if small else confusion_list(scores.matrix, names)),
        ]
    )


def cautions(scores: Scores) -> list[str]:
    """What in these numbers could mislead, a plain sentence each."""
    found, accuracy, calibrated = [], scores.accuracy, scores.calibration
    gap = accuracy.value - scores.balanced_accuracy.value
    frequent = scores.class_names[int(scores.matrix.sum(1).argmax())]
    if gap > FLATTERED:
        found.append(
            f"accuracy lies {100 * gap:.1f} points above balanced accuracy: it is carried by the frequent classes"
        )
    if len(scores.class_names) > 1 and accuracy.low <= scores.majority_share:
        found.append(f"with {scores.images} pictures this cannot be told from always answering {frequent}")
    if accuracy.value == 1:
        found.append("every picture is right: what a mistake costs is not in the intervals of loss and Brier score")
    never = [one.name for one in scores.classes if one.images and not one.predicted]
    if never:
        found.append(f"no picture was taken for {_listed(never)}")
    absent = [one.name for one in scores.classes if not one.images]
    if absent:
        found.append(f"there is no picture of {_listed(absent)}; nothing here says how well they are told")
    if calibrated.confidence - accuracy.value > FLATTERED and calibrated.error.value > calibrated.by_chance[1]:
        found.append(
            f"the probabilities claim too much: {calibrated.confidence:.3f} on average, while {accuracy.value:.3f} "
            "are right"
        )
    return found


def class_table(scores: Scores, *, limit: int) -> list[str]:
    """A line for each class; above `limit` classes only for those with the lowest recall."""
    held = list(scores.classes)
    if len(held) > limit:
        held = sorted((one for one in held if one.images), key=lambda one: one.recall.value)[:limit]
    head = ["class" if len(held) == len(scores.classes) else "worst classes", "images", "recall", "95 % interval"]
    cells = [[*head, "missed", "precision", "F1"]]
    for one in held:
        recall = one.recall
        ends = f"{recall.low:.4f} to {recall.high:.4f}" if one.images else "-"
        shares = [_plain(x.value) for x in (one.misclassified, one.precision, one.f1)]
        cells.append([one.name, str(one.images), _plain(recall.value), ends, *shares])
    return aligned(cells)


def confusion_table(matrix: Int[np.ndarray, "k k"], names: tuple[str, ...]) -> list[str]:
    """The matrix as lines of text: a row for each true class, a column for each predicted one."""
    head = ["true \\ predicted", *names]
    return aligned([head, *([name, *map(str, row)] for name, row in zip(names, matrix.tolist(), strict=True))])


def confusion_list(matrix: Int[np.ndarray, "k k"], names: tuple[str, ...], limit: int = 10) -> list[str]:
    """The most frequent confusions, a line each."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [f"{names[a]} taken for {names[b]}: {wrong[a, b]}" for a, b in pairs if wrong[a, b]]


def aligned(cells: list[list[str]]) -> list[str]:
    """Cells as lines of text, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]


def _temperature_words(found: Results) -> list[str]:
    about = found.temperature
    if about is None:
        return []
    if about["caution"] and about["interval"] is None:
        return [f"note: {about['caution']}"]
    ends = "" if about["interval"] is None else " ({:.3f} to {:.3f})".format(*about["interval"])
    after, before = about["after"], found.scores.calibration.error.value
    lines = [
        f"temperature {about['value']:.3f}{ends}: calibration error {before:.4f} -> "
        f"{after['expected_calibration_error']['value']:.4f}, loss {found.scores.loss.value:.4f} -> "
        f"{after['loss']['value']:.4f} (by {after['made_by']})"
    ]
    return [*lines, *([f"note: {about['caution']}"] if about["caution"] else [])]


def _predicted(predictions: SetPredictions) -> np.ndarray:
    chosen = predictions.logits[predictions.finite].argmax(1)
    return np.bincount(chosen, minlength=len(predictions.images.class_names))


def _with(number: Number) -> str:
    return f"{number.value:.4f}" + ("" if np.isnan(number.low) else f" ({number.low:.4f} to {number.high:.4f})")


def _plain(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "-"


def _listed(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
