"""M17: does an answer hang on how sharp the picture is as a whole, instead of what is shown?

Compression, resolution and noise are everywhere in a picture: no mask hides them. Here each picture borrows the fine
detail of another one, of its own class or of another: how much there is at each scale. What is shown and where stays. A
model that reads the content answers alike either way; the difference is the sign. The mean colour is borrowed likewise,
and shown only: whether a tint or the thing itself has the colour cannot be told without masks.
"""

import itertools
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.fft import dctn, idctn
from jaxtyping import Array, Bool, Float32, Int32, UInt8

from jaxcam import devices
from jaxcam.audit.model.context import Context, by_class, thumbnails
from jaxcam.audit.model.intervals import bootstrap, class_means, percent
from jaxcam.audit.signals import Figure, Signal
from jaxcam.classifier import Classifier
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing

NAME = "another picture's sharpness"
EDGES = (0.12, 0.18, 0.25, 0.32, 0.4)
"""cycles a pixel at which fine detail begins, and one scale ends and the next begins"""
DEPTH = 2
"""batches under way"""
MOST = 8.0
"""factor by which the detail of a scale is raised or lowered at most"""
Pictures = Float32[Array, "n h w 3"]


def bands(size: tuple[int, int]) -> Float32[np.ndarray, "b h w"]:
    """Which cosine coefficients belong to which scale of fine detail; coarse ones and the mean belong to none."""
    radius = np.hypot(np.arange(size[0])[:, None] / (2 * size[0]), np.arange(size[1])[None] / (2 * size[1]))
    found = [(radius >= low) & (radius < high) for low, high in itertools.pairwise((*EDGES, 1.0))]
    masks = [band for band in found if band.any()]
    return np.stack(masks).astype(np.float32) if masks else np.zeros((0, *size), np.float32)


def with_detail(pictures: Pictures, lender: Pictures) -> Pictures:
    """Pictures (0..255) with as much fine detail as others have, for each scale and channel.

    The pattern within a scale stays. Cosine waves, not Fourier's: a picture's left and right border differ, and that
    jump would count as detail.
    """
    return reshaped(waves(pictures), energy(waves(lender)))


def waves(pictures: Pictures) -> Pictures:
    """The cosine transform of each channel."""
    return dctn(pictures, axes=(1, 2), norm="ortho")


def energy(found: Pictures) -> Float32[Array, "n b c"]:
    """How much detail of each scale the waves hold."""
    masks = jnp.asarray(bands((found.shape[1], found.shape[2])))
    return jnp.einsum("nhwc,bhw->nbc", found**2, masks)


def reshaped(own: Pictures, other: Float32[Array, "n b c"]) -> Pictures:
    """The pictures of some waves with as much detail of each scale as `other` says."""
    size = (own.shape[1], own.shape[2])
    floor = 1e-3 * size[0] * size[1]
    gain = jnp.clip(jnp.sqrt((other + floor) / (energy(own) + floor)), 1 / MOST, MOST)
    factors = 1 + jnp.einsum("nbc,bhw->nhwc", gain - 1, jnp.asarray(bands(size)))
    return jnp.clip(idctn(own * factors, axes=(1, 2), norm="ortho"), 0, 255)


def with_colour(pictures: Pictures, lender: Pictures) -> Pictures:
    """Pictures (0..255) with the mean colour of others."""
    return jnp.clip(pictures + (lender - pictures).mean((1, 2), keepdims=True), 0, 255)


@lru_cache(maxsize=16)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...]) -> Any:
    chain = Classifier(network, {}, preprocessing, class_names).chain

    def program(
        params, images: UInt8[Array, "n h w 3"], lenders: UInt8[Array, "n p h w 3"], colours: Bool[Array, ""]
    ) -> Int32[Array, "n q"]:
        pictures = images.astype(jnp.float32)
        own = waves(pictures)

        def answer(found, turn):
            lender = lenders[:, order[turn]].astype(jnp.float32)
            changed = jax.lax.cond(
                turn < 2 * each, lambda: reshaped(own, energy(waves(lender))), lambda: with_colour(pictures, lender)
            )
            answers = chain.apply(params, preprocessing.normalise(changed)).argmax(-1).astype(jnp.int32)
            return found.at[turn].set(answers)

        # Detail of all lenders, then, where it is asked for, colour of the first of each kind.
        each = lenders.shape[1] // 2
        order = jnp.asarray([*range(2 * each), 0, each])
        last = jnp.where(colours, 2 * each + 2, 2 * each).astype(jnp.int32)
        unasked = jnp.full((2 * each + 2, len(images)), -1, jnp.int32)
        return jax.lax.fori_loop(jnp.int32(0), last, lambda turn, found: answer(found, turn), unasked).T

    return jax.jit(program)


