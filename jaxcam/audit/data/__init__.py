"""Is a shortcut there? Tests of the pictures and labels alone, without a network: D1 to D4."""

from jaxcam.audit.data import cells, copies, probes, traits
from jaxcam.audit.data.looks import look
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import Subject
from jaxcam.progress import Progress

TRAIN, AUDITED, PROBED = 20_000, 5_000, 5_000
"""pictures that are looked at, of the training and of the audited set, and for the tests of single properties"""


def signals(subject: Subject, *, progress: Progress) -> list[Signal]:
    """D1 property AUCs, D2 thumbnail probes, D3 map of AUCs by place, D4 copies and scenes.

    D1 to D3 are measured on the training pictures, for there a shortcut is learned; on the audited ones where the
    training pictures are not there. The pictures named are audited ones. Sets that are no files (prepared, tfds) have
    no properties of files. Works without a classifier's answers: only its class names are used.
    """
    options, names = subject.options, subject.classifier.class_names
    audited = look(subject.audited, most=AUDITED, seed=options.seed, progress=progress)
    train = None
    if subject.train is not None:
        train = look(subject.train, most=TRAIN, seed=options.seed, progress=progress)
    measured, where = (audited, "the audited pictures") if train is None else (train, "the training pictures")
    if len(measured) > PROBED:
        from jaxcam.audit.data.looks import chosen_rows

        measured = measured.take(chosen_rows(measured.labels, PROBED, options.seed))
    return [
        traits.signal(measured, audited, names, where),
        probes.signal(measured, audited, names, where, seed=options.seed),
        cells.signal(measured, audited, names, where),
        copies.signal(train, audited, names),
    ]
