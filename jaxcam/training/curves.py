"""The curves of a run beside its `history.jsonl`: a drawing, a table, and TensorBoard's events if asked for."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcam.files import replace_file

Record = Mapping[str, Any]
SMOOTHED = ("train_", "valid_")
"""quantities whose names begin so also get a column `NAME_smoothed`"""


def write_curves(run: Path, *, tensorboard: bool = False) -> None:
    """Write `history.png` and `history.csv`, and `tensorboard/` if asked for, from `history.jsonl`.

    To be called whenever a phase has ended: every file is written anew, so a run that is continued has no line twice.
    Without a record nothing is written. Raises `UserError` where TensorBoard's events cannot be written.
    """
    from jaxcam.report.gather import read_history
    from jaxcam.report.plots import write_history_plot

    records = read_history(run / "history.jsonl", [])
    if not records:
        return
    write_history_plot(run / "history.jsonl", run / "history.png")
    replace_file(run / "history.csv", table(records).encode())
    if tensorboard:
        from jaxcam.training.tensorboard import write_events

        write_events(run / "tensorboard", records)


def table(records: Sequence[Record]) -> str:
    """The history as CSV: a line for each epoch, and beside each quantity its exponentially smoothed course.

    Smoothed as in Chollet's book with the factor .8, in each phase for itself; values that are missing are empty.
    """
    from jaxcam.report.plots import smoothed_values

    names = list(dict.fromkeys(name for record in records for name in record))
    smooth = {
        f"{name}_smoothed": smoothed_values(records, name).tolist()
        for name in names
        if name.startswith(SMOOTHED) and any(isinstance(record.get(name), int | float) for record in records)
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *smooth])
    for row, record in enumerate(records):
        own = [_cell(record.get(name)) for name in names]
        writer.writerow(
            [*own, *("" if math.isnan(column[row]) else f"{column[row]:.8g}" for column in smooth.values())]
        )
    return text.getvalue()


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value
