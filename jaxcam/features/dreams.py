"""Deep dreams of a picture, and pictures of a class, as a classifier sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jaxcam.attribution.features import dream as pure
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.networks.layers import Flatten
from jaxcam.progress import Progress


@dataclass(frozen=True, kw_only=True)
class DreamSettings:
    """How an image is changed; the defaults are the book's (Chollet, 2017, section 8.2) on 0..255."""

    octaves: int = 3
    """sizes that are gone through, from coarse to fine (MATLAB: PyramidLevels)"""
    octave_scale: float = 1.4
    """factor between two sizes (MATLAB: PyramidScale)"""
    steps: int = 20
    """at every size (MATLAB: NumIterations)"""
    step_size: float = 1.275
    """levels of 255 that a pixel moves in a step, on average"""
    most: float | None = None
    """an image whose score has passed this is not changed further at this size (the book: 10)"""
    shift: int = 0
    """pixels that the image is rolled by in every step, at most"""
    smooth: float = 0.0
    """weight of total variation"""
    seed: int = 0
    """of the noise and of the shifts"""

    def __post_init__(self) -> None:
        if self.octaves < 1 or self.octave_scale <= 1 or self.steps < 0:
            raise UserError(
                f"--octaves {self.octaves}, --octave-scale {self.octave_scale}, --steps {self.steps}: "
                "at least 1 octave, a scale above 1, and no negative number of steps"
            )


CLASS_SETTINGS = DreamSettings(octaves=3, steps=64, step_size=2.0, shift=4, smooth=0.3)
"""what class images start from where nothing else is said"""


def stage_weights(words: Sequence[str]) -> dict[str, float]:
    """`STAGE` or `STAGE=WEIGHT` each; `UserError` for anything else, or a stage that is named twice.

    >>> stage_weights(["mixed2=0.2", "mixed3"])
    {'mixed2': 0.2, 'mixed3': 1.0}
    """
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            weight = float("nan")
        if not name or name in found or not np.isfinite(weight):
            raise UserError(f"--stages {word!r}: give STAGE or STAGE=WEIGHT, every stage once")
        found[name] = weight
    return found


def dream_picture(
    classifier: Classifier,
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Mapping[str, float],
    settings: DreamSettings | None = None,
    *,
    progress: Progress | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Deep dream of a picture at its own size: one compiled program an octave, each image donated to the next.

    Raises `UserError` for an unknown stage, and for stages behind a flattening layer, which take one size only.
    """
    settings, chain, preprocessing = settings or DreamSettings(), classifier.chain, classifier.preprocessing
    last = max(map(chain.index, weights))
    flat = [name for name, module in chain.stages[: last + 1] if isinstance(module, Flatten)]
    if flat:
        raise UserError(
            f"stage {chain.names[last]!r} lies behind {flat[0]!r}, which takes one size; choose one before it"
        )

    def score(params, images):
        return pure.stages_score(chain, params, weights)(preprocessing.normalise(images))

    sizes = pure.octave_sizes(picture.shape[:2], settings.octaves, settings.octave_scale)
    smallest(classifier, chain.names[last], sizes[0])
    grow = grower(classifier, score, settings, progress, len(sizes))
    return to_pixels(pure.dream(grow, jnp.asarray(picture[None], jnp.float32), sizes))[0]


def class_pictures(
    classifier: Classifier,
    classes: Sequence[str],
    settings: DreamSettings | None = None,
    *,
    size: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """A picture for each class that its logit answers to, grown from grey noise from coarse to fine.

    As MATLAB's deepDreamImage on the last layer. A network whose head takes one size only sees every size enlarged to
    its own. Raises `UserError` for an unknown class.
    """
    settings, preprocessing = settings or CLASS_SETTINGS, classifier.preprocessing
    unknown = [name for name in classes if name not in classifier.class_names]
    if unknown or not classes:
        raise UserError(f"no class {unknown[0] if unknown else ''!r}; there are: {', '.join(classifier.class_names)}")
    numbers = jnp.array([classifier.class_names.index(name) for name in classes])
    fixed = any(isinstance(module, Flatten) for _, module in classifier.chain.stages)
    size = size or preprocessing.size
    sizes = pure.octave_sizes(size, settings.octaves, settings.octave_scale)
    if not fixed:
        smallest(classifier, classifier.chain.names[-1], sizes[0])

    def score(params, images):
        seen = pure.resized(images, preprocessing.size, "bilinear") if fixed else images
        logits = classifier.chain.apply(params, preprocessing.normalise(seen)).astype(jnp.float32)
        return jnp.take_along_axis(logits, numbers[:, None], axis=1)[:, 0]

    noise = jax.random.uniform(jax.random.key(settings.seed), (len(classes), *sizes[0], 3)) * 20 + 118
    grow = grower(classifier, score, settings, progress, len(sizes))
    return to_pixels(pure.pyramid(grow, noise, sizes))


def grower(classifier: Classifier, score: Any, settings: DreamSettings, progress: Progress | None, sizes: int) -> Any:
    """`ascend` as a compiled function of the images, which are donated; it says how far it got."""
    progress, done = progress or Progress(quiet=True), []
    key = jax.random.key(settings.seed)

    @partial(jax.jit, donate_argnums=1)
    def program(params, images):
        return pure.ascend(
            partial(score, params), images, steps=settings.steps, step_size=settings.step_size, most=settings.most,
            shift=settings.shift, smooth=settings.smooth, key=key,
        )  # fmt: skip

    def grow(images):
        done.append(0)
        progress.say(f"size {images.shape[1]}x{images.shape[2]}, {len(done)} of {sizes}: {settings.steps} steps")
        return jax.block_until_ready(program(dict(classifier.params), images))

    return grow


def smallest(classifier: Classifier, stage: str, size: tuple[int, int]) -> None:
    """Raise `UserError` where the smallest size is too small for a stage."""
    shape = replace(classifier.network, input_size=None).shape[:1]
    part = classifier.chain.slice(stop=stage)
    own = {name: classifier.params[name] for name in part.names if name in classifier.params}
    images = jax.ShapeDtypeStruct((*shape, *size, 3), jnp.float32)
    empty = 0
    for name, module in part.stages:
        try:
            images = jax.eval_shape(lambda p, x, m=module: m.apply({"params": p}, x), own.get(name, {}), images)
        except (TypeError, ValueError, ZeroDivisionError):
            empty = 1
        if empty or min(images.shape) < 1:
            raise UserError(
                f"the smallest size {size[0]}x{size[1]} is too small for stage {stage!r}; give fewer --octaves"
            )


def to_pixels(images: Any) -> UInt8[np.ndarray, "n h w 3"]:
    """Images cut off at 0 and 255."""
    return np.rint(np.nan_to_num(np.asarray(images, np.float32)).clip(0, 255)).astype(np.uint8)
