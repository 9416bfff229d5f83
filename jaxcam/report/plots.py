"""Training curves with matplotlib: a PNG beside the history, and an SVG that follows the page's colours.

The drawings of an evaluation (reliability diagram, confusion matrix) are in `jaxcam.report.result_plots`.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxcam.files import replace_file
from jaxcam.report.gather import read_history

Record = Mapping[str, Any]

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxcam",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Palette:
    """Colours of a plot."""

    ink: str = "#3d434d"
    grid: str = "#e3e5e9"
    train: str = "#8a8f99"
    valid: str = "#2f5fd0"
    paper: str = "#ffffff"


# Stand-ins that `svg` replaces by the page's CSS variables, so that a plot is right in light and dark.
ON_PAGE = Palette(ink="#010203", grid="#040506", train="#070809", valid="#0a0b0c", paper="none")
VARIABLES = {
    ON_PAGE.ink: "var(--muted)",
    ON_PAGE.grid: "var(--line)",
    ON_PAGE.train: "var(--train)",
    ON_PAGE.valid: "var(--accent)",
}


SMOOTHING = 0.8
"""the factor of Chollet, Deep Learning with Python (2017), section 5.3"""
SMOOTHED_FROM = 12
"""epochs from which on the curves are drawn smoothed too; of fewer, smoothing shows the first one for too long"""


def smoothed(points: Sequence[float] | np.ndarray, factor: float = SMOOTHING) -> np.ndarray:
    """Exponential moving average: the first point as it is, then `factor` of the last and 1 - `factor` of the next.

    A point that is not finite stays NaN and leaves the average as it was.

    >>> [round(float(point), 3) for point in smoothed([1.0, 0.0, 0.0])]
    [1.0, 0.8, 0.64]
    """
    found, last = np.full(len(points), np.nan), np.nan
    for index, point in enumerate(np.asarray(points, np.float64)):
        if np.isfinite(point):
            last = point if np.isnan(last) else last * factor + point * (1 - factor)
            found[index] = last
    return found


def smoothed_values(records: Sequence[Record], key: str, factor: float = SMOOTHING) -> np.ndarray:
    """A quantity over the epochs, smoothed in each phase for itself: a phase may begin with a jump."""
    starts = [*phase_starts(records), len(records)]
    curve = values(records, key)
    parts = [smoothed(curve[a:b], factor) for a, b in pairwise(starts)]
    return np.concatenate(parts) if parts else curve


def write_history_plot(history: Path, image: Path) -> None:
    """Draw the curves of a `history.jsonl` as a PNG; without a record nothing is written."""
    records = read_history(history, [])
    if records:
        with matplotlib.rc_context(STYLE):
            write_figure(image, history_figure(records))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as the PNG or SVG that the name asks for; the same figure gives the same bytes."""
    vector = path.suffix.lower() == ".svg"
    (FigureCanvasSVG if vector else FigureCanvasAgg)(figure)
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if vector:
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    replace_file(path, buffer.getvalue())


def history_svg(records: Sequence[Record], phases: Sequence[str] = ()) -> str:
    """The curves as an `<svg>` element in the page's colours; the same records give the same text."""
    with matplotlib.rc_context(STYLE):
        return svg(history_figure(records, phases, palette=ON_PAGE), "history")


def history_figure(records: Sequence[Record], phases: Sequence[str] = (), *, palette: Palette | None = None) -> Figure:
    """Loss and accuracy over the epochs of all phases; a line marks where a phase begins.

    `phases` are the phases' names. Values that are missing or not finite leave a gap. From `SMOOTHED_FROM` epochs on
    the raw curves are pale and the smoothed ones stand before them.
    """
    palette = palette or Palette()
    figure = Figure(figsize=(9.6, 3.1), layout="constrained", facecolor=palette.paper)
    left, right = figure.subplots(1, 2)
    for axes, quantity, title in ((left, "loss", "Loss"), (right, "accuracy", "Accuracy")):
        _curve(axes, records, quantity, title, palette)
        _mark_phases(axes, records, phases, palette)
    ends = [
        value for key in ("train_accuracy", "valid_accuracy") for value in values(records, key) if np.isfinite(value)
    ]
    right.set_ylim(max(0.0, min(ends, default=0.0) - 0.08), 1.02)
    right.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    right.legend(loc="lower right", frameon=False, labelcolor=palette.ink)
    return figure


def values(records: Sequence[Record], key: str) -> np.ndarray:
    """A quantity over the epochs, NaN where it is missing."""
    found = [record.get(key) for record in records]
    return np.array([v if isinstance(v, int | float) else np.nan for v in found], dtype=np.float64)


def phase_starts(records: Sequence[Record]) -> list[int]:
    """Positions of the first record of every phase."""
    numbers = [record.get("phase", 0) for record in records]
    return [index for index, number in enumerate(numbers) if index == 0 or number != numbers[index - 1]]


def _curve(axes: Axes, records: Sequence[Record], quantity: str, title: str, palette: Palette) -> None:
    epochs = np.arange(1, len(records) + 1)
    marker = "o" if len(records) <= 30 else None
    lines = (("train", palette.train, (0, (4, 2)), 1.4), ("valid", palette.valid, "solid", 2.0))
    for name, colour, dashes, width in lines:
        curve = values(records, f"{name}_{quantity}")
        curve, smooth = np.where(np.isfinite(curve), curve, np.nan), len(records) >= SMOOTHED_FROM
        axes.plot(
            epochs, curve, color=colour, linestyle=dashes, linewidth=1.0 if smooth else width, marker=marker,
            markersize=3, alpha=0.45 if smooth else 1.0, label=name,
        )  # fmt: skip
        if smooth:
            average = smoothed_values(records, f"{name}_{quantity}")
            axes.plot(
                epochs, average, color=colour, linestyle=dashes, linewidth=width, label=f"{name}, smoothed {SMOOTHING}"
            )
    axes.set_title(title, loc="left", color=palette.ink, fontsize=10, fontweight="bold", pad=16)
    axes.set_xlabel("epoch", color=palette.ink)
    axes.set_facecolor(palette.paper)
    axes.grid(axis="y", color=palette.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.ink, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, len(records) + 0.5)
    for spine in axes.spines.values():
        spine.set_color(palette.grid)


def _mark_phases(axes: Axes, records: Sequence[Record], phases: Sequence[str], palette: Palette) -> None:
    starts = phase_starts(records)
    if len(starts) < 2:
        return
    for number, start in enumerate(starts):
        name = phases[number] if number < len(phases) else f"phase {number + 1}"
        name = name if name.isascii() else f"phase {number + 1}"  # the font that measures the text lacks other letters
        if start:
            axes.axvline(start + 0.5, color=palette.ink, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate(
            name, (start + 0.5, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
            va="bottom", color=palette.ink, fontsize=8, parse_math=False,
        )  # fmt: skip


def svg(figure: Figure, prefix: str) -> str:
    """A figure as an `<svg>` element to stand in a page.

    Stand-in colours become CSS variables; `prefix` keeps its ids apart from those of other plots of the page.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL
    )
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(
        r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", r'<svg class="plot" viewBox="\1" aria-hidden="true">', text, count=1
    )
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text
