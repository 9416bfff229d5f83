"""C3 without counter-examples: objects are put before backgrounds of their own class, and of other classes.

The difference of the two accuracies is the gap between "Mixed-Same" and "Mixed-Rand" of Xiao et al. (2021, "Noise or
signal: the role of image backgrounds in object recognition"). Both arms have the same seams, so these cancel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8

from jaxcam.audit.confirmation.erase import box_around, erased
from jaxcam.audit.confirmation.evidence import SHOWN, Evidence, Objects, Scenes, enough_above_chance, logits_of, spread
from jaxcam.audit.confirmation.shares import ALPHA, below_chance, paired_fall_by_chance, percent, share_of, told
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.composites import paste
from jaxcam.progress import Progress

ID, NAME = "C3p", "objects before other classes' backgrounds"
OWN, RARE = 0.2, 0.05
"""share of a class' pictures from which on a scene is one of its own; below the other it is foreign to the class"""


@dataclass(frozen=True)
class Pasted:
    """Each object before a background of its own class and before one of another class."""

    places: Int[np.ndarray, " m"]
    same: UInt8[np.ndarray, "m h w 3"]
    other: UInt8[np.ndarray, "m h w 3"]
    backgrounds: str
    """where they come from, in words"""


def objects_elsewhere(
    evidence: Evidence, objects: Objects | str, scenes: Scenes | str, *, progress: Progress
) -> Signal:
    """Accuracy before own backgrounds less that before other classes' backgrounds."""
    if isinstance(objects, str):
        return not_applicable(ID, NAME, "confirm", objects)
    if objects.boxes:
        return not_applicable(ID, NAME, "confirm", "boxes hold background too; cutting objects out takes --masks")
    moved = pasted(evidence, objects, scenes, progress=progress)
    if isinstance(moved, str):
        return not_applicable(ID, NAME, "confirm", moved)
    labels = evidence.sample.labels[moved.places]
    batch = evidence.subject.options.batch_size
    answers = [logits_of(evidence.subject.classifier, pixels, batch).argmax(1) for pixels in (moved.same, moved.other)]
    own, foreign = (answer == labels for answer in answers)
    before, after = (share_of(right, labels, evidence.classes) for right in (own, foreign))
    if not enough_above_chance(before, evidence.classes):
        reason = f"the cut-out objects are recognised {told(before)} before backgrounds of their own class"
        return not_applicable(ID, NAME, "confirm", f"{reason}, hardly above guessing")
    value, ends = before.value - after.value, paired_interval(own, foreign, labels)
    certain = paired_fall_by_chance(own, foreign)
    status, threshold = THRESHOLDS[ID].judge(value)
    if certain > ALPHA:
        status = {"red": "amber", "amber": "green"}.get(status, status)  # type: ignore[assignment]
    worse = below_chance(after, 1 / evidence.classes)
    meaning = {
        "red": "the background decides." if worse else "the background plays a large part.",
        "amber": "the background plays a part.",
        "green": "the background plays no part that this test can see.",
    }
    sentence = (
        f"Objects cut out and put before backgrounds of other classes are recognised {told(after)}, before "
        f"backgrounds of their own class {told(before)}: {meaning[status]}"
    )
    lost = np.flatnonzero(own & ~foreign)
    shown = (lost if len(lost) else np.arange(len(labels)))[spread(len(lost) or len(labels), SHOWN)]
    names = evidence.subject.classifier.class_names
    paths = tuple(evidence.sample.paths[place] for place in moved.places[shown])
    captions = tuple(f"{path}: {names[answers[1][place]]}" for path, place in zip(paths, shown, strict=True))
    return Signal(
        id=ID,
        name=NAME,
        layer="confirm",
        value=value,
        interval=ends,
        count=len(labels),
        status=status,
        threshold=threshold,
        sentence=sentence,
        images=paths,
        details={
            "own": before.to_json(),
            "other": after.to_json(),
            "p": certain,
            "below_chance": worse,
            "objects": objects.source,
            "derived": objects.derived,
            "backgrounds": moved.backgrounds,
            "worst_class": worst_class(after, names),
            "decisive": True,
        },
        figures={"pictures": Figure(moved.other[shown], "picture", captions)},
    )


