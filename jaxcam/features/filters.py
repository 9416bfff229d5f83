"""The filter patterns of a classifier's stage: all channels in one program, on all devices, in a grid and a table."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jaxcam import __version__, devices
from jaxcam.attribution.features.ascent import Patterns, plain_patterns
from jaxcam.attribution.features.responses import stage_response
from jaxcam.attribution.features.robust import robust_patterns
from jaxcam.attribution.features.statistics import deprocess
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.features.filter_settings import FilterSettings
from jaxcam.features.grids import crossed, enlarged, tiled
from jaxcam.files import replace_file, write_json
from jaxcam.maps import render
from jaxcam.networks.layers import Conv

LEAK = 0.1
MEMORY = 2**30
"""bytes that the activations of the patterns under way may take, about"""
FIRST_STAGE = 16
"""patterns that a CPU works on together where the stage looks at the image itself: its vectors are filled"""
PAGE = 64
"""patterns in a grid, as in the book"""
LARGEST, SMALLEST = 128, 32
"""pixels of a pattern's side where none are asked for, and of one for a stage that looks at single pixels"""


@dataclass(frozen=True)
class Filters:
    """Patterns of some channels of a stage."""

    stage: str
    channels: tuple[int, ...]
    pictures: UInt8[np.ndarray, "n h w 3"]
    before: np.ndarray
    after: np.ndarray
    """mean response to the noise and to the pattern"""
    rectified: bool = False
    """the stage ends in a ReLU, so that a response below zero is none"""

    @property
    def silent(self) -> list[int]:
        """Channels whose response could not be raised, or not above zero where that is no response: dead ones."""
        stuck = ~(self.after > self.before) | (self.rectified & ~(self.after > 0))
        return [channel for channel, bad in zip(self.channels, stuck.tolist(), strict=True) if bad]


