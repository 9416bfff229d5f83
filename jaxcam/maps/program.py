"""One XLA program a batch: `uint8` images in; maps, logits, targets, scores and flags out."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Shaped, UInt8

from jaxcam.attribution import fuse
from jaxcam.attribution.targets import chosen_scores
from jaxcam.classifier import Classifier
from jaxcam.maps.methods import Scene
from jaxcam.maps.options import fill_colour
from jaxcam.maps.request import MapSpec, Request
from jaxcam.maps.stages import cam_stage
from jaxcam.networks import NetworkSpec
from jaxcam.networks.portions import in_whole_batches
from jaxcam.preprocessing import Preprocessing

ALL_NEGATIVE, ZERO, NON_FINITE, SATURATED, OUT_OF_RANGE, UNREADABLE = 1, 2, 4, 8, 16, 128
SATURATION = 1 - 1e-6

Program = Callable[..., dict[str, Array]]


class Surroundings(NamedTuple):
    """What a batch's maps depend on beside its images; the same for every batch of a set."""

    colour: Float32[Array | np.ndarray, " 3"]
    """RGB 0..255 that stands for nothing there"""
    references: Shaped[Array | np.ndarray, "r h w 3"] | None = None
    """pictures of the set, where a method asks for them"""


def surroundings(
    request: Request, *, mean: Float[np.ndarray, " 3"] | None = None, references: np.ndarray | None = None
) -> Surroundings:
    """The surroundings of a request; `mean` is the images' mean colour 0..255 (None: grey)."""
    colour = fill_colour(request.options.fill)
    chosen = np.asarray(colour if colour is not None else (127.5,) * 3 if mean is None else mean, np.float32)
    return Surroundings(chosen, references)


