"""What is left of the answers without the middle, with another picture's border, and with the parts mixed up."""

import numpy as np

from jaxcam.audit.model.context import Context, by_class, class_share
from jaxcam.audit.model.intervals import bootstrap, percent
from jaxcam.audit.model.variants import SIDE
from jaxcam.audit.signals import Signal

HALF = f"{percent(SIDE * SIDE)} of the area"


def border_only(context: Context) -> Signal:
    """M1: how much of the accuracy above chance is left when the middle of every picture is filled with one colour."""
    name = "border-only retention"
    if reason := context.problem():
        return context.inapplicable("M1", name, reason)
    measured = context.measured
    kept = measured.arm("ring") == measured.labels
    value, interval = retention(context, kept)
    ring, middle = context.accuracy(measured.arm("ring")), context.accuracy(measured.arm("middle"))
    examples = context.examples(kept & measured.right)
    return context.signal(
        "M1",
        name,
        value,
        interval=interval,
        sentence=(
            f"With the middle of every picture erased ({HALF}) the model is right in {percent(ring)} of the cases, "
            f"with everything in {percent(context.base)}, by guessing in {percent(context.chance)} "
            f"({context.of}{context.left_out()})."
        ),
        images=context.paths(examples),
        details={
            "accuracy": context.base,
            "accuracy_border_only": ring,
            "accuracy_middle_only": middle,
            "chance": context.chance,
            "accuracy_border_only_by_class": by_class(
                context.names, context.classes, class_share(kept, measured.labels, context.classes)
            ),
        },
        figures={"original": context.pictures(None, examples), "border_only": context.pictures("ring", examples)},
    )


def retention(
    context: Context, kept: np.ndarray, asked: slice | np.ndarray = slice(None)
) -> tuple[float, tuple[float, float]]:
    """The share of the accuracy above chance that is kept by the pictures asked, with its interval."""
    measured, chance = context.measured, context.chance
    both, labels = np.stack([kept, measured.right], 1).astype(np.float64)[asked], measured.labels[asked]

    def ratio(means):
        known = means[..., 1] - chance
        return np.where(known > 1e-9, (means[..., 0] - chance) / np.where(known > 1e-9, known, 1), np.nan)

    value = (context_mean(context, kept.astype(float), asked) - chance) / (context.base - chance)
    bounds = (-np.inf, max(1.0, value))
    interval = bootstrap(both, labels, context.classes, ratio, seed=measured.settings.seed, bounds=bounds)
    return value, interval


def context_mean(context: Context, values: np.ndarray, asked: slice | np.ndarray = slice(None)) -> float:
    """Mean over the classes of each class' mean over the pictures asked."""
    values, labels = values[asked], context.measured.labels[asked]
    return float(np.mean([values[labels == c].mean() for c in context.classes]))


def swapped_borders(context: Context) -> Signal:
    """M2: accuracy with a border of the own class minus that with a border of another class, the middle unchanged."""
    name = "centre/ring swap gap"
    if reason := context.problem():
        return context.inapplicable("M2", name, reason)
    measured = context.measured
    labels = measured.labels[:, None]
    same, other = (measured.arms(kind) == labels for kind in ("same", "other"))
    ring = measured.labels[np.maximum(measured.pairs.other, 0)]
    wins = measured.arms("other") == ring
    arms = np.stack([same.mean(1), other.mean(1), wins.mean(1)], 1)
    own_border, other_border, ring_wins = (context_mean(context, values) for values in arms.T)
    interval = bootstrap(
        arms,
        measured.labels,
        context.classes,
        lambda means: means[:, 0] - means[:, 1],
        seed=measured.settings.seed,
        bounds=(-1.0, 1.0),
    )
    examples = context.examples(measured.right & same[:, 0] & wins[:, 0] & ~other[:, 0])
    gaps = [(arms[measured.labels == c, 0] - arms[measured.labels == c, 1]).mean() for c in context.classes]
    return context.signal(
        "M2",
        name,
        own_border - other_border,
        interval=interval,
        sentence=(
            f"With its middle unchanged and the border of another picture of its class a picture is recognised in "
            f"{percent(own_border)} of the cases, with the border of another class in {percent(other_border)}; the "
            f"border's class wins in {percent(ring_wins)} ({context.of}{context.left_out()})."
        ),
        images=context.paths(examples),
        details={
            "accuracy_own_border": own_border,
            "accuracy_other_border": other_border,
            "ring_wins": ring_wins,
            "gap_by_class": by_class(context.names, context.classes, gaps),
        },
        figures={
            "original": context.pictures(None, examples),
            "own_border": context.pictures("same_0", examples),
            "other_border": context.pictures("other_0", examples),
        },
    )


def shuffled(context: Context) -> Signal:
    """M6: how much of the accuracy above chance is left when the picture is cut into tiles and mixed up; shown only."""
    name = "retention of shuffled pictures"
    if reason := context.problem():
        return context.inapplicable("M6", name, reason)
    kept, part = context.measured.arm("shuffled") == context.measured.labels, context.measured.part
    value, interval = retention(context, kept, part)
    mean = context_mean(context, kept.astype(float), part)
    return context.signal(
        "M6",
        name,
        value,
        judged=False,
        interval=interval,
        count=int((context.tested & part).sum()),
        sentence=(
            f"Cut into 4 x 4 tiles and mixed up, {percent(mean)} of the pictures "
            f"are still recognised ({percent(context.base)} before): how much the model works with texture and colour "
            "alone. Honest models keep much of it too."
        ),
    )
