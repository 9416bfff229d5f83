"""Auditing a run: its classifier, its pictures, the three layers, the verdict."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jaxcam.audit.advice import advise
from jaxcam.audit.conjunction import raised
from jaxcam.audit.output import Audit, write_audit
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.audit.verdict import verdict
from jaxcam.classifier import load
from jaxcam.data.images import ImageSet
from jaxcam.data.sets import absolute, load_set, splits_of, word_for
from jaxcam.errors import UserError
from jaxcam.progress import Progress
from jaxcam.runs import own_sets

Layer = Literal["data", "model", "confirm"]
LAYERS: dict[Layer, str] = {"data": "data", "model": "model", "confirm": "confirmation"}
"""the layers in order, and the packages whose `signals` they are"""
SPLIT_ORDER = ("valid", "test", "train")


def audit_run(
    run: str | Path,
    *,
    pictures: str | Path | None = None,
    options: AuditOptions | None = None,
    only: Sequence[Layer] = (),
    progress: Progress | None = None,
) -> Audit:
    """Audit a run's classifier and write `audit.json` and `audit/` into the run's folder.

    `pictures` are the set to audit on (a folder, a manifest, a prepared folder, a `tfds:` name), by default the run's
    own validation pictures. `only` names the layers to run, by default all three. Everything is computed before
    anything is written. Raises `UserError` for a run that is not finished, pictures that cannot be audited, and files
    of the options that cannot be used.
    """
    run, progress, options = Path(run), progress or Progress(quiet=True), options or AuditOptions()
    check(options)
    subject = subject_of(run, pictures, options, progress=progress)
    wanted = [layer for layer in LAYERS if layer in only or not only]
    signals: list[Signal] = []
    for layer in wanted:
        progress.say(f"audit: {layer} layer")
        signals += importlib.import_module(f"jaxcam.audit.{LAYERS[layer]}").signals(subject, progress=progress)
    signals = raised(signals)
    found = verdict(signals)
    facts = {
        "layers": wanted,
        "audited": {
            "name": subject.audited.name,
            "root": rooted(subject.audited),
            "count": len(subject.audited),
            "classes": subject.audited.counts(),
        },
        "train": None if subject.train is None else {"root": rooted(subject.train), "count": len(subject.train)},
    }
    audit = Audit(run, found, tuple(signals), tuple(advise(signals, subject)), options, facts)
    write_audit(audit)
    return audit


def rooted(images: ImageSet) -> str:
    """Where a set lies, whatever folder `jaxcam` is called in."""
    return str(images.root) if images.source is not None else os.path.abspath(images.root)


def check(options: AuditOptions) -> None:
    """Raise `UserError` for the first value that no audit can have."""
    for name, value in (
        ("per-class", options.per_class),
        ("samples", options.samples),
        ("batch-size", options.batch_size),
    ):
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}; it must be at least 0")


def subject_of(run: Path, pictures: str | Path | None, options: AuditOptions, *, progress: Progress) -> Subject:
    """The classifier and the pictures to audit it on."""
    if not run.is_dir():
        raise UserError(f"no run {str(run)!r}; give the folder that `jaxcam train` wrote")
    classifier = load(run)
    own: dict[str, ImageSet] = {}
    try:
        own = own_sets(run, classifier)
    except UserError as error:
        if pictures is None:
            raise UserError(f"{error}; or name pictures to audit on with --data SET") from error
        progress.say(f"audit: without the training pictures: {error}")
    if pictures is None:
        return Subject(run=run, classifier=classifier, audited=own["valid"], train=own["train"], options=options)
    splits = splits_of(pictures)
    split = next((name for name in SPLIT_ORDER if name in splits), None)
    audited = load_set(pictures, split, class_names=classifier.class_names, name=split or word_for(pictures))
    audited.check(classifier.preprocessing)
    if not (audited.labels >= 0).any():
        there = ", ".join(sorted(set(audited.folder_names))[:6])
        known = ", ".join(classifier.class_names[:12])
        raise UserError(f"{absolute(pictures)} has the classes {there}; the run knows {known}")
    return Subject(run=run, classifier=classifier, audited=audited, train=own.get("train"), options=options)