def pasted(evidence: Evidence, objects: Objects, scenes: Scenes | str, *, progress: Progress) -> Pasted | str:
    """The pictures of both arms, or why there are none."""
    if isinstance(scenes, str):
        return before_other_pictures(evidence, objects, progress=progress)
    return before_scenes(evidence, objects, scenes)


def before_scenes(evidence: Evidence, objects: Objects, scenes: Scenes) -> Pasted | str:
    """Objects before the fixed scenes of their own class and of other classes."""
    sample, generator = evidence.sample, np.random.default_rng([evidence.subject.options.seed, 0xC3])
    used = np.nan_to_num(scenes.of_class)
    places: list[int] = []
    same: list[np.ndarray] = []
    other: list[np.ndarray] = []
    for place in np.flatnonzero(objects.known).tolist():
        label = int(sample.labels[place])
        own = np.flatnonzero(used[label] >= OWN)
        rivals = np.delete(used, label, axis=0).max(0, initial=0)
        foreign = np.flatnonzero((used[label] < RARE) & (rivals >= OWN))
        if not len(own) or not len(foreign):
            continue
        picture, mask = sample.pixels[place], objects.masks[place]
        places.append(place)
        for arm, choice in ((same, own), (other, foreign)):
            arm.append(paste(picture, mask, scenes.pictures[generator.choice(choice)]))
    if not places:
        return "no class stands before a scene that others have and it has not: the classes share their backgrounds"
    return Pasted(np.array(places), np.stack(same), np.stack(other), scenes.source)


def before_other_pictures(evidence: Evidence, objects: Objects, *, progress: Progress) -> Pasted | str:
    """Objects before other pictures, out of which their own object was taken."""
    sample, generator = evidence.sample, np.random.default_rng([evidence.subject.options.seed, 0xC3])
    known = np.flatnonzero(objects.known)
    empty: dict[int, np.ndarray] = {}
    for place in progress.over(known.tolist(), len(known), "audit: backgrounds"):
        behind = erased(sample.pixels[place], box_around(objects.masks[place]))
        if behind is not None:
            empty[place] = behind
    providers = np.array(sorted(empty), int)
    by_class = {label: providers[sample.labels[providers] == label] for label in range(evidence.classes)}
    there = [label for label, found in by_class.items() if len(found)]
    if len(there) < 2:
        return "fewer than two classes have a picture whose object leaves a background"
    places: list[int] = []
    same: list[np.ndarray] = []
    other: list[np.ndarray] = []
    for place in known.tolist():
        label = int(sample.labels[place])
        own = by_class[label][by_class[label] != place]
        rivals = [c for c in there if c != label]
        if not len(own) or not rivals:
            continue
        foreign = by_class[int(generator.choice(rivals))]
        places.append(place)
        for arm, choice in ((same, own), (other, foreign)):
            arm.append(paste(sample.pixels[place], objects.masks[place], empty[int(generator.choice(choice))]))
    if not places:
        return "no class has two pictures with a background"
    return Pasted(np.array(places), np.stack(same), np.stack(other), "other pictures without their object")


def paired_interval(
    own: Bool[np.ndarray, " n"], foreign: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"]
) -> tuple[float, float]:
    """95 % interval of the difference of two balanced accuracies on the same objects (Newcombe 1998).

    Without their correlation it is wider than it could be, so never too sure.
    """
    from jaxcam.audit.confirmation.shares import fall

    classes = int(labels.max()) + 1
    return fall(share_of(own, labels, classes), share_of(foreign, labels, classes))[1:]


def worst_class(share, names: tuple[str, ...]) -> dict[str, object]:
    """The class that is recognised worst before other classes' backgrounds."""
    label = min(share.classes, key=lambda c: share.correct[c] / share.count[c])
    return {"class": names[label], "right": share.correct[label], "n": share.count[label], "told": percent(share.value)}
