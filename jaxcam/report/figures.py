"""Arrays of an audit as pictures in a page: heat, signed maps, AUC maps, pictures, plain numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from jaxcam.report import pictures
from jaxcam.report.audited import Drawn, short

SHOWN = 24
"""entries of a figure that are drawn"""
ROWS = 60
"""rows of plain numbers that are listed"""
WIDTH = 320

Backdrop = Callable[[str], tuple[str, float] | None]
"""the mean picture of a class as a data URI and its width / height; None for any other name"""


@dataclass(frozen=True)
class Item:
    """One entry of a figure."""

    caption: str
    image: str
    ratio: float
    photo: str | None
    """what the map is laid over"""
    alt: str


@dataclass(frozen=True)
class Drawing:
    """A figure that can be shown."""

    name: str
    title: str
    items: tuple[Item, ...] = ()
    left_out: int = 0
    low: float = 0.0
    high: float = 0.0
    colormap: str = ""
    """of the colour bar; empty: there is none"""
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """plain numbers: caption and values"""
    problem: str = ""
    """why it cannot be drawn"""


def draw(figure: Drawn, *, size: tuple[int, int] | None = None, backdrop: Backdrop = lambda name: None) -> Drawing:
    """A figure as pictures; what cannot be read or is of no known kind is said in words.

    `size` is the (height, width) that maps of the network's input stand for.
    """
    title = figure.name.replace("_", " ")
    try:
        values = np.load(figure.path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        return Drawing(figure.name, title, problem=f"audit/{figure.path.name} {reason}.")
    if figure.kind == "picture" and values.ndim in (3, 4) and values.shape[-1] == 3 and values.size:
        return _photos(figure, title, values)
    if figure.kind in ("heat", "signed", "auc") and values.ndim in (2, 3) and values.size and _numbers(values):
        return draw_maps(figure, values, size=size, backdrop=backdrop)
    return _listed(figure, title, values)


def _photos(figure: Drawn, title: str, values: np.ndarray) -> Drawing:
    stack = values[None] if values.ndim == 3 else values
    items = []
    for place in range(min(len(stack), SHOWN)):
        pixels = np.array(stack[place])
        if pixels.dtype != np.uint8:
            scale = 255.0 if np.nanmax(pixels, initial=0.0) <= 1 else 1.0
            pixels = np.clip(np.nan_to_num(pixels.astype(np.float64)) * scale, 0, 255).astype(np.uint8)
        caption = _caption(figure, place)
        alt = f"{title}: {caption}" if caption else title
        items.append(Item(caption, pictures.thumbnail(pixels, WIDTH), pixels.shape[1] / pixels.shape[0], None, alt))
    return Drawing(figure.name, title, tuple(items), max(0, len(stack) - SHOWN))


def draw_maps(
    figure: Drawn,
    values: Shaped[np.ndarray, "..."],
    *,
    size: tuple[int, int] | None = None,
    backdrop: Backdrop = lambda name: None,
) -> Drawing:
    """Maps (h, w) or (n, h, w) of kind heat, signed or auc, with one colour scale for all of them."""
    title = figure.name.replace("_", " ")
    stack = np.array(values if values.ndim == 3 else values[None], np.float32)
    finite = stack[np.isfinite(stack)]
    largest = float(np.abs(finite).max(initial=0.0))
    low, high, table = {
        "heat": (0.0, largest, "inferno"),
        "signed": (-largest, largest, "seismic"),
        "auc": (0.5, 1.0, "viridis"),
    }[figure.kind]
    if figure.kind == "heat" and finite.min(initial=0.0) < 0:
        low, table = -largest, "seismic"
    items = []
    for place in range(min(len(stack), SHOWN)):
        caption, one = _caption(figure, place), stack[place]
        behind = backdrop(caption)
        ratio = behind[1] if behind else size[1] / size[0] if size else one.shape[1] / one.shape[0]
        shape = (max(1, round(pictures.HEAT_WIDTH / ratio)), pictures.HEAT_WIDTH)
        colours = pictures.coloured(
            np.where(np.isfinite(one), one, low), low=low, high=high, colormap=table, size=shape
        )
        peak = float(np.nanmax(one)) if np.isfinite(one).any() else 0.0
        where = pictures.hottest_place(one - 0.5 if figure.kind == "auc" else one)
        alt = f"{title}{': ' if caption else ''}{caption}, largest at the {where} ({short(peak)})"
        image = pictures.thumbnail(colours, shape[1], quality=80)
        items.append(Item(caption, image, ratio, behind[0] if behind else None, alt))
    return Drawing(figure.name, title, tuple(items), max(0, len(stack) - SHOWN), low, high, table)


def _listed(figure: Drawn, title: str, values: np.ndarray) -> Drawing:
    """Plain numbers, as a table where they are few enough to be read."""
    if (
        not values.size
        or not _numbers(values)
        or values.ndim > 2
        or (values.ndim == 2 and values.shape[1] > 12)
        or len_of(values) > ROWS
    ):
        words = f"{values.dtype} numbers of shape {values.shape}"
        return Drawing(figure.name, title, problem=f"{words} in audit/{figure.path.name}.")
    lines = np.array(values).reshape(len_of(values), -1)
    rows = [(_caption(figure, place) or str(place + 1), tuple(short(v) for v in line.tolist()))
            for place, line in enumerate(lines)]  # fmt: skip
    return Drawing(figure.name, title, rows=tuple(rows))


def len_of(values: Shaped[np.ndarray, "..."]) -> int:
    """Number of entries along the first axis; a single number is one."""
    return values.shape[0] if values.ndim else 1


def _numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf"


def _caption(figure: Drawn, place: int) -> str:
    return figure.labels[place] if place < len(figure.labels) else ""
