"""Is the model alive, and does it get the input it was trained for?"""

import json
from typing import Any

import numpy as np

from jaxcam.audit.model.context import Context, bound, by_class
from jaxcam.audit.model.intervals import bootstrap, percent, share
from jaxcam.audit.signals import Signal, Status
from jaxcam.files import read_json

SAME = bound("M9", 0.95)
"""so large a share of equal answers is a collapse"""
DEAD_SPREAD = bound("M14", 1e-6)
"""standard deviation of the logits over the pictures below which the model is dead"""
UNEVEN = 0.8
"""with so large a share of pictures of one class, equal answers are no sign of a collapse"""
BETTER = 0.05
"""gain in accuracy by which another preprocessing is better"""
CHANGES = {
    "over_255": "divided by 255",
    "times_255": "multiplied by 255",
    "bgr": "with red and blue exchanged",
    "mean_subtracted": "with ImageNet's mean colour subtracted",
}


def collapse(context: Context) -> Signal:
    """M9: the share of the most frequent answer, and whether the model does better with other preprocessing."""
    name = "collapse and preprocessing"
    if len(context.names) < 2 or not context.classes:
        return context.inapplicable("M9", name, context.problem())
    measured, labels, part = context.measured, context.measured.labels, context.measured.part
    # A part of a large sample is asked; there each change is compared with the pictures as they are.
    base = context.accuracy(np.where(part, measured.predicted, -1))
    value, interval, answer = most_frequent(context, measured.predicted)
    arms: dict[str, Any] = {}
    best, gain = "", 0.0
    for arm, words in CHANGES.items():
        answers = measured.arm(arm)
        accuracy = context.accuracy(answers)
        both = np.stack([answers == labels, measured.right], 1).astype(float)[part]
        low, high = bootstrap(
            both, labels[part], context.classes, lambda m: m[:, 0] - m[:, 1], seed=measured.settings.seed
        )
        arms[arm] = {
            "accuracy": round(accuracy, 4),
            "top_share": round(most_frequent(context, answers[part])[0], 4),
            "agreement": round(float((answers == measured.predicted)[part].mean()), 4),
            "gain_interval": [round(low, 4), round(high, 4)],
        }
        if accuracy - base >= max(BETTER, gain) and low > 0:
            best, gain = words, accuracy - base
    recorded = recorded_difference(context)
    told = f"{percent(value)} of the answers are {answer} ({context.of})"
    status: Status
    status, sentence = "green", f"{told}; no other preprocessing does better."
    largest = max(np.bincount(labels)) / len(labels)
    if value >= SAME and len(context.classes) > 1 and largest <= UNEVEN:
        status, sentence = "red", f"The model has collapsed: {told}."
    elif recorded:
        status, sentence = "red", f"The classifier's preprocessing is not the one it was trained with: {recorded}."
    elif best:
        status = "red"
        sentence = (
            f"Pictures {best} are recognised in {percent(base + gain)} instead of {percent(base)}: the "
            "preprocessing does not seem to be the one of the training."
        )
    return Signal(
        id="M9",
        name=name,
        layer="model",
        value=value,
        interval=interval,
        count=len(labels),
        status=status,
        threshold=SAME,
        sentence=sentence,
        details={"accuracy": context.base, "changes": arms, "recorded_difference": recorded},
    )


def most_frequent(context: Context, predicted: np.ndarray) -> tuple[float, tuple[float, float], str]:
    """The share of the most frequent answer, its interval, and the answer."""
    counts = np.bincount(predicted, minlength=len(context.names))
    value, interval = share(predicted == int(counts.argmax()))
    return value, interval, context.names[int(counts.argmax())]


def recorded_difference(context: Context) -> str:
    """What differs between the preprocessing that the run was trained with and the classifier's; empty if nothing."""
    path = context.subject.run / "config.json"
    if not path.is_file():
        return ""
    recorded = read_json(path)
    trained = recorded.get("preprocessing") if isinstance(recorded, dict) else None
    own = json.loads(json.dumps(context.subject.classifier.describe()["preprocessing"]))
    if not isinstance(trained, dict):
        return ""
    differing = [
        f"{key} was {trained[key]}, is {own[key]}" for key in own if key in trained and trained[key] != own[key]
    ]
    return "; ".join(differing)


def dead(context: Context) -> Signal:
    """M14: whether the answers depend on the picture at all."""
    measured = context.measured
    finite = np.isfinite(measured.logits).all(1)
    if finite.sum() < 2:
        return context.inapplicable("M14", "dead model", "fewer than two pictures give logits that are numbers")
    spread = float(measured.logits[finite].std(0).max())
    cold = float((measured.maps.max((1, 2)) == 0).mean())
    is_dead, no_heat = spread < DEAD_SPREAD, cold == 1
    if is_dead:
        sentence = (
            f"Every picture gets the same logits (spread {spread:.1e}): the head is dead; train with a lower rate."
        )
    elif no_heat:
        sentence = "No map has any heat, although the logits differ: the head has nothing that speaks for its answers."
    else:
        sentence = (
            f"The logits differ between pictures (spread {spread:.2g}); {percent(cold)} of the maps have no heat."
        )
    per_class = [float((measured.maps[measured.labels == c].max((1, 2)) == 0).mean()) for c in context.classes]
    return Signal(
        id="M14",
        name="dead model",
        layer="model",
        value=spread,
        count=len(measured.labels),
        status="red" if is_dead or no_heat else "green",
        threshold=DEAD_SPREAD,
        sentence=sentence,
        details={
            "dead_maps": cold,
            "dead_maps_by_class": by_class(context.names, context.classes, per_class),
            "not_finite": int((~finite).sum()),
        },
    )
