"""C4: is the answer still right when the object is gone?"""

import numpy as np

from jaxcam.audit.confirmation.erase import box_around, erased
from jaxcam.audit.confirmation.evidence import SHOWN, Evidence, Objects, Scenes, enough_above_chance, logits_of, spread
from jaxcam.audit.confirmation.shares import percent, share_of, told
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.progress import Progress

NAME = "accuracy without the object"


def object_removed(evidence: Evidence, objects: Objects | str, scenes: Scenes | str, *, progress: Progress) -> Signal:
    """Share of the accuracy above chance that is left when each object's box is filled with what lies behind it."""
    if isinstance(objects, str):
        return not_applicable("C4", NAME, "confirm", objects)
    sample, classes = evidence.sample, evidence.classes
    known = np.flatnonzero(objects.known)
    places, pictures = [], []
    for place in progress.over(known.tolist(), len(known), "audit: erasing objects"):
        behind = None
        if not isinstance(scenes, str) and scenes.of_row[place] >= 0:
            behind = scenes.pictures[scenes.of_row[place]]
        without = erased(sample.pixels[place], box_around(objects.masks[place]), behind)
        if without is not None:
            places.append(place)
            pictures.append(without)
    if not places:
        return not_applicable("C4", NAME, "confirm", "the objects fill their pictures: nothing is left to fill from")
    rows, pixels = np.array(places), np.stack(pictures)
    before = evidence.share_at(rows)
    if not enough_above_chance(before, classes):
        reason = f"with the object the model is right {told(before)}, hardly above guessing"
        return not_applicable("C4", NAME, "confirm", reason)
    answers = logits_of(evidence.subject.classifier, pixels, evidence.subject.options.batch_size).argmax(1)
    labels = sample.labels[rows]
    after, chance = share_of(answers == labels, labels, classes), 1 / classes
    scale = before.value - chance
    value = (after.value - chance) / scale
    low, high = ((end - chance) / scale for end in after.interval)
    status, threshold = THRESHOLDS["C4"].judge(value)
    if status == "red" and low <= 0:
        status = "amber"  # so few pictures that guessing gives as many right
    told_ = {
        "red": "it does not need the object.",
        "amber": "part of the answer stands without the object.",
        "green": "the answer needs what lies in the object's box.",
    }
    sentence = (
        f"With the object replaced by what lies behind it the model is still right {told(after)}, "
        f"with it {told(before)}: {told_[status]}"
    )
    still = np.flatnonzero(answers == labels)
    shown = still[spread(len(still), SHOWN)]
    names = tuple(sample.paths[place] for place in rows[shown])
    return Signal(
        id="C4",
        name=NAME,
        layer="confirm",
        value=value,
        interval=(low, high),
        count=len(rows),
        status=status,
        threshold=threshold,
        sentence=sentence,
        images=names,
        details={
            "with": before.to_json(),
            "without": after.to_json(),
            "left_out": len(known) - len(rows),
            "fill": "what surrounds the box" if isinstance(scenes, str) else scenes.source,
            "objects": objects.source,
            "derived": objects.derived,
            "area_of_boxes": float(np.mean([box_around(objects.masks[place]).mean() for place in rows[:200]])),
            "kept": percent(after.value),
        },
        figures={"pictures": Figure(pixels[shown], "picture", names)} if len(shown) else {},
    )
