"""Fixed scenes: the median picture of a class shows what stands behind, without any mask.

Where it does (most of a picture equals its class' median), the model is asked about the empty scene (M7), the heat is
compared with what is new in the picture (M8), and the new part is put before another class' scene (M16).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from jaxcam.audit.model.context import Context, by_class, thumbnails
from jaxcam.audit.model.intervals import bootstrap, percent
from jaxcam.audit.model.measured import FEW
from jaxcam.audit.model.variants import NOVEL, shares
from jaxcam.audit.sample import Sample
from jaxcam.audit.signals import Figure, Signal

STATIC = 0.5
"""a scene is fixed where at most this share of a picture differs from its class' median"""
EMPTY = 0.01
"""pictures of a class that differ in less than this show the scene alone: a background class"""
SHARED = 0.05
"""scenes of two classes that differ in less than this are one scene"""
MEDIAN_OF = 101
"""pictures of a class that the median is taken of, at most"""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Median pictures by class, and how much of each picture is new against its own."""

    medians: UInt8[np.ndarray, "k h w 3"]
    classes: tuple[int, ...]
    """classes that have a median"""
    new: Float[np.ndarray, "n"]
    """share of each picture that is new; NaN without a median"""
    rival: np.ndarray
    """(n,) a class with another scene for each picture; its own where there is none"""

    def mean_new(self) -> float:
        """Mean share that is new."""
        return float(np.nanmean(self.new)) if np.isfinite(self.new).any() else 1.0


def find_scenes(found: Sample, classes: int, seed: int) -> Scenes:
    """The median pictures of a sample's classes."""
    size = found.pixels.shape[1:]
    few = [c for c, count in found.counts.items() if count >= FEW]
    medians = np.zeros((classes, *size), np.uint8)
    new = np.full(len(found), np.nan)
    for c in few:
        own = np.flatnonzero(found.labels == c)
        medians[c] = np.median(found.pixels[own[:: -(-len(own) // MEDIAN_OF)]], axis=0).astype(np.uint8)
        for place in own.tolist():
            new[place] = novelty(found.pixels[place], medians[c]).mean()
    empty = {c for c in few if new[found.labels == c].mean() < EMPTY}
    generator, rival = np.random.default_rng([seed, 0x5C]), found.labels.astype(np.int64)
    for c in few:
        others = [o for o in few if o != c and o not in empty and novelty(medians[o], medians[c]).mean() >= SHARED]
        if others:
            rival[found.labels == c] = generator.choice(others, int((found.labels == c).sum()))
    return Scenes(medians, tuple(few), new, rival)


def novelty(picture: UInt8[np.ndarray, "h w 3"], scene: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    """Where a picture differs from a scene, (h, w)."""
    return np.abs(picture.astype(np.int16) - scene).max(-1) > NOVEL


def moving(scenes: Scenes, context: Context) -> list[int]:
    """Tested classes whose pictures show more than the scene."""
    labels = context.measured.labels
    return [c for c in context.classes if np.nanmean(scenes.new[labels == c]) >= EMPTY]


def reason(scenes: Scenes, context: Context) -> str:
    """Why tests with fixed scenes do not apply; empty where they do."""
    if problem := context.problem():
        return problem
    if scenes.mean_new() > STATIC:
        return (
            f"the scene is not fixed: {percent(scenes.mean_new())} of a picture differs from its class' median picture"
        )
    if len(moving(scenes, context)) < 2:
        return "fewer than two classes show anything before their scene"
    return ""


def empty_scene(context: Context, scenes: Scenes) -> Signal:
    """M7: the least probability that a class' median picture, the empty scene, is given for that class."""
    name = "class-median picture"
    if why := reason(scenes, context):
        return context.inapplicable("M7", name, why)
    classes = moving(scenes, context)
    classifier = context.subject.classifier
    pixels = scenes.medians[classes]
    logits = np.concatenate([np.asarray(classifier.logits(pixels[i : i + 1])) for i in range(len(pixels))])
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chances = (shifted / shifted.sum(1, keepdims=True))[np.arange(len(classes)), classes]
    shown = ", ".join(
        f"{context.names[c]} {percent(float(p))}" for c, p in list(zip(classes, chances, strict=True))[:6]
    )
    return context.signal(
        "M7",
        name,
        float(chances.min()),
        sentence=(
            f"Shown the median picture of a class, the scene without the object, the model gives that class the "
            f"probability {shown}."
        ),
        details={"probability": by_class(context.names, classes, chances.tolist()), "new_share": scenes.mean_new()},
        figures={
            "medians": Figure(thumbnails(pixels), "picture", tuple(context.names[c] for c in classes)),
        },
    )


def novelty_lift(context: Context, scenes: Scenes) -> Signal:
    """M8: how much more heat lies on what is new in a picture than an even map would have there."""
    name = "heat on what is new"
    if why := reason(scenes, context):
        return context.inapplicable("M8", name, why)
    measured, classes = context.measured, moving(scenes, context)
    grid = measured.maps.shape[1:]
    rows, columns = (shares(length, cells) for length, cells in zip(scenes.medians.shape[1:3], grid, strict=True))
    lifts = np.full(len(measured.labels), np.nan)
    for place, label in enumerate(measured.labels.tolist()):
        total = float(measured.maps[place].sum())
        if label in classes and total > 0 and scenes.new[place] > 0:
            new = rows.T @ novelty(measured.sample.pixels[place], scenes.medians[label]).astype(np.float32) @ columns
            lifts[place] = float((measured.maps[place] / total * new).sum() / new.mean())
    known = np.isfinite(lifts)
    used = [c for c in classes if (known & (measured.labels == c)).any()]
    if not used:
        return context.inapplicable("M8", name, "no picture has both heat and anything new")
    # Means of finite values only: pictures without heat drop out.
    values, labels = lifts[known][:, None], measured.labels[known]
    value = float(np.mean([values[labels == c].mean() for c in used]))
    examples = context.examples(known)
    return context.signal(
        "M8",
        name,
        value,
        interval=bootstrap(
            values, labels, used, lambda means: means[:, 0], seed=measured.settings.seed, bounds=(0, np.inf)
        ),
        count=int(known.sum()),
        sentence=(
            f"What is new in a picture against its class' median has {value:.2f} times the heat that an even map would "
            f"give it ({int(known.sum())} maps; {percent(scenes.mean_new())} of a picture is new)."
        ),
        images=context.paths(examples),
        details={
            "new_share": scenes.mean_new(),
            "lift_by_class": by_class(context.names, used, [values[labels == c].mean() for c in used]),
        },
        figures={
            "original": context.pictures(None, examples),
            "maps": Figure(measured.maps[examples], "heat", context.pictures(None, examples).labels),
        },
    )


def scene_swap(context: Context, scenes: Scenes) -> Signal:
    """M16: accuracy with the new part before its own class' median minus that before another class' median."""
    name = "before another class' scene"
    if why := reason(scenes, context):
        return context.inapplicable("M16", name, why)
    measured = context.measured
    swapped = (
        (scenes.rival != measured.labels) & (scenes.new <= STATIC) & np.isin(measured.labels, moving(scenes, context))
    )
    classes = [c for c in context.classes if (swapped & (measured.labels == c)).sum() >= FEW]
    if len(classes) < 2:
        return context.inapplicable("M16", name, "the classes share one scene: there is no other to exchange it for")
    labels = measured.labels
    own, other = measured.arm("scene_own") == labels, measured.arm("scene_other") == labels
    arms = np.stack([own, other], 1).astype(np.float64)[swapped]
    taken = labels[swapped]
    before, after = (float(np.mean([arms[taken == c, arm].mean() for c in classes])) for arm in (0, 1))
    if before < context.chance + 0.2:
        return context.inapplicable(
            "M16", name, f"put before its own class' scene a picture is recognised in {percent(before)} only"
        )
    examples = context.examples(swapped & own & ~other)
    return context.signal(
        "M16",
        name,
        before - after,
        interval=bootstrap(
            arms,
            taken,
            classes,
            lambda means: means[:, 0] - means[:, 1],
            seed=measured.settings.seed,
            bounds=(-1.0, 1.0),
        ),
        count=int(np.isin(taken, classes).sum()),
        sentence=(
            f"What is new in a picture is recognised before the median picture of its own class in {percent(before)} "
            f"of the cases, before that of another class in {percent(after)} ({context.of}{context.left_out()})."
        ),
        images=context.paths(examples),
        details={"accuracy_own_scene": before, "accuracy_other_scene": after, "new_share": scenes.mean_new()},
        figures={
            "original": context.pictures(None, examples),
            "own_scene": context.pictures("scene_own", examples),
            "other_scene": context.pictures("scene_other", examples),
        },
    )
