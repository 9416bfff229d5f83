"""C2: what the model says to pictures without an object. Shown, never judged: it did not separate on its own."""

import numpy as np

from jaxcam.audit.confirmation.evidence import SHOWN, Evidence, logits_of, probabilities
from jaxcam.audit.confirmation.scenes import background_pictures
from jaxcam.audit.confirmation.shares import percent
from jaxcam.audit.signals import Figure, Signal, not_applicable

NAME = "answers to empty scenes"
SPELLED = 3
"""scenes that the sentence names one by one"""


def empty_scenes(evidence: Evidence) -> Signal:
    """Classes and probabilities of the pictures in `options.background`."""
    subject = evidence.subject
    if subject.options.background is None:
        return not_applicable("C2", NAME, "confirm", "no --background folder with pictures without an object")
    pictures, names = background_pictures(evidence, subject.options.background)
    shares = probabilities(logits_of(subject.classifier, pictures, subject.options.batch_size))
    chosen, sure = shares.argmax(1), shares.max(1)
    words = [subject.classifier.class_names[label] for label in chosen.tolist()]
    counts = np.bincount(chosen, minlength=evidence.classes)
    if len(names) <= SPELLED:
        answers = ", ".join(
            f"{name}: {word} {percent(float(p))}" for name, word, p in zip(names, words, sure, strict=True)
        )
    else:
        order = np.argsort(-counts, kind="stable")
        answers = ", ".join(f"{subject.classifier.class_names[c]} {counts[c]}" for c in order if counts[c])
    sentence = (
        f"Pictures without an object are given a class with a mean probability of {percent(float(sure.mean()))} "
        f"({answers}); that alone is no evidence in either direction."
    )
    captions = tuple(f"{name}: {word} {p:.2f}" for name, word, p in zip(names, words, sure.tolist(), strict=True))
    return Signal(
        id="C2",
        name=NAME,
        layer="confirm",
        value=float(sure.mean()),
        count=len(pictures),
        status="info",
        sentence=sentence,
        details={
            "answers": dict(zip(subject.classifier.class_names, counts.tolist(), strict=True)),
            "pictures": [
                {"picture": name, "answer": word, "probability": float(p)}
                for name, word, p in zip(names, words, sure, strict=True)
            ][:100],
        },
        figures={"pictures": Figure(pictures[:SHOWN], "picture", captions[:SHOWN])},
    )
