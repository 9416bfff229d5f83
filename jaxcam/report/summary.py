"""Results of the splits in numbers and words, ready for the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxcam import calibration, metrics
from jaxcam.calibration import Reliability
from jaxcam.report.gather import Run, Split

FULL_MATRIX = 25
"""classes up to which the whole confusion matrix is shown; above it the most frequent confusions"""
PAIRS = 20


def percent(share: float | None, digits: int = 1) -> str:
    """A share as text; "–" where there is none.

    >>> percent(0.9375), percent(1.0)
    ('93.8\\u202f%', '100\\u202f%')
    """
    if share is None or not np.isfinite(share):
        return "\u2013"
    return f"{100 * share:.{0 if share in (0, 1) else digits}f}\u202f%"


def number(count: int, noun: str) -> str:
    """A count with its noun.

    >>> number(1, "picture"), number(12000, "picture")
    ('1 picture', '12\\u202f000 pictures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", "\u202f")


@dataclass(frozen=True)
class Result:
    """A split's headline numbers and confusion matrix."""

    name: str
    counted: int
    correct: int
    unreadable: int
    unlabelled: int
    low: float
    high: float
    balanced: float
    majority: float
    majority_class: str
    matrix: np.ndarray
    classes: tuple[str, ...]
    reliability: Reliability
    chance_error: float
    """calibration error below which 95 % of classifiers of true probabilities stay with so many pictures"""

    @property
    def calibration_error(self) -> float:
        """Expected calibration error."""
        return self.reliability.error

    @property
    def calibration_words(self) -> str:
        """What the reliability diagram says, in a sentence."""
        held = self.reliability.count > 0
        stated = float((self.reliability.confidence[held] * self.reliability.count[held]).sum() / max(1, self.counted))
        words = f"On average it is {percent(stated)} sure and {percent(self.accuracy)} right. "
        if self.calibration_error <= self.chance_error:
            return words + (
                f"A calibration error of {self.calibration_error:.3f} is no more than true probabilities give by "
                f"chance with {number(self.counted, 'picture')} (up to {self.chance_error:.3f})."
            )
        return words + f"Its probabilities claim too {'much' if stated > self.accuracy else 'little'}."

    @property
    def by_class(self) -> list[dict[str, Any]]:
        """Recall with its interval, precision and F1 of every class."""
        recalls, precisions = metrics.recalls(self.matrix), metrics.precisions(self.matrix)
        scores, rows = metrics.f1_scores(self.matrix), []
        for index, name in enumerate(self.classes):
            total = int(self.matrix[index].sum())
            low, high = metrics.wilson(int(self.matrix[index, index]), total)
            share = float(recalls[index]) if total else 0.0
            rows.append(
                {
                    "name": name, "count": total, "share": round(share, 4), "recall": percent(recalls[index]),
                    "low": percent(low), "high": percent(high), "precision": percent(precisions[index]),
                    "f1": "\u2013" if np.isnan(scores[index]) else f"{scores[index]:.3f}",
                }
            )  # fmt: skip
        return rows

    @property
    def accuracy(self) -> float:
        """Share of the counted images that are right; NaN without any."""
        return self.correct / self.counted if self.counted else float("nan")

    @property
    def matrix_rows(self) -> list[dict[str, Any]]:
        """Rows of the confusion matrix: class, total, recall, and for each class a count and its share of the row."""
        recalls, rows = metrics.recalls(self.matrix), []
        for index, name in enumerate(self.classes):
            total = int(self.matrix[index].sum())
            shares = self.matrix[index] / max(total, 1)
            cells = [
                {"count": int(self.matrix[index, column]), "share": float(share), "right": column == index}
                for column, share in enumerate(shares)
            ]
            rows.append({"name": name, "total": total, "recall": percent(recalls[index]), "cells": cells})
        return rows

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The most frequent confusions, as true class, predicted class, count and share of the true class."""
        off = self.matrix * (1 - np.eye(len(self.matrix), dtype=np.int64))
        order = np.argsort(-off, axis=None, kind="stable")[:PAIRS]
        rows, columns = np.unravel_index(order, off.shape)
        return [
            {
                "label": self.classes[row],
                "predicted": self.classes[column],
                "count": int(off[row, column]),
                "share": percent(off[row, column] / self.matrix[row].sum()),
            }
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if off[row, column]
        ]


def result(split: Split) -> Result:
    """A split's numbers; unreadable images and those of unknown classes do not count."""
    labels, predicted = split.labels, split.predicted
    matrix = metrics.confusion_matrix(labels, predicted, len(split.classes))
    counted, correct = int(matrix.sum()), int(np.trace(matrix))
    low, high = metrics.wilson(correct, counted)
    known = (labels >= 0) & (predicted >= 0) & np.isfinite(split.confidence)
    stated = split.confidence[known]
    return Result(
        name=split.name,
        counted=counted,
        correct=correct,
        unreadable=int((predicted < 0).sum()),
        unlabelled=int(((labels < 0) & (predicted >= 0)).sum()),
        low=low,
        high=high,
        balanced=metrics.balanced_accuracy(matrix),
        majority=metrics.majority_share(matrix),
        majority_class=split.classes[int(matrix.sum(1).argmax())],
        matrix=matrix,
        classes=split.classes,
        reliability=calibration.reliability(stated, ~split.wrong[known]),
        chance_error=calibration.error_by_chance(stated)[1],
    )


def facts(run: Run) -> list[tuple[str, str]]:
    """What the run is made of, as (name, value) pairs; what is not known is left out."""
    network = _dict(run.config.get("network")) or _dict(run.classifier.get("network"))
    prepared = run.preprocessing
    classes = run.classifier.get("class_names") or (run.splits[0].classes if run.splits else ())
    pairs: list[tuple[str, Any]] = [
        ("Network", network.get("name")),
        ("Weights", {"none": "none, trained from scratch"}.get(str(network.get("weights")), network.get("weights"))),
        ("Classes", _listed([str(name) for name in classes])),
        ("Pictures", ", ".join(f"{split.name} {len(split.paths)}" for split in run.splits)),
        ("Input", _input(prepared)),
        ("Phases", "; ".join(phase_words(run.config, number) for number in range(len(_phases(run.config))))),
        ("Seed", run.config.get("seed")),
        ("Maps", _maps(run)),
        ("Trained with", f"jaxcam {run.config['jaxcam']}" if "jaxcam" in run.config else None),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def phase_words(config: Mapping[str, Any], number: int) -> str:
    """A training phase in words; only its number where the configuration does not describe it."""
    phases = _phases(config)
    title = f"phase {number + 1}"
    if number >= len(phases):
        return title
    phase = _dict(phases[number])
    parts = [f"{phase['epochs']} epochs"] if "epochs" in phase else []
    if "optimiser" in phase:
        parts.append(f"{phase['optimiser']} {phase.get('learning_rate', '')}".strip())
    return f"{title}: {phase.get('trainable', 'trained')}" + (f" ({', '.join(parts)})" if parts else "")


def sentence(run: Run, results: list[Result]) -> str:
    """The page's first sentence: what was tested first and how it went."""
    tested = [item for item in results if item.counted]
    if not tested:
        return "This run holds no predictions for labelled pictures yet."
    best = tested[0]
    return (
        f"Right on {best.correct} of {number(best.counted, 'picture')} of the {best.name} set: "
        f"{percent(best.accuracy)}. "
        f"With 95\u202f% confidence the accuracy lies between {percent(best.low)} and {percent(best.high)}."
    )


def _maps(run: Run) -> str:
    kinds: dict[str, list[str]] = {}
    for split in run.splits:
        if split.store is not None:
            stage = split.store.manifest.get("stage", "an unknown stage")
            kinds.setdefault(f"{', '.join(split.store.methods)} at {stage}", []).append(split.name)
    return "; ".join(f"{kind} ({', '.join(names)})" for kind, names in kinds.items())


def _input(prepared: Mapping[str, Any]) -> str:
    size = prepared.get("size")
    if not (isinstance(size, list | tuple) and len(size) == 2):
        return ""
    fit = {"crop": "centre cut out", "stretch": "whole picture stretched"}.get(str(prepared.get("fit")), "")
    return f"{size[1]} \u00d7 {size[0]} pixels" + (f", {fit}" if fit else "")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def _phases(config: Mapping[str, Any]) -> list[Any]:
    phases = config.get("phases")
    return phases if isinstance(phases, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