def filter_patterns(
    classifier: Classifier,
    stage: str,
    channels: Sequence[int] | None = None,
    settings: FilterSettings | None = None,
) -> Filters:
    """Patterns of a stage's channels (None: all of them), made by one program over all devices of this process.

    Raises `UserError` for an unknown stage, a channel that there is not, and a size that the network does not take.
    """
    settings = settings or FilterSettings()
    size = settings.size or (LARGEST, LARGEST)
    shape = stage_shape(classifier, stage, size, fixed=settings.size is None)
    if settings.size is None and settings.recipe == "fourier" and shape is not None and len(shape) == 4:
        # The first stages look for edges of a pixel or two: of fewer pixels, drawn larger, they can be seen.
        side = min(LARGEST, SMALLEST * max(1, round(LARGEST / shape[1])))
        size, shape = (side, side), stage_shape(classifier, stage, (side, side), fixed=False)
    size = classifier.preprocessing.size if shape is None else size
    count = channel_count(classifier, stage)
    chosen = tuple(range(count)) if channels is None else tuple(channels)
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise UserError(f"channels {list(chosen)[:8]}: stage {stage!r} has the channels 0 to {count - 1}")
    mesh = devices.own_mesh()
    rows = devices.padded(len(chosen), on=mesh)
    numbers = np.array([*chosen, *[chosen[-1]] * (rows - len(chosen))], np.int32)
    at_once = settings.at_once or window(classifier, stage, size, rows // mesh.size)
    program = _program(classifier, stage, settings, size, at_once, mesh, shape)
    params, key = devices.replicate((dict(classifier.params), jax.random.key(settings.seed)), on=mesh)
    found = jax.tree.map(np.asarray, program(params, devices.shard(numbers, on=mesh), key))
    images = found.images[: len(chosen)]
    if settings.recipe == "book":
        pictures = np.stack([deprocess(image) for image in images])
    else:
        pictures = np.rint(np.nan_to_num(images) * 255).clip(0, 255).astype(np.uint8)
    before, after = found.before[: len(chosen)], found.after[: len(chosen)]
    return Filters(stage, chosen, pictures, before, after, rectified(classifier, stage))


def rectified(classifier: Classifier, stage: str) -> bool:
    """Whether a stage is a convolution that ends in a ReLU."""
    module = classifier.chain.stages[classifier.chain.index(stage)][1]
    return module.relu if isinstance(module, Conv) else getattr(module, "activation", "none") in ("relu", "relu6")


def _program(
    classifier: Classifier, stage: str, settings: FilterSettings, size: Any, at_once: int, mesh: Any, shape: Any
) -> Any:
    chain, preprocessing = classifier.chain, classifier.preprocessing
    book = settings.recipe == "book"
    # A stage without maps looks at the whole image.
    shrunk = size[0] / shape[1] if shape is not None and len(shape) == 4 else float("inf")
    scaled = preprocessing.scale != 1 or tuple(preprocessing.std) != (1.0, 1.0, 1.0)
    raw = book and (settings.input == "raw" or (settings.input == "auto" and not scaled))

    def patterns(params, channels, key) -> Patterns:
        own = stage_response(chain, params, stage, leak=0.0 if book else LEAK)
        response = own if raw else lambda images, numbers: own(preprocessing.normalise(images), numbers)
        if book:
            return plain_patterns(
                response, channels, key=key, size=size, steps=settings.steps or 40,
                step_size=settings.step_size, at_once=at_once,
            )  # fmt: skip
        return robust_patterns(
            response, channels, key=key, size=size, steps=settings.steps or 128, learning_rate=settings.learning_rate,
            at_once=at_once, **settings.views(shrunk),
        )  # fmt: skip

    everywhere, split = jax.P(), jax.P("data")
    return jax.jit(
        jax.shard_map(patterns, mesh=mesh, in_specs=(everywhere, split, everywhere), out_specs=split, check_vma=False)
    )


def channel_count(classifier: Classifier, stage: str) -> int:
    """Number of channels of a stage's output; `UserError` lists the stages there are."""
    classifier.chain.index(stage)
    return classifier.chain.shapes(classifier.network.shape)[stage][-1]


def default_stages(classifier: Classifier) -> tuple[str, ...]:
    """The first convolution of every size of maps: the book's choice for VGG16 (`block1_conv1` to `block5_conv1`)."""
    shapes = classifier.chain.shapes(classifier.network.shape)
    chosen: dict[tuple[int, ...], str] = {}
    for name in classifier.network.base_names():
        if name in classifier.params and len(shapes[name]) == 4:
            chosen.setdefault(shapes[name][1:3], name)
    return tuple(chosen.values())


def stage_shape(classifier: Classifier, stage: str, size: tuple[int, int], *, fixed: bool) -> tuple[int, ...] | None:
    """Shape of a stage's output for patterns of a size; None where the network takes its own size only and may."""
    chain, position = classifier.chain, classifier.chain.index(stage)
    part = chain.slice(stop=stage)
    own = {name: classifier.params[name] for name in part.names if name in classifier.params}
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    problem = ""
    try:
        shape = jax.eval_shape(lambda params, x: part.apply(params, x), own, images).shape
    except Exception as error:  # flax and lax have many kinds for "this does not fit"
        shape, problem = None, str(error).splitlines()[0]
    if shape is not None and min(shape[1:]) >= 1:
        return tuple(shape)
    if fixed and tuple(size) != tuple(classifier.preprocessing.size):
        return None
    names = chain.names[position]
    raise UserError(
        f"stage {names!r} gives nothing for images of {size[0]}x{size[1]}; give --size "
        f"{' '.join(map(str, classifier.preprocessing.size))}, the classifier's own{': ' + problem if problem else ''}"
    )


def window(classifier: Classifier, stage: str, size: tuple[int, int], most: int) -> int:
    """How many patterns are worked on together: what memory holds, on a CPU what its caches hold."""
    chain = classifier.chain.slice(stop=stage)
    own = {name: classifier.params[name] for name in chain.names if name in classifier.params}
    values, total = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32), 8 * size[0] * size[1] * 3
    for name, module in chain.stages:
        values = jax.eval_shape(lambda p, x, m=module: m.apply({"params": p}, x), own.get(name, {}), values)
        total += values.size
    room = max(1, MEMORY // (4 * 3 * total))
    if jax.default_backend() == "cpu":
        # Behind the first stage more than one or two a core do not fit the caches, and are slower.
        room = min(room, FIRST_STAGE if len(chain.stages) == 1 else max(2, os.cpu_count() or 1))
    return max(1, min(most, room))


def write_filters(filters: Filters, folder: Path, settings: FilterSettings) -> list[Path]:
    """`STAGE_RECIPE.png` (or several, 64 patterns each: 8x8, margin 5, filled downward), and a JSON and a CSV file.

    Channels that nothing excites are crossed out.
    """
    stem, files = f"{filters.stage}_{settings.recipe}", []
    silent, drawn = set(filters.silent), []
    for channel, picture in zip(filters.channels, filters.pictures, strict=True):
        one = crossed(picture) if channel in silent else picture
        drawn.append(one if settings.size is not None else enlarged(one, LARGEST))
    pages = -(-len(filters.channels) // PAGE)
    for page in range(pages):
        shown = drawn[page * PAGE : (page + 1) * PAGE]
        full = len(filters.channels) > 8
        # Filled downward, so that few channels leave columns over: those are not drawn.
        columns = -(-len(shown) // 8) if full else len(shown)
        picture = tiled(shown, columns=columns, margin=5, down=full, rows=8 if full else 1)
        files.append(folder / (f"{stem}.png" if pages == 1 else f"{stem}_{page * PAGE:04d}.png"))
        render.save_png(files[-1], picture)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["channel", "grid", "row", "column", "response_to_noise", "response_to_pattern"])
    for place, channel in enumerate(filters.channels):
        inside, full = place % PAGE, len(filters.channels) > 8
        row, column = (inside % 8, inside // 8) if full else (0, inside)
        numbers = f"{filters.before[place]:.6g}", f"{filters.after[place]:.6g}"
        writer.writerow([channel, files[place // PAGE].name, row, column, *numbers])
    replace_file(folder / f"{stem}.csv", text.getvalue().encode())
    about = {"jaxcam": __version__, "stage": filters.stage, "settings": json.loads(json.dumps(asdict(settings)))}
    write_json(folder / f"{stem}.json", about | {"channels": list(filters.channels), "silent": filters.silent})
    return [*files, folder / f"{stem}.csv", folder / f"{stem}.json"]