def explain_program(classifier: Classifier, request: Request) -> Program:
    """`program(params, images, labels, around)`, pure and ready for `jit`: the store's arrays for a batch.

    `images` uint8 (n, h, w, 3), `labels` (n,), or the class numbers (n, t) of a request with `given`; `around` are
    `Surroundings` (by default those of `surroundings(request)`). The methods are written independently; XLA merges
    their common forward pass.
    """
    specs, plan, options = request.specs(), request.plan(classifier.class_names), request.options

    def program(
        params: Mapping[str, Any],
        images: UInt8[Array, "n h w 3"],
        labels: Int[Array, "n ..."],
        around: Surroundings | None = None,
    ) -> dict[str, Array]:
        around = surroundings(request) if around is None else around
        with nullcontext() if one_forward(params, images.shape) else in_whole_batches():
            return explained(params, images, labels, around)

    def one_forward(params: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
        # What is computed in portions merges only where all methods cut the network after it.
        portion = set(classifier.chain.in_portions(params, shape)[:-1])
        if portion and all(spec.method.grid in ("stage", "pool") for spec in specs):
            pooled = [cam_stage(classifier) for spec in specs if spec.method.grid == "pool"]
            return portion.isdisjoint([*pooled, *(stage for spec in specs for stage in spec.stages)])
        return not portion

    def explained(
        params: Mapping[str, Any], images: UInt8[Array, "n h w 3"], labels: Int[Array, "n ..."], around: Surroundings
    ) -> dict[str, Array]:
        logits = classifier.apply(params, images).astype(jnp.float32)
        chosen, against = plan.classes(logits, labels)
        targets = plan.targets(chosen, against, request.score)
        scene = Scene(
            classifier=classifier,
            params=params,
            images=images,
            targets=targets,
            options=options,
            key=jax.random.key(options.seed),
            colour=jnp.asarray(around.colour),
            score=request.score,
            references=None if around.references is None else jnp.asarray(around.references),
        )
        shares = jnp.take_along_axis(jax.nn.softmax(logits), chosen, axis=1)
        out: dict[str, Array] = {}
        side: dict[str, Array] = {}
        flags = []
        for spec in specs:
            raw, errors = raw_maps(spec, scene, request)
            side |= errors
            flags.append(flags_of(raw, shares, request.dtype))
            maps = stored(raw, request.dtype, relu=spec.method.relu)
            out[spec.name] = maps if spec.method.per_class and plan.several else maps[:, 0]
        side |= {"logits": logits, "targets": chosen, "scores": chosen_scores(logits, targets)}
        side |= {"against": against} if plan.contrastive else {}
        side |= hidden_windows(scene, labels) if "occlusion" in request.methods and request.given is None else {}
        return out | side | {"flags": jnp.stack(flags, axis=1)}

    return program


def raw_maps(
    spec: MapSpec, scene: Scene, request: Request
) -> tuple[Float32[Array, "n t h w"], dict[str, Float32[Array, "n t"]]]:
    """Maps of one array before ReLU (of several stages the fused ones), and the numbers that come with them.

    t is 1 where the class plays no part.
    """
    parts = [spec.method.compute(scene, stage) for stage in spec.stages or ("",)]
    if spec.method.numbers:
        ((maps, numbers),) = parts
        return maps.astype(jnp.float32), {f"{spec.name}_{name}": value for name, value in numbers.items()}
    if len(parts) > 1:
        parts = [fuse(parts, how=request.fuse or "mean")]
    maps = parts[0].astype(jnp.float32)
    return maps if maps.ndim == 4 else maps[:, None], {}


def hidden_windows(scene: Scene, labels: Int[Array, " n"]) -> dict[str, Array]:
    """What hiding each window does to the answer: what the maps of a whole set are added up from, on the host.

    The class predicted (n, gh, gw), and the label's probability and logit; NaN where there is no label.
    """
    _, occluded = scene.occluded
    occluded = occluded.astype(jnp.float32)
    label = jnp.clip(labels, 0, occluded.shape[-1] - 1)
    known = (labels >= 0)[:, None, None]

    def of_label(values):
        found = jnp.take_along_axis(values, label[:, None, None, None], axis=3)[..., 0]
        return jnp.where(known, found, jnp.nan)

    return {
        "occlusion_predicted": occluded.argmax(-1).astype(jnp.int32),
        "occlusion_probability": of_label(jax.nn.softmax(occluded)),
        "occlusion_logit": of_label(occluded),
    }


def extra_arrays(
    classifier: Classifier, request: Request, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The arrays that a request's program gives beside the usual ones: type and shape of one image's values."""
    plan = request.plan(classifier.class_names)
    extra: dict[str, tuple[str, tuple[int, ...]]] = {}
    numbers = [f"{spec.name}_{number}" for spec in request.specs() for number in spec.method.numbers]
    extra |= {name: ("float32", (plan.width,)) for name in numbers}
    extra |= {"against": ("int32", (plan.width,))} if plan.contrastive else {}
    if "occlusion" in request.methods and request.given is None:
        grid = shapes["occlusion"][-2:]
        extra |= {"occlusion_predicted": ("int32", grid), "occlusion_probability": ("float32", grid)}
        extra |= {"occlusion_logit": ("float32", grid)}
    return extra


def stored(raw: Float32[Array, "n t h w"], dtype: str, *, relu: bool) -> Float[Array, "n t h w"]:
    """Maps as they are stored; float16 is clipped to its range (flag 16 tells)."""
    maps = jax.nn.relu(raw) if relu else raw
    if dtype == "float32":
        return maps
    limits = jnp.finfo(jnp.float16)
    return jnp.clip(maps, float(limits.min), float(limits.max)).astype(jnp.float16)


def compiled_program(classifier: Classifier, request: Request) -> Any:
    """The jitted `explain_program`, the same object for the same network and request, so that it compiles once."""
    return _compiled(classifier.network, classifier.preprocessing, classifier.class_names, request)


@lru_cache(maxsize=32)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...], request: Request):
    return jax.jit(explain_program(_names_only(network, preprocessing, class_names), request))


def _names_only(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...]) -> Classifier:
    """A classifier for tracing: the program takes the parameters as an argument, and only their shapes are needed."""
    return Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)


def map_shapes(classifier: Classifier, request: Request) -> dict[str, tuple[int, ...]]:
    """Shape of one image's maps, by array name, for a checked request; nothing is computed."""
    size, plan = classifier.preprocessing.size, request.plan(classifier.class_names)
    stages = classifier.chain.shapes((1, *size, 3))
    shapes = {}
    for spec in request.specs():
        grids = {"stage": [stages[s][1:3] for s in spec.stages], "input": [tuple(size)]}
        if spec.method.grid in grids and len(grids[spec.method.grid]) == 1:
            grid = grids[spec.method.grid][0]
        else:
            grid = _traced_shape(classifier, request, spec)
        several = (plan.width,) if plan.several and spec.method.per_class else ()
        shapes[spec.name] = (*several, *(int(length) for length in grid))
    return shapes


def _traced_shape(classifier: Classifier, request: Request, spec: MapSpec) -> tuple[int, ...]:
    names_only = _names_only(classifier.network, classifier.preprocessing, classifier.class_names)
    size = classifier.preprocessing.size

    def maps(params, images, references, key):
        scene = Scene(
            classifier=names_only,
            params=params,
            images=images,
            targets=jnp.zeros((1, 1), jnp.int32),
            options=request.options,
            key=key,
            colour=jnp.zeros(3),
            references=references,
        )
        return raw_maps(spec, scene, request)[0]

    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(maps, names_only.params, images, images, key).shape[2:]


def flags_of(
    raw: Float32[Array, "n t h w"], shares: Float32[Array, "n k"], dtype: str = "float16"
) -> UInt8[Array, "n k"]:
    """What is odd about a map: see the constants; `raw` is before ReLU. One map (t = 1) may stand for all targets."""
    peak = jnp.abs(raw).max((2, 3))
    finite = jnp.isfinite(raw).all((2, 3))
    limits = jnp.finfo(dtype)
    bits = {
        ALL_NEGATIVE: finite & (raw.max((2, 3)) <= 0) & (peak > 0),
        ZERO: peak == 0,
        NON_FINITE: ~finite,
        SATURATED: shares >= SATURATION,
        OUT_OF_RANGE: finite & ((peak > float(limits.max)) | ((peak > 0) & (peak < float(limits.tiny)))),
    }
    found = jnp.zeros(shares.shape, jnp.uint8)
    for bit, is_set in bits.items():
        found = found | jnp.where(is_set, jnp.uint8(bit), jnp.uint8(0))
    return found
