"""One XLA program a batch: `uint8` images in; maps, logits, targets, scores and flags out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, UInt8

from jaxcam import attribution, devices
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.networks import NetworkSpec
from jaxcam.networks.layers import GlobalAveragePool
from jaxcam.preprocessing import Preprocessing

METHODS = ("cam", "grad_cam")
ALL_NEGATIVE, ZERO, NON_FINITE, SATURATED, OUT_OF_RANGE, UNREADABLE = 1, 2, 4, 8, 16, 128
SATURATION = 1 - 1e-6
HALF = jnp.finfo(jnp.float16)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which maps are wanted."""

    methods: tuple[str, ...] = ("grad_cam",)
    targets: str = "predicted"
    """predicted, true, all, or a class name"""
    stage: str | None = None
    """stage for the gradient methods; None: the last convolution below the head"""

    def checked(self, classifier: Classifier) -> "Request":
        """The request with the stage filled in; `UserError` for an unknown method, target or stage."""
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) != len(self.methods):
            raise UserError(f"methods {', '.join(self.methods) or 'none'}: give each once, of {', '.join(METHODS)}")
        allowed = ("predicted", "true", "all", *classifier.class_names)
        if self.targets not in allowed:
            raise UserError(f"unknown target {self.targets!r}; there are: {', '.join(allowed)}")
        stage = self.stage or default_stage(classifier)
        shapes = classifier.chain.shapes((1, *classifier.preprocessing.size, 3))
        classifier.chain.index(stage)
        if len(shapes[stage]) != 4:
            spatial = ", ".join(name for name, shape in shapes.items() if len(shape) == 4)
            raise UserError(f"stage {stage!r} has no positions; maps can be made at: {spatial}")
        return Request(methods=self.methods, targets=self.targets, stage=stage)

    def map_shapes(self, classifier: Classifier) -> dict[str, tuple[int, ...]]:
        """Shape of one image's maps, by method."""
        shapes = classifier.chain.shapes((1, *classifier.preprocessing.size, 3))
        several = (len(classifier.class_names),) if self.targets == "all" else ()
        stages = {"cam": cam_stage(classifier) if "cam" in self.methods else "", "grad_cam": str(self.stage)}
        return {method: (*several, *shapes[stages[method]][1:3]) for method in self.methods}


def default_stage(classifier: Classifier) -> str:
    """The last convolution below the head."""
    base = classifier.network.base_names()
    with_params = [name for name in base if name in classifier.params]
    return with_params[-1] if with_params else base[-1]


def cam_stage(classifier: Classifier) -> str:
    """The stage whose maps are averaged by the head; `UserError` where CAM is not defined."""
    stages = dict(classifier.chain.stages)
    names = list(stages)
    pools = [name for name in names if isinstance(stages[name], GlobalAveragePool)]
    behind = [name for name in names[names.index(pools[-1]) + 1 :] if name in classifier.params] if pools else []
    if not pools or len(behind) > 1:
        raise UserError(
            "cam needs a head that ends in global average pooling and at most one dense layer; use grad_cam"
        )
    return names[names.index(pools[-1]) - 1]


def cam_weights(classifier: Classifier, params: Mapping[str, Any]) -> Float32[Array, "c k"]:
    """The linear layer behind the pooling; the identity where the pooled maps are the classes' own."""
    names = classifier.chain.names
    behind = [name for name in names[names.index(cam_stage(classifier)) + 1 :] if name in params]
    return params[behind[0]]["kernel"] if behind else jnp.eye(len(classifier.class_names))


def explain_program(classifier: Classifier, request: Request) -> Callable[..., dict[str, Array]]:
    """`program(params, images, labels)`, pure and ready for `jit`: the store's arrays for a batch.

    The methods are written independently; XLA merges their common forward pass.
    """
    chain, stage = classifier.chain, str(request.stage)

    def program(
        params: Mapping[str, Any], images: UInt8[Array, "n h w 3"], labels: Int[Array, " n"]
    ) -> dict[str, Array]:
        activations = classifier.apply(params, images, stop=stage)

        def head(values):
            return chain.apply(params, values, start=stage)

        logits = head(activations).astype(jnp.float32)
        targets = choose_targets(request, classifier.class_names, logits, labels)
        raw = {}
        if "cam" in request.methods:
            maps = classifier.apply(params, images, stop=cam_stage(classifier))
            raw["cam"] = attribution.cam(maps, cam_weights(classifier, params), targets)
        if "grad_cam" in request.methods:
            raw["grad_cam"] = attribution.grad_cam(head, activations, targets, relu=False)
        scores = jnp.take_along_axis(logits, targets, axis=1)
        shares = jnp.take_along_axis(jax.nn.softmax(logits), targets, axis=1)
        flags = [flags_of(raw[method], shares) for method in request.methods]
        out = {}
        for method in request.methods:
            maps = jax.nn.relu(raw[method]) if method == "grad_cam" else raw[method]
            maps = jnp.clip(maps, float(HALF.min), float(HALF.max)).astype(jnp.float16)
            out[method] = maps if request.targets == "all" else maps[:, 0]
        return out | {"logits": logits, "targets": targets, "scores": scores, "flags": jnp.stack(flags, axis=1)}

    return program


