"""The maps of any stages for given images: every channel as a picture, the strongest ones, and how sparse they are."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from jaxcam import __version__
from jaxcam.attribution.features.statistics import (
    ChannelStatistics,
    channel_picture,
    channel_statistics,
    strongest_channel,
)
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.features.grids import enlarged, tiled
from jaxcam.files import replace_file, write_json
from jaxcam.maps import render
from jaxcam.maps.panels import grid, shrunk
from jaxcam.networks.layers import Dropout, Flatten
from jaxcam.progress import Progress

By = Literal["mean", "peak", "contrast"]
SMALLEST = 32
"""pixels that a channel's picture has at least, so that 2x2 maps can be seen"""
TILE = 150


@dataclass(frozen=True)
class StageActivations:
    """What one stage does on the given images."""

    stage: str
    shape: tuple[int, ...]
    """of one image's output: (h, w, c) or (c,)"""
    statistics: ChannelStatistics
    """of every image and channel, on the host"""
    strongest: np.ndarray
    """number of the strongest channel of each image"""

    @property
    def zeros(self) -> float:
        """Share of all values that are exactly zero."""
        return float(np.asarray(self.statistics.zeros).mean())

    @property
    def dead(self) -> list[int]:
        """Channels that are zero everywhere in all the images."""
        return np.flatnonzero((np.asarray(self.statistics.zeros) == 1).all(0)).tolist()


def chosen_stages(classifier: Classifier, stages: Sequence[str]) -> tuple[str, ...]:
    """The stages asked for, in the network's order; none given: those with parameters or pools (the book's layers)."""
    chain = classifier.chain
    if not stages:
        kinds = (Flatten, Dropout)
        return tuple(name for name, module in chain.stages if not isinstance(module, kinds))
    return tuple(sorted(dict.fromkeys(stages), key=chain.index))


@lru_cache(maxsize=8)
def _program(network: Any, preprocessing: Any, stages: tuple[str, ...]) -> Any:
    chain = network.chain()

    def program(params, images):
        found, values, start = {}, preprocessing.normalise(images), None
        for stage in stages:
            values = chain.apply(params, values, start=start, stop=stage)
            found[stage], start = values, stage
        return found

    return jax.jit(program)


def activations_of(
    classifier: Classifier, images: UInt8[np.ndarray, "n h w 3"], stages: Sequence[str] = ()
) -> dict[str, Float32[np.ndarray, "n *rest"]]:
    """The outputs of several stages for images of the classifier's size, all from one forward."""
    names = chosen_stages(classifier, stages)
    found = _program(classifier.network, classifier.preprocessing, names)(classifier.params, images)
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def measured(stage: str, parts: Sequence[ChannelStatistics], shape: tuple[int, ...], by: By) -> StageActivations:
    """The numbers of a stage from those of its batches."""
    joined = ChannelStatistics(*(jnp.asarray(np.concatenate(values)) for values in zip(*parts, strict=True)))
    return StageActivations(stage, shape, joined, np.asarray(strongest_channel(joined, by=by)))


