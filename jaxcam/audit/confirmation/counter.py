"""C3: counter-examples of the user. The labels are right and the suspected cue is broken: the decisive test."""

from pathlib import Path

import numpy as np

from jaxcam.audit.confirmation.evidence import SHOWN, Evidence, enough_above_chance, logits_of, probabilities, spread
from jaxcam.audit.confirmation.shares import (
    ALPHA,
    Share,
    below_chance,
    fall,
    fall_by_chance,
    share_of,
    told,
)
from jaxcam.audit.sample import Sample, sample
from jaxcam.audit.signals import Figure, Signal, Status, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.images import ImageSet
from jaxcam.data.sets import load_set, splits_of, word_for
from jaxcam.errors import UserError
from jaxcam.progress import Progress

NAME = "accuracy on counter-examples"


def counter_examples(evidence: Evidence, *, progress: Progress) -> list[Signal]:
    """One signal a folder: how far the accuracy falls from the audited set to it, over the classes that both have."""
    folders = evidence.subject.options.counter
    if not folders:
        reason = "no --counter folder with pictures whose suspected cue is broken (such as swapped backgrounds)"
        return [not_applicable("C3", NAME, "confirm", reason)]
    return [
        of_folder(evidence, folder, "C3" if number == 1 else f"C3.{number}", progress=progress)
        for number, folder in enumerate(folders, start=1)
    ]


def of_folder(evidence: Evidence, folder: Path, id: str, *, progress: Progress) -> Signal:
    """The signal of one set of counter-examples."""
    subject, options = evidence.subject, evidence.subject.options
    images = load_counter(evidence, folder)
    found = sample(
        images,
        subject.classifier.preprocessing,
        per_class=options.per_class,
        total=options.samples,
        seed=options.seed,
        progress=progress,
    )
    if not len(found):
        raise UserError(f"no readable picture with a class of the run in {folder}")
    logits = logits_of(subject.classifier, found.pixels, options.batch_size)
    after = share_of(logits.argmax(1) == found.labels, found.labels, evidence.classes)
    before = evidence.share.of(after.classes)
    after = after.of(before.classes)
    name = f"{NAME}: {word_for(folder)}"
    if not before.total:
        return not_applicable(id, name, "confirm", f"the audited pictures have none of the classes in {folder}")
    if not enough_above_chance(before, evidence.classes):
        reason = f"on the audited pictures the model is right {told(before)}, hardly above guessing: nothing can fall"
        return not_applicable(id, name, "confirm", reason)
    value, low, high = fall(before, after)
    status, threshold, certain = judged(before, after)
    chance = 1 / evidence.classes
    worse = below_chance(after, chance)
    sentence = (
        f"On the counter-examples the model is right {told(after)}, on the audited pictures {told(before)}: "
        + verdict_of(status, certain, worse, after.total)
    )
    return Signal(
        id=id,
        name=name,
        layer="confirm",
        value=value,
        interval=(low, high),
        count=after.total,
        status=status,
        threshold=threshold,
        sentence=sentence,
        images=(),
        details={
            "folder": str(folder),
            "audited": before.to_json(),
            "counter": after.to_json(),
            "by_class": by_class(evidence, before, after),
            "p": certain,
            "below_chance": worse,
            "confidence": float(probabilities(logits).max(1).mean()),
            "decisive": True,
        },
        figures={"pictures": worst(evidence, found, logits)},
    )


def load_counter(evidence: Evidence, folder: Path) -> ImageSet:
    """The counter-examples with the classifier's classes; `UserError` where it has none of them."""
    classifier = evidence.subject.classifier
    names = classifier.class_names
    if splits := splits_of(folder):
        raise UserError(f"--counter {folder} is divided into {', '.join(splits)}; name one of these folders")
    images = load_set(folder, class_names=names, name="counter")
    images.check(classifier.preprocessing)
    if (images.labels < 0).all():
        there = ", ".join(sorted(set(images.folder_names))[:6])
        raise UserError(f"--counter {folder} has the classes {there}; the run knows {', '.join(names[:12])}")
    return images


def judged(before: Share, after: Share) -> tuple[Status, float | None, float]:
    """Status, its bound, and how often chance alone gives such a fall.

    Red takes both a large fall and one that chance does not explain: 8 of 8 against 0 of 4 does, 7 of 8 does not. A
    large fall of too few pictures is amber.
    """
    value, _, _ = fall(before, after)
    certain = fall_by_chance(before, after)
    status, threshold = THRESHOLDS["C3"].judge(value)
    if status == "red" and certain > ALPHA:
        return "amber", threshold, certain
    if status == "amber" and certain > ALPHA:
        return "green", threshold, certain
    return status, threshold, certain


def verdict_of(status: Status, certain: float, worse: bool, count: int) -> str:
    """What the two accuracies mean, in words."""
    if status == "red":
        return (
            "worse than guessing, so it follows the broken cue." if worse else "it needs the cue that is broken there."
        )
    if status == "amber":
        few = f"a large fall, but {count} pictures are too few to be sure" if certain > ALPHA else "it falls somewhat"
        return f"{few}."
    return "no fall that chance does not explain."


def by_class(evidence: Evidence, before: Share, after: Share) -> dict[str, dict[str, list[int]]]:
    """Right answers and pictures of each class, before and after."""
    names = evidence.subject.classifier.class_names
    return {
        names[c]: {"audited": [before.correct[c], before.count[c]], "counter": [after.correct[c], after.count[c]]}
        for c in after.classes
    }


def worst(evidence: Evidence, found: Sample, logits: np.ndarray) -> Figure:
    """Counter-examples that are taken for another class, the surest first; then right ones."""
    names, shares = evidence.subject.classifier.class_names, probabilities(logits)
    wrong = np.flatnonzero(logits.argmax(1) != found.labels)
    wrong = wrong[np.argsort(-shares[wrong].max(1), kind="stable")]
    right = np.flatnonzero(logits.argmax(1) == found.labels)
    chosen = [*wrong[:SHOWN].tolist(), *(int(right[place]) for place in spread(len(right)))][:SHOWN]
    captions = tuple(
        f"{found.paths[place]}: {names[int(shares[place].argmax())]} {shares[place].max():.2f}" for place in chosen
    )
    return Figure(found.pixels[chosen], "picture", captions)
