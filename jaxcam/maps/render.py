"""Heatmaps as pictures: enlarging, colouring, laying over the image. NumPy and Pillow only, no JAX.

A stored map is small and raw. Everything that changes its numbers for the eye happens here and nowhere else.
"""

import base64
import io
import zlib
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Num, UInt8
from PIL import Image

from jaxcam.errors import UserError
from jaxcam.files import replace_file

Mode = Literal["auto", "unsigned", "signed"]

# The tables of the same name in matplotlib (CC0): differences of successive rows, deflated, base 85.
_TABLES = {
    "inferno": (
        "c-n1}0S?132m@{C{{Q1LFkwlzNs)DSAVo<52M8EbX#!7RLfc|5oiME}_EeK*Zji+eO{ZBDhy`&n#i_kMtZ8Zj5^EIBKzrOgrSiXa"
        ">$gRmHEM}zj7QCERq?86+hy?`Zrh(|2yJ0ACRr_|Q+DX?735{{J}ZB7+T?cIBe`LRwfn<Jo)8^cfEA)oZkXM!2PdoqI;Q~rc)j`t"
        "jmP7!XRk%uTt9^mdpy7eJ~h6Tm-vz$<)x(Il|U9#zyT}H-}rh1c&lrl"
    ),
    "viridis": (
        "c-noE(Gde72t*fXEhVJ?Qet2Q)SQ#t&CX+e`f>3kZ-_wDA5W<G52|32v!7ZD?WB<J*tq)<j2pw9XaqTObvBjLX#s0VacG&cai=_*"
        "KI&Kd?;Im8eZjc&IE3dGtg#q-zd&k~OqQ7A=r7IOAiwvhKWb=lF7+5MHs+}EImc-1!l4;bo?u>LOP6U@<`xQZ4x3o5hGqk|^a%uJ"
        "_!D5fXciy@zu;oL!EECCn&=l4(TE8"
    ),
}
# Red, green and blue of piecewise linear maps: (position, value) at the corners, as in matplotlib.
_CORNERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "jet": (
        ((0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)),
        ((0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)),
        ((0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)),
    ),
    "seismic": (
        ((0, 0), (0.25, 0), (0.5, 1), (0.75, 1), (1, 0.5)),
        ((0, 0), (0.25, 0), (0.5, 1), (0.75, 0), (1, 0)),
        ((0, 0.3), (0.25, 1), (0.5, 1), (0.75, 0), (1, 0)),
    ),
}
COLORMAPS = (*_TABLES, *_CORNERS)
"""names of the colour tables"""


