"""One measured sign: its value, how sure it is, what it means, and the pictures behind it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxcam.files import replacing

Layer = Literal["data", "model", "confirm"]
Status = Literal["red", "amber", "green", "info", "not_applicable"]
"""red and amber count for the verdict; info is shown and never judged; not_applicable says why in `reason`"""
Kind = Literal["heat", "signed", "auc", "picture", "values"]
"""how an array is to be shown: heat (0 and up), signed (around 0), auc (.5 to 1), uint8 RGB pictures, plain numbers"""


@dataclass(frozen=True)
class Figure:
    """An array that belongs to a signal, to be drawn by whoever shows it."""

    values: np.ndarray
    """heat, signed, auc: (h, w) or (n, h, w); picture: uint8 (h, w, 3) or (n, h, w, 3); values: anything"""
    kind: Kind
    labels: tuple[str, ...] = ()
    """a caption for each of the n entries: class names, image paths, ..."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What one test of the audit found."""

    id: str
    """the letter and number of the audit's table: "D1", "M2", "C3" """
    name: str
    """a few words: "border-only retention" """
    layer: Layer
    value: float | None = None
    """the number that is judged; None where there is none"""
    interval: tuple[float, float] | None = None
    """95 % interval of the value"""
    count: int = 0
    """number of images behind it"""
    status: Status = "info"
    threshold: float | None = None
    """what `status` was judged by: the bound that was crossed, or the nearest one that was not"""
    sentence: str = ""
    """the finding in one plain sentence with its numbers"""
    reason: str = ""
    """why the test did not apply"""
    images: tuple[str, ...] = ()
    """six to twelve paths (rows of the audited set) that show it"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """further numbers as JSON values: by class, by property, by arm of a test"""
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values; the figures by the names of the files `save_figures` writes."""
        figures = {
            name: {"file": f"{self.id}_{name}.npy", "kind": figure.kind, "labels": list(figure.labels)}
            for name, figure in self.figures.items()
        }
        return {
            "id": self.id,
            "name": self.name,
            "layer": self.layer,
            "value": finite(self.value),
            "interval": None if self.interval is None else [finite(end) for end in self.interval],
            "n": self.count,
            "status": self.status,
            "threshold": self.threshold,
            "sentence": self.sentence,
            "reason": self.reason,
            "images": list(self.images),
            "details": dict(self.details),
            "figures": figures,
        }

    def save_figures(self, folder: Path) -> None:
        """Write each figure as `ID_NAME.npy`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in self.figures.items():
            with replacing(folder / f"{self.id}_{name}.npy") as file:
                np.save(file, figure.values, allow_pickle=False)


def finite(value: float | None) -> float | None:
    """The number, or None where JSON has no word for it."""
    return None if value is None or not math.isfinite(value) else float(value)


def not_applicable(id: str, name: str, layer: Layer, reason: str) -> Signal:
    """A test that could not be made, and why."""
    return Signal(id=id, name=name, layer=layer, status="not_applicable", reason=reason)
