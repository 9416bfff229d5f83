"""Several maps in one picture: side by side, in a grid with captions, with a colour bar. NumPy and Pillow only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxcam.errors import UserError
from jaxcam.maps import render

if TYPE_CHECKING:
    from jaxcam.maps.memory import Explanation

GAP = 6
FONT = 12
LINE = 16
INK, PAPER, FAINT = (29, 33, 38), (255, 255, 255), (110, 116, 122)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How maps are drawn."""

    colormap: str | None = None
    """None: inferno, and seismic for maps with a sign; or one of `jaxcam.maps.render.COLORMAPS`"""
    opacity: float = 0.5
    """0: the image alone, 1: the map alone"""
    scale: Literal["image", "set"] = "image"
    """colours of each image's own range, or one range for all, so that images can be compared"""
    percentile: float = 100.0
    """share of the values (or, for a set, of the images' peaks) that the colours reach up to"""

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise UserError(f"--opacity is {self.opacity}; it lies in 0..1")
        if not 0 < self.percentile <= 100:
            raise UserError(f"--percentile is {self.percentile}; it lies above 0 and up to 100")
        if self.colormap is not None:
            render.colour_table(self.colormap)

    def overlay(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        values: Num[np.ndarray, "h w"],
        *,
        limits: tuple[float, float] | None = None,
        signed: bool | None = None,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A map over its image; `limits` are the ends of the colours, by default the map's own."""
        mode: render.Mode = "auto" if signed is None else "signed" if signed else "unsigned"
        low, high = limits or render.value_range(values, mode, percentile=self.percentile)
        mode = "signed" if low < 0 else "unsigned"
        return render.overlay(
            image, values, colormap=self.colormap, opacity=self.opacity, vmin=low, vmax=high, mode=mode
        )


def text_width(text: str) -> int:
    """Width of a caption in pixels."""
    return int(_font().getlength(text))


def _font() -> Any:
    return ImageFont.load_default(size=FONT)


def fitted(text: str, width: int) -> str:
    """A caption cut to a width, with dots in its middle: names of files differ at their ends."""
    if text_width(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
        if text_width(short) <= width:
            return short
    return ""


def shrunk(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """An image inside a frame (height, width), in its own proportions, centred on white."""
    height, width = size
    share = min(height / image.shape[0], width / image.shape[1])
    inner = max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share))
    small = Image.fromarray(image).resize(inner, Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (width, height), PAPER)
    frame.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return np.asarray(frame)


def grid(
    tiles: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    *,
    columns: int,
    captions: Sequence[Sequence[str]] = (),
    heads: Sequence[str] = (),
    title: str = "",
    tile: tuple[int, int] | None = None,
    bar: UInt8[np.ndarray, "_ _ 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Tiles in rows of `columns`, each with the lines of its caption below; `heads` stand over the columns.

    `tile` is the (height, width) of every tile, by default the first one's. `bar` stands at the right.
    """
    if columns < 1 or not tiles:
        raise ValueError(f"got {len(tiles)} tiles in {columns} columns; both must be at least 1")
    height, width = tile or tiles[0].shape[:2]
    lines = max((len(caption) for caption in captions), default=0)
    rows = -(-len(tiles) // columns)
    top = GAP + (LINE + GAP if title else 0) + (LINE if heads else 0)
    cell = height + lines * LINE + GAP
    right = GAP + columns * (width + GAP)
    total = right + (bar.shape[1] + GAP if bar is not None else 0)
    total = max(total, 2 * GAP + text_width(title))
    canvas = Image.new("RGB", (total, max(top + rows * cell, top + GAP + (0 if bar is None else bar.shape[0]))), PAPER)
    pen, font = ImageDraw.Draw(canvas), _font()
    if title:
        pen.text((GAP, GAP), title, INK, font)
    for column, head in enumerate(heads):
        pen.text((GAP + column * (width + GAP), top - LINE), fitted(head, width), INK, font)
    for number, one in enumerate(tiles):
        row, column = divmod(number, columns)
        left, upper = GAP + column * (width + GAP), top + row * cell
        canvas.paste(
            Image.fromarray(shrunk(one, (height, width)) if one.shape[:2] != (height, width) else one), (left, upper)
        )
        for line, text in enumerate(captions[number] if captions else ()):
            place = (left, upper + height + line * LINE + 1)
            pen.text(place, fitted(text, width), INK if line == 0 else FAINT, font)
    if bar is not None:
        canvas.paste(Image.fromarray(bar), (right, top))
    return np.asarray(canvas)


def colour_bar(
    low: float, high: float, *, height: int = 160, colormap: str | None = None, label: str = ""
) -> UInt8[np.ndarray, "h w 3"]:
    """The colours from `low` (below) to `high` (above) with the values at both ends and, of signed maps, at zero."""
    signed = low < 0
    ramp = np.linspace(high, low, max(2, height - LINE))[:, None].repeat(12, axis=1)
    mode: render.Mode = "signed" if signed else "unsigned"
    colours = render.colour(ramp, colormap=colormap, vmin=low, vmax=high, mode=mode)
    marks = [(0, high), (len(ramp) - 1, low)]
    marks += [(round((len(ramp) - 1) * high / (high - low)), 0.0)] if signed and high > low else []
    texts = {at: f"{value:.3g}" for at, value in marks}
    wide = 12 + 4 + max(map(text_width, [*texts.values(), label]))
    canvas = Image.new("RGB", (wide, height + LINE), PAPER)
    pen, font = ImageDraw.Draw(canvas), _font()
    pen.text((0, 0), label, INK, font)
    canvas.paste(Image.fromarray(colours), (0, LINE))
    for at, text in texts.items():
        pen.text((16, LINE + min(at, len(ramp) - LINE // 2) - LINE // 2 + 2), text, INK, font)
    return np.asarray(canvas)


def explanation_panel(
    explanation: "Explanation",
    *,
    look: Look | None = None,
    width: int = 224,
    limit: int = 16,
    bar: bool = True,
    **changes: Any,
) -> UInt8[np.ndarray, "h w 3"]:
    """Images in rows; beside each its maps, methods and classes side by side, with the score and flags below.

    `limit` images at most are drawn. `changes` are fields of `Look` (`colormap`, `opacity`, `scale`, `percentile`).
    With `scale="set"` all maps of a method share one scale, and the bar is that of the first method.
    """
    from jaxcam.maps.layout import describe_flags

    look = replace(look or Look(), **changes)
    count = min(limit, len(explanation.images))
    if not count:
        return np.full((LINE, LINE, 3), 255, np.uint8)
    tile = max(1, round(width * explanation.images.shape[1] / explanation.images.shape[2])), width
    maps = {name: values if values.ndim == 4 else values[:, None] for name, values in explanation.maps.items()}
    limits = {name: render.value_range(values[:count], percentile=look.percentile) for name, values in maps.items()}
    names, shares = explanation.class_names, softmax(explanation.logits)
    tiles, captions, heads = [], [], ["image"]
    for row in range(count):
        best = int(np.nan_to_num(explanation.logits[row], nan=-np.inf).argmax())
        tiles.append(shrunk(explanation.images[row], tile))
        captions.append([f"{names[best]} {shares[row, best]:.2f}", ""])
        for name, values in maps.items():
            for position, one in enumerate(values[row]):
                scale = limits[name] if look.scale == "set" else None
                tiles.append(shrunk(look.overlay(explanation.images[row], one, limits=scale), tile))
                target, score = explanation.targets[row, position], explanation.scores[row, position]
                words = describe_flags(int(explanation.flags[name][row, position]))
                of = f"{names[target]} {score:.3g}" if values.shape[1] == explanation.targets.shape[1] else ""
                captions.append([of, "; ".join(words)])
    for name, values in maps.items():
        heads += [name] * values.shape[1]
    first = next(iter(limits))
    side = colour_bar(*limits[first], colormap=look.colormap, label=first) if bar and look.scale == "set" else None
    return grid(tiles, columns=len(heads), captions=captions, heads=heads, tile=tile, bar=side)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits (n, k)."""
    with np.errstate(invalid="ignore"):
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)