def channel_grid(
    values: Float32[np.ndarray, "h w c"], *, columns: int = 16, colormap: str = "viridis"
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Every channel of one image as a picture, 16 a row, each scaled by its own mean and deviation (the book's grid).

    A channel without any variation is all of the darkest colour.
    """
    table = render.colour_table(colormap)
    pictures = [enlarged(table[channel_picture(values[..., c])], SMALLEST) for c in range(values.shape[-1])]
    return tiled(pictures, columns=min(columns, len(pictures)))


def write_activations(
    classifier: Classifier,
    pixels: UInt8[np.ndarray, "n h w 3"],
    names: Sequence[str],
    folder: Path,
    *,
    stages: Sequence[str] = (),
    by: By = "mean",
    columns: int = 16,
    channels: bool = False,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> list[StageActivations]:
    """Write grids, the strongest channels beside the images, `activations.json` and `channels.csv`.

    `FOLDER/IMAGE/NN_STAGE.png` holds all channels of a stage, `FOLDER/IMAGE/NN_STAGE/CHANNEL.png` with `channels` each
    one by itself, `FOLDER/strongest.png` every image with the strongest channel of each stage that has maps. Names of
    images are made unique. Raises `UserError` for an unknown stage and where there are no images.
    """
    if not len(pixels):
        raise UserError("no images; give --images FILE or FOLDER")
    progress = progress or Progress(quiet=True)
    labels, wanted = unique_words(names), chosen_stages(classifier, stages)
    parts: dict[str, list[ChannelStatistics]] = {stage: [] for stage in wanted}
    shapes: dict[str, tuple[int, ...]] = {}
    starts = range(0, len(pixels), batch_size)
    kept: dict[tuple[int, str], np.ndarray] = {}
    for start in progress.over(starts, len(starts), "activations"):
        batch = pixels[start : start + batch_size]
        for number, (stage, values) in enumerate(activations_of(classifier, batch, wanted).items()):
            parts[stage].append(channel_statistics(jnp.asarray(values)))
            shapes[stage] = values.shape[1:]
            for row, one in enumerate(values):
                if one.ndim != 3:
                    continue
                path = folder / labels[start + row] / f"{number:02d}_{stage}"
                render.save_png(path.with_suffix(".png"), channel_grid(one, columns=columns))
                if channels:
                    write_channels(path, one)
                kept[start + row, stage] = one
    found = [measured(stage, parts[stage], shapes[stage], by) for stage in wanted]
    maps = [one for one in found if len(one.shape) == 3]
    if maps:
        render.save_png(folder / "strongest.png", strongest_sheet(pixels, names, maps, kept))
    write_tables(folder, found, names, by)
    return found


def write_channels(folder: Path, values: Float32[np.ndarray, "h w c"]) -> None:
    """Every channel as a file of its own."""
    table = render.colour_table("viridis")
    for channel in range(values.shape[-1]):
        picture = enlarged(table[channel_picture(values[..., channel])], SMALLEST)
        render.save_png(folder / f"{channel:04d}.png", picture)


def strongest_sheet(
    pixels: np.ndarray, names: Sequence[str], found: Sequence[StageActivations], kept: dict[tuple[int, str], np.ndarray]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """A row an image: the image, then the strongest channel of each stage."""
    tiles, captions = [], []
    height, width = pixels.shape[1:3]
    tile = (max(1, round(TILE * height / width)), TILE)
    for row, image in enumerate(pixels):
        tiles.append(shrunk(image, tile))
        captions.append([str(names[row]), ""])
        for one in found:
            channel = int(one.strongest[row])
            picture = render.colour_table("viridis")[channel_picture(kept[row, one.stage][..., channel])]
            tiles.append(shrunk(enlarged(picture, min(tile)), tile))
            mean = float(np.asarray(one.statistics.mean)[row, channel])
            captions.append([f"channel {channel}", f"mean {mean:.3g}"])
    heads = ["image", *(one.stage for one in found)]
    return grid(tiles, columns=len(heads), captions=captions, heads=heads, tile=tile)


def write_tables(folder: Path, found: Sequence[StageActivations], names: Sequence[str], by: By) -> None:
    """`activations.json`: stages, strongest channel of each image; `channels.csv`: a row a stage and channel."""
    about = {
        "jaxcam": __version__,
        "images": list(names),
        "strongest_by": by,
        "stages": [
            {
                "stage": one.stage,
                "shape": list(one.shape),
                "zeros": one.zeros,
                "dead_channels": one.dead,
                "strongest": one.strongest.tolist(),
            }
            for one in found
        ],
    }
    write_json(folder / "activations.json", about)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "channel", "mean", "peak", "zeros", "dead", "strongest_of"])
    for one in found:
        mean, peak, zeros = (np.asarray(value) for value in one.statistics)
        for channel in range(mean.shape[1]):
            numbers = mean[:, channel].mean(), peak[:, channel].max(), zeros[:, channel].mean()
            dead, of = int((zeros[:, channel] == 1).all()), int((one.strongest == channel).sum())
            writer.writerow([one.stage, channel, *(f"{value:.6g}" for value in numbers), dead, of])
    replace_file(folder / "channels.csv", text.getvalue().encode())


def unique_words(names: Sequence[str]) -> list[str]:
    """Plain, different names of folders, for names of any kind."""
    words: list[str] = []
    for name in names:
        word = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".")[-80:] or "image"
        known, number = word, 2
        while word in words:
            word, number = f"{known}_{number}", number + 1
        words.append(word)
    return words


def sparsity_lines(found: Sequence[StageActivations]) -> list[str]:
    """A line a stage: its shape, the share of zeros, and how many channels were silent in all images."""
    wide = max(len(one.stage) for one in found)
    lines = []
    for one in found:
        shape, count = "x".join(map(str, one.shape)), one.shape[-1]
        dead = f"{len(one.dead)} of {count} channels dead" if one.dead else f"{count} channels, none dead"
        lines.append(f"{one.stage:{wide}}  {shape:>12}  {one.zeros:6.1%} zeros, {dead}")
    return lines