def borrowed_detail(context: Context) -> Signal:
    """M17: accuracy with the fine detail of a picture of the own class, minus that with another class' picture's."""
    if reason := context.problem():
        return context.inapplicable("M17", NAME, reason)
    measured, classifier = context.measured, context.subject.classifier
    pairs, labels, pixels = measured.pairs, measured.labels, measured.sample.pixels
    lenders = np.concatenate([pairs.same, pairs.other], axis=1)
    part = measured.part
    answers = _answers(classifier, pixels, np.maximum(lenders, 0), part, context.subject.options.batch_size)
    each = pairs.same.shape[1]
    right = answers == labels[:, None]
    same, other, colours = right[:, :each], right[:, each : 2 * each], right[:, 2 * each :]
    lent = labels[np.maximum(pairs.other, 0)]
    wins = answers[:, each : 2 * each] == lent
    arms = np.stack([same.mean(1), other.mean(1), wins.mean(1)], 1).astype(np.float64)
    own, another, lender_wins = class_means(arms, labels, context.classes).tolist()
    own_colour, other_colour = class_means(colours[part].astype(np.float64), labels[part], context.classes).tolist()
    interval = bootstrap(
        arms,
        labels,
        context.classes,
        lambda means: means[:, 0] - means[:, 1],
        seed=measured.settings.seed,
        bounds=(-1.0, 1.0),
    )
    examples = context.examples(measured.right & same[:, 0] & wins[:, 0] & ~other[:, 0])
    gaps = [(arms[labels == c, 0] - arms[labels == c, 1]).mean() for c in context.classes]
    return context.signal(
        "M17",
        NAME,
        own - another,
        interval=interval,
        sentence=(
            f"As sharp as another picture of its class a picture is recognised in {percent(own)} of the cases, as "
            f"sharp as one of another class in {percent(another)}; the class that lent its sharpness wins in "
            f"{percent(lender_wins)} ({context.of}{context.left_out()})."
        ),
        images=context.paths(examples),
        details={
            "accuracy_own_detail": own,
            "accuracy_other_detail": another,
            "lender_wins": lender_wins,
            "accuracy_own_colour": own_colour,
            "accuracy_other_colour": other_colour,
            "gap_by_class": by_class(context.names, context.classes, gaps),
            "forwards": int((answers >= 0).sum()),
        },
        figures={
            "original": context.pictures(None, examples),
            "other_detail": _shown(context, examples, pairs.other[examples, 0], answers[examples, each]),
        },
    )


def _answers(
    classifier: Classifier,
    pixels: UInt8[np.ndarray, "n h w 3"],
    lenders: np.ndarray,
    part: Bool[np.ndarray, " n"],
    batch_size: int,
) -> np.ndarray:
    """(n, q) the class that is answered with each lender's look, colours for a part; batches of one shape."""
    # The part stands together, so that few batches ask for colours.
    order = np.argsort(~part, kind="stable")
    count = len(pixels)
    size = devices.padded(min(batch_size, max(1, count)))
    program = _compiled(classifier.network, classifier.preprocessing, classifier.class_names)
    params, parts = devices.replicate(classifier.params), []
    for first in range(0, count, size):
        rows = order[first : first + size]
        batch = (devices.pad_rows(array, size) for array in (pixels[rows], pixels[lenders[rows]]))
        parts.append(program(params, *devices.shard(tuple(batch)), part[rows].any()))
        if len(parts) > DEPTH:
            parts[-1 - DEPTH] = np.asarray(parts[-1 - DEPTH])
    answers = np.concatenate([np.asarray(found) for found in parts])[:count][np.argsort(order)]
    answers[~part, lenders.shape[1] :] = -1
    return answers


def _shown(context: Context, places: np.ndarray, lenders: np.ndarray, answers: np.ndarray) -> Figure:
    pixels, names = context.measured.sample.pixels, context.names
    if not len(places):
        return Figure(thumbnails(pixels[:0]), "picture", ())
    changed = with_detail(
        jnp.asarray(pixels[places], jnp.float32), jnp.asarray(pixels[np.maximum(lenders, 0)], jnp.float32)
    )
    captions = tuple(
        f"{names[label]} as sharp as {names[lent]}: called {names[answer]}"
        for label, lent, answer in zip(
            context.measured.labels[places], context.measured.labels[np.maximum(lenders, 0)], answers, strict=True
        )
    )
    return Figure(thumbnails(np.asarray(jnp.rint(changed)).astype(np.uint8)), "picture", captions)