def resize_map(
    values: Num[np.ndarray, "*batch h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "*batch height width"]:
    """Maps at another (height, width), bilinear with half-pixel centres, clamped at the border, never antialiased.

    The same rule as OpenCV's INTER_LINEAR and torch's `align_corners=False`, up-scaling as well as down-scaling.
    """
    maps = np.asarray(values, dtype=np.float32)
    for axis, length in ((-2, size[0]), (-1, size[1])):
        low, high, share = _taps(maps.shape[axis], length)
        share = share[:, None] if axis == -2 else share
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, high, axis) * share
    return maps


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new position its two old neighbours and the share of the second."""
    if new < 1:
        raise ValueError(f"got length {new}; a map is resized to at least 1")
    centre = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(centre).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), (centre - low).astype(np.float32)


@cache
def colour_table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """A colour table; `inferno` and `viridis` are perceptually even, `seismic` is for signed values.

    Raises `UserError` for an unknown name.

    >>> colour_table("jet")[0].tolist()
    [0, 0, 127]
    """
    if name in _TABLES:
        steps = np.frombuffer(zlib.decompress(base64.b85decode("".join(_TABLES[name]))), np.uint8)
        table = np.cumsum(steps.reshape(256, 3), axis=0, dtype=np.uint8)
    elif name in _CORNERS:
        at = np.linspace(0, 1, 256)
        channels = [np.interp(at, [x for x, _ in corners], [y for _, y in corners]) for corners in _CORNERS[name]]
        table = (np.stack(channels, axis=1) * 255).astype(np.uint8)
    else:
        raise UserError(f"unknown colour map {name!r}; there are: {', '.join(COLORMAPS)}")
    table.flags.writeable = False
    return table


def value_range(
    values: Num[np.ndarray, "..."], mode: Mode = "auto", *, percentile: float = 100.0
) -> tuple[float, float]:
    """The values at the two ends of the colours: (0, max), or for signed maps (-m, m) with m the largest size.

    `auto` is signed where any value is below zero. NaN and infinity do not count; without a finite value it is (0, 0).
    With a `percentile` below 100 the largest values lie beyond the last colour (and look like it).
    """
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    if mode == "signed" or (mode == "auto" and finite.min() < 0):
        sizes = np.abs(finite)
        largest = float(np.percentile(sizes, percentile)) or float(sizes.max())
        return -largest, largest
    return 0.0, max(0.0, float(np.percentile(finite, percentile)) or float(finite.max()))


def colour(
    values: Num[np.ndarray, "h w"],
    *,
    colormap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    mode: Mode = "auto",
) -> UInt8[np.ndarray, "h w 3"]:
    """A map in colours, at its own size.

    `vmin` and `vmax` are the values of the first and the last colour; by default `value_range` of the map, and where
    one of a signed map is given, the other is its negative. A map without any range (all zero) gets the colour of zero,
    and so do NaN and infinity. `colormap` is by default `inferno`, for signed maps `seismic`.
    """
    low, high, table = _scale(values, colormap, vmin, vmax, mode)
    return _paint(values, low, high, table)


def _scale(
    values: np.ndarray, name: str | None, vmin: float | None, vmax: float | None, mode: Mode
) -> tuple[float, float, np.ndarray]:
    """The values at the two ends of the colours, and the colours."""
    low, high = value_range(values, mode)
    signed = mode == "signed" or (mode == "auto" and low < 0)
    if signed and vmin is None and vmax is not None:
        vmin = -vmax
    if signed and vmax is None and vmin is not None:
        vmax = -vmin
    table = colour_table(name or ("seismic" if signed else "inferno"))
    return low if vmin is None else vmin, high if vmax is None else vmax, table


def _paint(values: np.ndarray, low: float, high: float, table: np.ndarray) -> np.ndarray:
    """The colour of every value; zero's for NaN, infinity, and where the range is empty."""
    if high <= low:
        low, high = -1.0 if low < 0 or table is colour_table("seismic") else 0.0, 1.0
        values = np.zeros(values.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        share = (np.asarray(values, np.float64) - low) / (high - low)
    share = np.where(np.isfinite(share), np.clip(share, 0, 1), np.clip(-low / (high - low), 0, 1))
    return table[np.minimum((share * 256).astype(np.int64), 255)]


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    values: Num[np.ndarray, "h w"],
    *,
    colormap: str | None = None,
    opacity: float = 0.5,
    vmin: float | None = None,
    vmax: float | None = None,
    mode: Mode = "auto",
) -> UInt8[np.ndarray, "height width 3"]:
    """An image with a map over it: `(1 - opacity) * image + opacity * colours`; sizes and aspect ratios may differ.

    The map covers the whole image. Colours are `colour`'s, with the range of the map before it is enlarged; where the
    map is NaN or infinite the image stays as it is. Raises ValueError for an opacity outside 0..1.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"got opacity {opacity}; it lies in 0..1")
    low, high, table = _scale(values, colormap, vmin, vmax, mode)
    size = (image.shape[0], image.shape[1])
    with np.errstate(invalid="ignore"):
        large = resize_map(values, size)
    colours = _paint(large, low, high, table)
    shares = np.where(np.isfinite(large), opacity, 0.0)[..., None]
    return np.rint(image * (1 - shares) + colours * shares).astype(np.uint8)


def encode(image: UInt8[np.ndarray, "h w 3"], kind: Literal["png", "jpeg", "webp"], *, quality: int = 90) -> bytes:
    """An image file's content; the same pixels give the same bytes (with one version of Pillow). No metadata."""
    buffer = io.BytesIO()
    options = {"png": {"compress_level": 6}, "jpeg": {"quality": quality, "subsampling": 0 if quality >= 90 else 2}}
    options["webp"] = {"quality": quality, "method": 2}  # 4 takes twice the time for 5 % less
    Image.fromarray(image).save(buffer, format=kind.upper(), **options[kind])
    return buffer.getvalue()


def save_png(path: str | Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a PNG atomically."""
    replace_file(Path(path), encode(image, "png"))


def save_jpeg(path: str | Path, image: UInt8[np.ndarray, "h w 3"], *, quality: int = 90) -> None:
    """Write a JPEG atomically."""
    replace_file(Path(path), encode(image, "jpeg", quality=quality))
