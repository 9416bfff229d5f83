"""The run's lines of JSON: an epoch each, cut where a run is continued."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcam.config import Phase
from jaxcam.files import replace_file

HISTORY, TIMINGS = "history.jsonl", "timings.jsonl"


def cut_history(path: Path, place: Mapping[str, Any]) -> None:
    """Keep the history up to a checkpoint; what was written after it will be computed again."""
    if not path.exists():
        return
    kept = ""
    for line in path.read_text().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            break
        if (record["phase"], record["epoch"]) > (place["phase"], place["epoch"]) or not line.endswith("\n"):
            break
        kept += line
    replace_file(path, kept.encode())


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a finished history."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON object as a line."""
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")


def epoch_line(record: Mapping[str, Any], timing: Mapping[str, Any], phase: Phase) -> str:
    """An epoch in words."""
    return (
        f"phase {record['phase'] + 1} epoch {record['epoch']}/{phase.epochs}: "
        f"loss {record['train_loss']:.4f} accuracy {record['train_accuracy']:.3f} | "
        f"validation loss {record['valid_loss']:.4f} accuracy {record['valid_accuracy']:.3f} "
        f"balanced {record['valid_balanced_accuracy']:.3f} "
        f"({timing['seconds']:.1f} s, {timing['images_per_second']:.0f} images/s)"
    )
