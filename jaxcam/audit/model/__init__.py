"""Does the model use a shortcut? Tests of the model that need no masks: M1 to M16 of the audit's table."""

from collections.abc import Callable

import numpy as np

from jaxcam.audit.model import alike, certainty, clusters, hiding, inputs, occluded, places, regions, scenes, style
from jaxcam.audit.model.context import Context
from jaxcam.audit.model.measured import Measured, measure
from jaxcam.audit.model.program import settings_for, with_scenes
from jaxcam.audit.sample import Sample, tested
from jaxcam.audit.signals import Signal, not_applicable
from jaxcam.audit.subject import Subject
from jaxcam.audit.whole_set import whole_set
from jaxcam.progress import Progress

__all__ = ["NAMES", "Measured", "forwards", "signals"]

NAMES = {
    "M1": "border-only retention",
    "M2": "centre/ring swap gap",
    "M3": "hiding the hottest 20 %",
    "M4": "peak of the mean maps",
    "M5": "likeness of the maps of a class",
    "M6": "retention of shuffled pictures",
    "M7": "class-median picture",
    "M8": "heat on what is new",
    "M9": "collapse and preprocessing",
    "M10": "calibration",
    "M11": "mean maps of training and audited pictures",
    "M12": "explainer sanity",
    "M13": "clusters of maps",
    "M14": "dead model",
    "M15": "whole-set occlusion map",
    "M16": "before another class' scene",
    "M17": style.NAME,
}


def signals(subject: Subject, *, progress: Progress) -> list[Signal]:
    """What the model layer finds, M1 to M16 in order; tests that do not apply say why.

    Everything that changes pictures runs on a sample (`options.per_class`, `options.samples`): 17 forward passes a
    picture, 19 where the scene is fixed, and the windows of at most 64 pictures.
    """
    found = tested(subject, progress=progress)
    if not len(found):
        reason = f"no picture of {subject.audited.name} can be read and has a class of the classifier"
        return [not_applicable(id, name, "model", reason) for id, name in NAMES.items()]
    context, fixed = look(subject, found, progress)
    parts: list[Callable[[], Signal]] = [
        lambda: regions.border_only(context),
        lambda: regions.swapped_borders(context),
        lambda: hiding.hottest_hidden(context),
        lambda: places.peak_share(context),
        lambda: alike.correlation(context),
        lambda: regions.shuffled(context),
        lambda: scenes.empty_scene(context, fixed),
        lambda: scenes.novelty_lift(context, fixed),
        lambda: inputs.collapse(context),
        lambda: certainty.calibration(context),
        lambda: places.consistency(context),
        lambda: alike.sanity(context),
        lambda: clusters.clusters(context),
        lambda: inputs.dead(context),
        lambda: occluded.occlusion_map(context),
        lambda: scenes.scene_swap(context, fixed),
        lambda: style.borrowed_detail(context),
    ]
    return [part() for part in parts]


def look(subject: Subject, found: Sample, progress: Progress) -> tuple[Context, scenes.Scenes]:
    """The measurements on a sample that the tests share."""
    options, classifier = subject.options, subject.classifier
    colour = found.pixels.reshape(-1, 3).mean(0, dtype=np.float64).astype(np.float32)
    settings = settings_for(classifier, options.method, options.stage, options.seed)
    fixed = scenes.find_scenes(found, len(classifier.class_names), options.seed)
    pasted = None
    if fixed.mean_new() <= scenes.STATIC:
        settings = with_scenes(settings)
        pasted = np.stack([fixed.medians[found.labels], fixed.medians[fixed.rival]], 1)
    measured = measure(
        classifier, found, settings, colour=colour, scenes=pasted, batch_size=options.batch_size, progress=progress
    )
    context = Context(subject, measured, colour, pasted, progress)
    if options.whole_set:
        every = whole_set(
            classifier, subject.audited, settings, colour=colour, batch_size=options.batch_size, progress=progress
        )
        context.shared["audited"] = every
        if np.sum(every.count) >= len(found):
            context.shared["sums"] = every
    return context, fixed


def forwards(subject: Subject, found: Sample, *, arms: int) -> int:
    """Pictures that go through the network: a sample's copies, windows, training maps, and the whole set's pass."""
    windows = occluded.windows_of(subject.classifier.preprocessing.size) * min(occluded.PICTURES, len(found))
    trained = 0 if subject.train is None else min(places.TRAIN_MAPS, len(subject.train))
    whole = len(subject.audited) if subject.options.whole_set else 0
    return len(found) * (1 + arms) + windows + trained + whole
