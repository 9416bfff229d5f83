"""A stored set as it is shown: each image with its maps, their names, and the ends of their colours."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.folder import ImageSet
from jaxcam.maps import render
from jaxcam.maps.panels import Look
from jaxcam.maps.reader import Maps
from jaxcam.preprocessing import Preprocessing


@dataclass(frozen=True)
class ShownMap:
    """One map of one image."""

    method: str
    """name of the array"""
    words: str
    """what it explains: a class, `a-b`, or nothing where the class plays no part"""
    values: Float32[np.ndarray, "h w"]
    score: float
    limits: tuple[float, float]


@dataclass(frozen=True)
class Shown:
    """One image with its maps."""

    row: int
    pixels: UInt8[np.ndarray, "h w 3"] | None
    """None where the image cannot be read"""
    maps: tuple[ShownMap, ...]

    def drawn(self, look: Look) -> list[UInt8[np.ndarray, "h w 3"]]:
        """The maps over the image."""
        if self.pixels is None:
            return []
        return [look.overlay(self.pixels, one.values, limits=one.limits) for one in self.maps]


def show(
    maps: Maps, images: ImageSet, preprocessing: Preprocessing, look: Look, methods: tuple[str, ...] | None = None
) -> Iterator[Shown]:
    """The images of a selection in its order, with the maps of `methods` (None: all), a few in memory at a time.

    `images` is the whole set that the store was made of. Without `look.scale="set"` the maps of one method and image
    share their ends of the colours.
    """
    methods = maps.methods if methods is None else methods
    common = {name: set_limits(maps, name, look.percentile) for name in methods} if look.scale == "set" else {}
    step = max(1, min(32, maps.store.batch))
    for start in range(0, len(maps), step):
        part = maps.where(slice(start, start + step))
        read = {name: pictured(part, name, part[name][:]) for name in methods}
        targets, scores = part["targets"][:], part["scores"][:]
        against = part["against"][:] if "against" in part else np.full(targets.shape, -1)
        for place, row in enumerate(part.rows.tolist()):
            try:
                pixels = images.decode(row, preprocessing)
            except UnreadableImage:
                pixels = None
            found: list[ShownMap] = []
            for name, values in read.items():
                own = values[place]
                limits = common.get(name) or render.value_range(own, percentile=look.percentile)
                if own.shape[0] == 1 < targets.shape[1]:  # the class plays no part
                    found.append(ShownMap(name, "", own[0], float("nan"), limits))
                    continue
                for position, one in enumerate(own):
                    words = target_words(maps.class_names, int(targets[place, position]), int(against[place, position]))
                    found.append(ShownMap(name, words, one, float(scores[place, position]), limits))
            yield Shown(row, pixels, tuple(found))


def target_words(names: tuple[str, ...], target: int, against: int = -1) -> str:
    """What a map explains."""
    if target < 0:
        return ""
    return names[target] if against < 0 else f"{names[target]}-{names[against]}"


def pictured(maps: Maps, name: str, values: np.ndarray) -> Float32[np.ndarray, "n t h w"]:
    """Maps (n, h, w) or (n, t, h, w) of a store as they are laid over images; see `as_places`."""
    manifest = maps.manifest
    return as_places(values, maps.about(name)["method"], manifest.get("input_size", ()), manifest.get("options", {}))


def as_places(
    values: np.ndarray, method: str, size: Sequence[int], options: Mapping[str, Any]
) -> Float32[np.ndarray, "n t h w"]:
    """Maps with an axis t; values of windows (occlusion) or of parts (lime) become values of the places they cover."""
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 4 else values[:, None]
    if method == "occlusion":
        import jax.numpy as jnp

        from jaxcam.attribution.perturbation.windows import per_pixel, window_grid

        return np.asarray(per_pixel(jnp.asarray(values), window_grid(size, options["window"], options["stride"])))
    if method in ("lime", "kernel_shap"):
        from jaxcam.attribution.perturbation.segments import grid_segments

        parts = grid_segments((size[0], size[1]), options["segments"])
        return values.reshape(*values.shape[:2], -1)[..., parts]
    return values


def set_limits(maps: Maps, name: str, percentile: float = 100.0) -> tuple[float, float]:
    """Ends of the colours for a whole set: the percentile of its maps' peaks; only the peaks are held in memory."""
    peaks, lowest = [], 0.0
    for block in maps[name].blocks():
        block = np.where(np.isfinite(block), block, 0).astype(np.float32)
        lowest = min(lowest, float(block.min(initial=0.0)))
        peaks.append(np.abs(block).reshape(len(block), -1).max(1, initial=0.0))
    joined = np.concatenate(peaks) if peaks else np.zeros(1, np.float32)
    high = float(np.percentile(joined, percentile)) or float(joined.max())
    return (-high, high) if lowest < 0 else (0.0, high)


def file_word(text: str) -> str:
    """A class name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)
