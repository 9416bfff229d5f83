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
from jaxtyping import Array, Float32, UInt8

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
    masks = jnp.asarray(bands((pictures.shape[1], pictures.shape[2])))
    own, other = (dctn(values, axes=(1, 2), norm="ortho") for values in (pictures, lender))
    energy = lambda waves: jnp.einsum("nhwc,bhw->nbc", waves**2, masks)
    floor = 1e-3 * pictures.shape[1] * pictures.shape[2]
    gain = jnp.sqrt((energy(other) + floor) / (energy(own) + floor))
    factors = 1 + jnp.einsum("nbc,bhw->nhwc", jnp.clip(gain, 1 / MOST, MOST) - 1, masks)
    return jnp.clip(idctn(own * factors, axes=(1, 2), norm="ortho"), 0, 255)


def with_colour(pictures: Pictures, lender: Pictures) -> Pictures:
    """Pictures (0..255) with the mean colour of others."""
    return jnp.clip(pictures + (lender - pictures).mean((1, 2), keepdims=True), 0, 255)


@lru_cache(maxsize=16)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...]) -> Any:
    chain = Classifier(network, {}, preprocessing, class_names).chain

    def program(params, images: UInt8[Array, "n h w 3"], lenders: UInt8[Array, "n p h w 3"]):
        pictures = images.astype(jnp.float32)

        def answer(lender, colour):
            lender = lender.astype(jnp.float32)
            changed = jax.lax.cond(colour, with_colour, with_detail, pictures, lender)
            return chain.apply(params, preprocessing.normalise(changed)).argmax(-1).astype(jnp.int32)

        # Detail of all lenders, then colour of the first of each kind.
        each = lenders.shape[1] // 2
        order = jnp.asarray([*range(2 * each), 0, each])
        colour = jnp.arange(2 * each + 2) >= 2 * each
        parts = jnp.take(jnp.moveaxis(lenders, 1, 0), order, axis=0)
        return jax.lax.map(lambda part: answer(*part), (parts, colour)).T

    return jax.jit(program)


def borrowed_detail(context: Context) -> Signal:
    """M17: accuracy with the fine detail of a picture of the own class, minus that with another class' picture's."""
    if reason := context.problem():
        return context.inapplicable("M17", NAME, reason)
    measured, classifier = context.measured, context.subject.classifier
    pairs, labels, pixels = measured.pairs, measured.labels, measured.sample.pixels
    lenders = np.concatenate([pairs.same, pairs.other], axis=1)
    answers = _answers(classifier, pixels, np.maximum(lenders, 0), context.subject.options.batch_size)
    each = pairs.same.shape[1]
    right = answers == labels[:, None]
    same, other, colours = right[:, :each], right[:, each : 2 * each], right[:, 2 * each :]
    lent = labels[np.maximum(pairs.other, 0)]
    wins = answers[:, each : 2 * each] == lent
    arms = np.stack([same.mean(1), other.mean(1), wins.mean(1), *colours.T], 1).astype(np.float64)
    own, another, lender_wins, own_colour, other_colour = class_means(arms, labels, context.classes).tolist()
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
            "forwards": int(answers.size),
        },
        figures={
            "original": context.pictures(None, examples),
            "other_detail": _shown(context, examples, pairs.other[examples, 0], answers[examples, each]),
        },
    )


def _answers(
    classifier: Classifier, pixels: UInt8[np.ndarray, "n h w 3"], lenders: np.ndarray, batch_size: int
) -> np.ndarray:
    """(n, p) the class that is answered with each lender's look; batches of one shape."""
    count = len(pixels)
    size = devices.padded(min(batch_size, max(1, count)))
    program = _compiled(classifier.network, classifier.preprocessing, classifier.class_names)
    params, parts = devices.replicate(classifier.params), []
    for first in range(0, count, size):
        rows = np.arange(first, min(first + size, count))
        batch = (devices.pad_rows(array, size) for array in (pixels[rows], pixels[lenders[rows]]))
        parts.append(np.asarray(program(params, *devices.shard(tuple(batch))))[: len(rows)])
    return np.concatenate(parts)


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
