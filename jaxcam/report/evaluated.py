"""Further numbers of `evaluation/SPLIT.json`, which `jaxcam evaluate` computed from the logits themselves."""

import json
from pathlib import Path
from typing import Any

from jaxcam.report.audited import flat, number_of, short
from jaxcam.report.summary import Result

NUMBERS = {
    "macro_f1": "F1, mean over the classes",
    "balanced_accuracy": "balanced accuracy",
    "loss": "cross-entropy",
    "brier": "Brier score (0 to 2)",
}


def further(folder: Path, result: Result, notes: list[str]) -> list[tuple[str, str]]:
    """(name, value with its interval) of a split; a file that is of other predictions is named and left out."""
    path = folder / "evaluation" / f"{result.name}.json"
    if not path.is_file() or not result.counted:
        return []
    try:
        values = json.loads(path.read_bytes())
        same = values["images"] == result.counted and values["confusion"]["counts"] in (None, result.matrix.tolist())
    except (OSError, ValueError, KeyError, TypeError):
        notes.append(f"evaluation/{path.name} cannot be read; `jaxcam evaluate` writes it anew.")
        return []
    if not same:
        notes.append(f"evaluation/{path.name} is of other predictions and is left out (run `jaxcam evaluate`).")
        return []
    rows = [(words, _said(values.get(name))) for name, words in NUMBERS.items()]
    calibrated = values.get("calibration")
    if isinstance(calibrated, dict):
        rows.append(("calibration error", _said(calibrated.get("expected_calibration_error"))))
    temperature = values.get("temperature")
    rows += [(f"temperature {name}", value) for name, value in flat(temperature)] if temperature else []
    return [(name, value) for name, value in rows if value]


def _said(one: Any) -> str:
    """A number with its interval in words."""
    value = number_of(one.get("value")) if isinstance(one, dict) else None
    if value is None:
        return ""
    ends = [number_of(end) for end in one.get("interval") or ()]
    low, high = ends if len(ends) == 2 else (None, None)
    return short(value) + ("" if low is None or high is None else f" (95 % interval {short(low)} to {short(high)})")
