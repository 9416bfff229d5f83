"""Drawings of an evaluation with matplotlib: reliability diagram and confusion matrix, for a file or for the page.

Every drawing is there twice: `*_figure` gives a matplotlib figure (`plots.write_figure` writes it as PNG or SVG), and
`*_svg` an `<svg>` element in the page's colours, the same text for the same numbers. `prefix` keeps the ids of several
drawings on a page apart.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcam import metrics
from jaxcam.calibration import Reliability
from jaxcam.report.plots import ON_PAGE, STYLE, Palette, svg

WRITTEN_CLASSES = 25
"""classes up to which every cell of the confusion matrix says its numbers"""
NAMED_CLASSES = 60
"""classes up to which rows and columns are named"""


def reliability_svg(diagram: Reliability, *, after: Reliability | None = None, prefix: str = "reliability") -> str:
    """`reliability_figure` as an `<svg>` element for the page."""
    with matplotlib.rc_context(STYLE):
        return svg(reliability_figure(diagram, after=after, palette=ON_PAGE), prefix)


def confusion_svg(matrix: Int[np.ndarray, "k k"], names: Sequence[str], *, prefix: str = "confusion") -> str:
    """`confusion_figure` as an `<svg>` element for the page."""
    with matplotlib.rc_context(STYLE):
        return svg(confusion_figure(matrix, names, palette=ON_PAGE), prefix)


def reliability_figure(
    diagram: Reliability, *, after: Reliability | None = None, palette: Palette | None = None
) -> Figure:
    """How often the answer is right over how probable it was said to be, and how many images there are of each.

    A point for each bin that has images, with the 95 % Wilson interval of its share; on the dashed line probabilities
    are true, below it the classifier claims too much. `after` is the same with temperature scaling, drawn beside it.
    """
    palette = palette or Palette()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.8), layout="constrained", facecolor=palette.paper)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=palette.ink, linewidth=0.8, linestyle=(0, (4, 3)), label="as stated")
        drawn = [(diagram, palette.valid, "o", "as it is")]
        if after is not None:
            drawn.append((after, palette.train, "s", "with temperature"))
        for shown, colour, marker, label in drawn:
            held = np.flatnonzero(shown.count)
            ends = np.array([metrics.wilson(int(shown.right[b]), int(shown.count[b])) for b in held]).reshape(-1, 2)
            share = shown.accuracy[held]
            upper.errorbar(
                shown.confidence[held], share, np.maximum(0, np.stack([share - ends[:, 0], ends[:, 1] - share])),
                color=colour, marker=marker, markersize=4, linewidth=1.4, elinewidth=0.9, capsize=2, label=label,
            )  # fmt: skip
        total = max(1, int(diagram.count.sum()))
        lower.bar(
            diagram.edges[:-1], diagram.count / total, np.diff(diagram.edges), align="edge", color=palette.valid,
            alpha=0.5, linewidth=0,
        )  # fmt: skip
        upper.set_ylabel("share that is right")
        lower.set_ylabel("images")
        lower.set_xlabel("probability of the predicted class")
        for axes in (upper, lower):
            _plain(axes, palette)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        upper.set_xlim(0, 1)
        upper.set_ylim(0, 1.02)
        upper.legend(loc="upper left", frameon=False, labelcolor=palette.ink)
        words = f"calibration error {diagram.error:.3f}" if np.isfinite(diagram.error) else "no images"
        if after is not None and np.isfinite(after.error):
            words += f", with temperature {after.error:.3f}"
        upper.set_title(words, loc="left", color=palette.ink, fontsize=10, fontweight="bold")
    return figure


def confusion_figure(matrix: Int[np.ndarray, "k k"], names: Sequence[str], *, palette: Palette | None = None) -> Figure:
    """The confusion matrix: a row for each true class, a column for each predicted one, coloured by share of the row.

    Cells say share and count up to `WRITTEN_CLASSES` classes. A class without images has an empty row.
    """
    if len(names) != len(matrix):
        raise ValueError(f"got {len(names)} names for {len(matrix)} classes")
    palette, count, shares = palette or Palette(), len(matrix), metrics.rates(matrix)
    side = float(np.clip(0.62 * count if count <= WRITTEN_CLASSES else 0.2 * count, 1.8, 9))
    labels = [_shortened(name) for name in names]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(side + 1.6, side + 1.2), layout="constrained", facecolor=palette.paper)
        axes = figure.subplots()
        for row, column in zip(*np.nonzero(matrix), strict=True):
            # Never full colour: what is written in a cell is read in light and dark.
            axes.fill(
                [column - 0.5, column + 0.5, column + 0.5, column - 0.5], [row - 0.5, row - 0.5, row + 0.5, row + 0.5],
                color=palette.valid, alpha=0.06 + 0.54 * float(shares[row, column]), linewidth=0,
            )  # fmt: skip
        if count <= WRITTEN_CLASSES:
            for row, column in zip(*np.nonzero(matrix.sum(1)[:, None] + 0 * matrix), strict=True):
                text = f"{100 * shares[row, column]:.0f} %\n{matrix[row, column]}" if matrix[row, column] else "0"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=palette.ink)
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        _plain(axes, palette, grid=False)
        named = range(count) if count <= NAMED_CLASSES else ()
        axes.set_xticks(list(named), labels[: len(named)], rotation=90 if max(map(len, labels), default=0) > 5 else 0)
        axes.set_yticks(list(named), labels[: len(named)])
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)
    return figure


def _plain(axes: Axes, palette: Palette, *, grid: bool = True) -> None:
    axes.set_facecolor(palette.paper)
    if grid:
        axes.grid(axis="y", color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)
    axes.tick_params(colors=palette.ink, length=0)
    axes.xaxis.label.set_color(palette.ink)
    axes.yaxis.label.set_color(palette.ink)
    for spine in axes.spines.values():
        spine.set_color(palette.grid)


def _shortened(name: str, length: int = 18) -> str:
    """A name that fits; letters that the measuring font lacks become question marks."""
    plain = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in name)
    return plain if len(plain) <= length else f"{plain[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
