"""Judging the maps of a set: every measure for every method, beside maps that know nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Key, UInt8

from jaxcam import devices
from jaxcam.attribution.judging.ranking import enlarged
from jaxcam.attribution.judging.sanity import spearman
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.maps.forecast import forecast
from jaxcam.maps.judging import Judging
from jaxcam.maps.mask_files import read_masks
from jaxcam.maps.measures import BASELINES, baseline_maps, compiled_map_program
from jaxcam.maps.portions import Portion, joined, portions
from jaxcam.maps.program import UNREADABLE, compiled_program
from jaxcam.maps.request import Request
from jaxcam.maps.sample import look, mean_colour, pictures, spread
from jaxcam.maps.store import MapStore
from jaxcam.networks.catalog import fresh_params
from jaxcam.progress import Progress

Values = dict[str, dict[str, Float[np.ndarray, " n"]]]
"""method -> measure -> one number an image, NaN where it is not defined"""
Maps = dict[str, Array]


@dataclass(frozen=True)
class Judgement:
    """What was found for the images that were judged."""

    rows: tuple[int, ...]
    """their rows in the set"""
    values: Values
    settings: Judging
    notes: tuple[str, ...] = ()
    """what was left out, and why"""


def judge_set(
    classifier: Classifier,
    images: ImageSet,
    store: MapStore,
    request: Request,
    *,
    settings: Judging | None = None,
    masks: Path | None = None,
    progress: Progress,
) -> Judgement:
    """Judge the maps of a store that `request` made of `images`: one map an image, for the class it was made for.

    The images are an even sample of the readable ones. `masks` is a folder with a mask for each image, under the
    image's relative path (any image suffix; bright is the thing); images without one count nowhere in the measures that
    need it. Raises `UserError` where an image has several maps, or a map is held against another class.

    Cost: `forwards(settings)` forwards for each map, and for the methods that are cheap enough, and for some of the
    images, making their maps again.
    """
    settings, request = settings or Judging(), request.checked(classifier)
    plan = request.plan(classifier.class_names)
    if plan.several or plan.contrastive:
        raise UserError(f"--judge takes one map an image of one class, not --targets {request.targets}; try predicted")
    readable = np.flatnonzero(~((store.read("flags") & UNREADABLE) > 0).any((1, 2)))
    if not len(readable):
        raise UserError(f"no image of {str(images.root)!r} could be read; there is nothing to judge")
    rows = readable[spread(len(readable), settings.images)]
    shapes = None if masks is None else read_masks(masks, images, rows, classifier)
    told = f"{len(store.methods)} methods and {len(BASELINES)} baselines on {len(rows)} of {len(images)} images"
    total = forwards(settings) * (len(store.methods) + len(BASELINES))
    progress.say(f"judging {told}: about {total:.0f} forwards an image")

    values = as_they_are(classifier, images, store, rows, settings, shapes, progress)
    few = rows[spread(len(rows), settings.again)] if settings.again else rows[:0]
    again, left_out = made_again(classifier, images, store, request, few, settings, progress)
    at = np.searchsorted(rows, few)
    for name, found in again.items():
        for measure, numbers in found.items():
            values[name][measure] = np.full(len(rows), np.nan)
            values[name][measure][at] = numbers
    # The order of the table: `jax.tree.map` sorts by name.
    values = {name: values[name] for name in (*store.methods, *BASELINES)}
    notes = [f"not made again, for their cost: {', '.join(left_out)}"] if left_out else []
    if shapes is not None and not shapes.any((1, 2)).all():
        notes.append(f"{int((~shapes.any((1, 2))).sum())} of {len(rows)} images have no mask, or an empty one")
    return Judgement(tuple(rows.tolist()), values, settings, tuple(notes))


def forwards(settings: Judging) -> float:
    """Forward passes that one map of one image costs, beside making it."""
    return 2 * (settings.steps + 1) + 2 + 2 * len(settings.shares) + settings.squares + 1


def as_they_are(
    classifier: Classifier,
    images: ImageSet,
    store: MapStore,
    rows: Int[np.ndarray, " m"],
    settings: Judging,
    masks: Bool[np.ndarray, "m h w"] | None,
    progress: Progress,
) -> Values:
    """What needs the maps as they are stored; one compiled program judges the maps of every method."""
    params = devices.replicate(classifier.params)
    program, size = compiled_map_program(classifier, settings), classifier.preprocessing.size
    enlarge = jax.jit(partial(enlarged, size=size))
    colour = jnp.asarray(mean_colour(pictures(classifier, images, settings.images)))
    parts = []
    steps = -(-len(rows) // settings.batch_size)
    source = portions(classifier, images, store, rows, settings.batch_size)
    for part in progress.over(source, steps, "judging"):
        maps = {name: enlarge(part.put(one_map(store, name, part.rows))) for name in store.methods}
        maps |= _baselines(part.pixels, part.numbers, settings.seed)
        shown = None if masks is None else part.put(masks[part.start : part.start + len(part.rows)])
        found = {name: program(params, part.pixels, maps[name], part.targets, colour, shown) for name in maps}
        parts.append(part.take(found))
    return joined(parts)


def made_again(
    classifier: Classifier,
    images: ImageSet,
    store: MapStore,
    request: Request,
    rows: Int[np.ndarray, " m"],
    settings: Judging,
    progress: Progress,
) -> tuple[Values, list[str]]:
    """What needs new maps, of images changed a little and of random networks; and the methods too costly for it."""
    costs = dict(forecast(classifier, request, images=1, size=0).forwards)
    cheap = [name for name in store.methods if costs[name] <= settings.costly]
    left_out = [name for name in store.methods if name not in cheap]
    if not len(rows):
        return {}, []
    explain = explainer(classifier, images, request, cheap)
    trained = devices.replicate(classifier.params)
    fresh = devices.replicate(random_params(classifier, settings.seed))
    top = next(name for name in reversed(classifier.chain.names) if name in classifier.params)
    networks = {"random_top": {**trained, top: fresh[top]}, "random_all": fresh}
    parts = []
    steps = -(-len(rows) // settings.batch_size)
    source = portions(classifier, images, store, rows, settings.batch_size)
    for part in progress.over(source, steps, "making maps again"):

        def maps_of(params: Any, pixels: Array, part: Portion = part) -> Maps:
            own = explain(params, pixels, part.targets)
            return own | _baselines(pixels, part.numbers, settings.seed)

        here = maps_of(trained, part.pixels)
        found: dict[str, dict[str, Array]] = {name: {} for name in here}
        for measure, params in networks.items():
            for name, maps in maps_of(params, part.pixels).items():
                found[name][measure] = _correlation(here[name], maps)
        for name, values in sensitivities(partial(maps_of, trained), part.pixels, here, settings).items():
            found[name]["sensitivity"] = values
        parts.append(part.take(found))
    return joined(parts), left_out


def explainer(
    classifier: Classifier, images: ImageSet, request: Request, names: list[str]
) -> Callable[[Any, Array, Array], Maps]:
    """`explain(params, pixels, targets)`: the maps of these arrays of the request, as float32."""
    if not names:
        return lambda params, pixels, targets: {}
    methods = {spec.name: spec.method.name for spec in request.specs()}
    wanted = tuple(dict.fromkeys(methods[name] for name in names))
    again = replace(request, methods=wanted, given=0, dtype="float32").checked(classifier)
    around = jax.tree.map(jnp.asarray, look(classifier, images, again))
    program = compiled_program(classifier, again)
    return lambda params, pixels, targets: {
        name: maps for name, maps in program(params, pixels, targets, around).items() if name in names
    }


def sensitivities(
    maps_of: Callable[[Array], Maps], pixels: UInt8[Array, "n h w 3"], here: Mapping[str, Array], settings: Judging
) -> dict[str, Float32[Array, " n"]]:
    """`attribution.max_sensitivity` of all methods at once, from the same changed images, `uint8` as files are."""
    largest = {name: jnp.zeros(pixels.shape[0]) for name in here}
    for number in range(settings.samples):
        changed = _shaken(pixels, jax.random.fold_in(jax.random.key(settings.seed), number), settings.levels)
        for name, maps in maps_of(changed).items():
            largest[name] = jnp.maximum(largest[name], _relative_change(here[name], maps))
    return largest


def random_params(classifier: Classifier, seed: int) -> dict[str, Any]:
    """The network before any training."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return fresh_params(classifier.chain, key, classifier.network.shape)


def one_map(store: MapStore, name: str, rows: Int[np.ndarray, " m"]) -> Float32[np.ndarray, "m h w"]:
    """The maps of one method, without the axis of classes where there is one."""
    maps = store.read(name, rows).astype(np.float32)
    return maps if maps.ndim == 3 else maps[:, 0]


_baselines = jax.jit(baseline_maps, static_argnums=2)
_correlation = jax.jit(spearman)


@jax.jit
def _shaken(pixels: UInt8[Array, "n h w 3"], key: Key[Array, ""], levels: float | Array) -> UInt8[Array, "n h w 3"]:
    change = jax.random.uniform(key, pixels.shape[1:], minval=-levels, maxval=levels)
    return jnp.clip(jnp.round(pixels.astype(jnp.float32) + change), 0, 255).astype(jnp.uint8)


@jax.jit
def _relative_change(here: Float[Array, "n h w"], there: Float[Array, "n h w"]) -> Float32[Array, " n"]:
    norm = lambda values: jnp.sqrt((values.astype(jnp.float32) ** 2).sum((1, 2)))
    size = norm(here)
    return jnp.where(size > 0, norm(there - here) / jnp.where(size > 0, size, 1), jnp.nan)
