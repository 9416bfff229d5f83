"""What hiding each place of the picture costs over the whole sample, by class: where a mark stands, it shows here."""

from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64

from jaxcam import devices
from jaxcam.attribution.perturbation.global_occlusion import GlobalOcclusion, global_maps, occlusion_totals
from jaxcam.attribution.perturbation.occlusion import grid_for, occluded_logits
from jaxcam.attribution.perturbation.windows import window_grid
from jaxcam.audit.model.context import Context, by_class
from jaxcam.audit.model.intervals import percent
from jaxcam.audit.model.places import place_words
from jaxcam.audit.sample import Sample
from jaxcam.audit.signals import Figure, Signal
from jaxcam.classifier import Classifier
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

PICTURES = 64
"""pictures that it is made of"""
WINDOW = 4
"""a window's side is this part of the picture's, its step three quarters of that"""
BATCH = 16
SHOWN_CLASSES = 50


def window_for(size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Window and step for pictures of a size."""
    window = (max(1, size[0] // WINDOW), max(1, size[1] // WINDOW))
    return window, (max(1, window[0] * 3 // 4), max(1, window[1] * 3 // 4))


def windows_of(size: tuple[int, int]) -> int:
    """Number of windows of a picture."""
    return window_grid(size, *window_for(size)).count


def whole_map(
    classifier: Classifier, found: Sample, colour: np.ndarray, *, batch_size: int, progress: Progress
) -> GlobalOcclusion:
    """The maps over a sample: accuracy lost by window, and by class and window."""
    size = devices.padded(min(batch_size, BATCH, max(1, len(found))))
    step = _compiled(classifier.network, classifier.preprocessing, classifier.class_names)
    params, shade = devices.replicate((classifier.params, np.asarray(colour, np.float32)))
    totals = None
    firsts = range(0, len(found), size)
    for first in progress.over(firsts, len(firsts), "audit: hiding windows"):
        part = slice(first, first + size)
        labels = np.full(size, -1, np.int32)
        labels[: len(found.labels[part])] = found.labels[part]
        sums = step(params, *devices.shard((devices.pad_rows(found.pixels[part], size), labels)), shade)
        totals = sums if totals is None else totals + sums
    if totals is None:
        raise ValueError("there are no pictures to hide parts of")
    return global_maps(totals)


@lru_cache(maxsize=16)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...]) -> Any:
    names_only = Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)
    window, stride = window_for(preprocessing.size)

    def step(params, images, labels, colour):
        inputs = preprocessing.normalise(images)
        fill = preprocessing.normalise(colour[None, None, None])[0, 0, 0]
        grid = grid_for(inputs, window, stride)
        function = lambda values: names_only.chain.apply(params, values)
        return occlusion_totals(*occluded_logits(function, inputs, grid, fill), labels)

    return jax.jit(step)


def occlusion_map(context: Context) -> Signal:
    """M15: the largest share of a class' pictures that is lost when one place of every picture is hidden."""
    name = "whole-set occlusion map"
    if reason := context.problem():
        return context.inapplicable("M15", name, reason)
    measured, subject = context.measured, context.subject
    places = np.sort(context.examples(context.tested, most=PICTURES))
    found = whole_map(
        subject.classifier,
        measured.sample.take(places),
        context.colour,
        batch_size=subject.options.batch_size,
        progress=context.progress,
    )
    lost = found.accuracy_lost_by_class[context.classes]
    at_border = border_of(lost)
    place, row, column = (int(i) for i in np.unravel_index(int(at_border.argmax()), lost.shape))
    value, label = float(lost[place, row, column]), context.classes[place]
    rows, columns = lost.shape[1:]
    where = place_words(row / max(1, rows - 1), column / max(1, columns - 1))
    shown = context.classes[:SHOWN_CLASSES]
    windows = rows * columns
    context.shared["windows_hidden"] = len(places) * windows
    return context.signal(
        "M15",
        name,
        value,
        interval=lost_interval(value, int((measured.labels[places] == label).sum())),
        count=len(places),
        sentence=(
            f"Of all windows of a sixteenth of the picture at the border, the one at the {where} costs class "
            f"{context.names[label]} the most: {percent(value)} of its pictures are lost ({len(places)} pictures)."
        ),
        details={
            "place": where,
            "class": context.names[label],
            "window": [row, column],
            "z": float(found.z[row, column]),
            "largest_by_class": by_class(context.names, context.classes, [m.max() for m in lost]),
            "balanced_accuracy_lost": float(found.balanced_accuracy_lost.max()),
        },
        figures={
            "lost_by_class": Figure(
                found.accuracy_lost_by_class[shown].astype(np.float32), "signed", tuple(context.names[c] for c in shown)
            ),
            "lost": Figure(found.balanced_accuracy_lost.astype(np.float32), "signed"),
            "drop_by_class": Figure(
                found.drop_by_class[shown].astype(np.float32), "signed", tuple(context.names[c] for c in shown)
            ),
        },
    )


def border_of(lost: Float64[np.ndarray, "k gh gw"]) -> Float64[np.ndarray, "k gh gw"]:
    """The windows that touch the border; the others as low as can be."""
    border = np.ones(lost.shape[1:], bool)
    border[1:-1, 1:-1] = False
    return np.where(border & np.isfinite(lost), lost, -1.0)


def lost_interval(value: float, count: int) -> tuple[float, float]:
    """95 % interval of a net loss of pictures, from the Wilson interval of the lost ones."""
    from jaxcam.metrics import wilson

    low, high = wilson(round(max(0.0, value) * count), count)
    return (min(low, value), max(high, value))