def compiled_program(classifier: Classifier, request: Request) -> Callable[..., dict[str, Array]]:
    """The jitted `explain_program`, the same object for the same network and request, so that it compiles once."""
    return _compiled(classifier.network, classifier.preprocessing, classifier.class_names, request)


@lru_cache(maxsize=32)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...], request: Request):
    # The program takes the parameters as an argument; here only their names and shapes are needed.
    names_only = Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)
    return jax.jit(explain_program(names_only, request))


def choose_targets(
    request: Request, class_names: tuple[str, ...], logits: Float32[Array, "n k"], labels: Int[Array, " n"]
) -> Int[Array, "n t"]:
    """Class of each map; images without a known label are explained for the predicted class."""
    predicted = logits.argmax(-1).astype(jnp.int32)
    if request.targets == "all":
        return jnp.broadcast_to(jnp.arange(len(class_names), dtype=jnp.int32), logits.shape)
    if request.targets == "true":
        return jnp.where(labels >= 0, labels.astype(jnp.int32), predicted)[:, None]
    if request.targets == "predicted":
        return predicted[:, None]
    return jnp.full((logits.shape[0], 1), class_names.index(request.targets), jnp.int32)


def flags_of(raw: Float32[Array, "n t h w"], shares: Float32[Array, "n t"]) -> UInt8[Array, "n t"]:
    """What is odd about a map: see the constants; `raw` is before ReLU."""
    peak = jnp.abs(raw).max((2, 3))
    finite = jnp.isfinite(raw).all((2, 3))
    bits = {
        ALL_NEGATIVE: finite & (raw.max((2, 3)) <= 0) & (peak > 0),
        ZERO: peak == 0,
        NON_FINITE: ~finite,
        SATURATED: shares >= SATURATION,
        OUT_OF_RANGE: finite & ((peak > float(HALF.max)) | ((peak > 0) & (peak < float(HALF.tiny)))),
    }
    zero = jnp.zeros(peak.shape, jnp.uint8)
    for bit, is_set in bits.items():
        zero = zero | jnp.where(is_set, jnp.uint8(bit), jnp.uint8(0))
    return zero


def explain_images(
    classifier: Classifier,
    pixels: UInt8[np.ndarray, "n h w 3"],
    *,
    methods: tuple[str, ...],
    targets: str | Int[np.ndarray, " n"],
    stage: str | None,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Maps by method for images in memory, float32; `targets` as in `Request`, or one class index an image."""
    given = not isinstance(targets, str)
    request = Request(methods=methods, targets="true" if given else str(targets), stage=stage).checked(classifier)
    labels = np.asarray(targets, np.int32) if given else np.full(len(pixels), -1, np.int32)
    classes = len(classifier.class_names)
    if labels.shape != (len(pixels),) or (given and not ((labels >= 0) & (labels < classes)).all()):
        raise UserError(f"targets must be {len(pixels)} class numbers in 0..{classes - 1}, got {labels}")
    if not given and targets == "true":
        raise UserError('targets="true" needs labels; pass the class numbers as targets')
    program = compiled_program(classifier, request)
    size = devices.padded(min(batch_size, max(1, len(pixels))))
    parts: dict[str, list[np.ndarray]] = {method: [] for method in methods}
    for first in range(0, len(pixels), size):
        chunk, marks = pixels[first : first + size], labels[first : first + size]
        padded = (devices.pad_rows(chunk, size), devices.pad_rows(marks, size))
        out = program(devices.replicate(classifier.params), *devices.shard(padded))
        for method in methods:
            parts[method].append(np.asarray(out[method], np.float32)[: len(chunk)])
    return {method: np.concatenate(values) for method, values in parts.items()}
