"""What to do about a finding, with commands that can be pasted."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import Subject
from jaxcam.errors import UserError
from jaxcam.files import read_json


@dataclass(frozen=True)
class Advice:
    """One thing to do."""

    finding: str
    """id of the signal that it is about"""
    text: str
    command: str


@dataclass(frozen=True)
class Place:
    """The words that the commands are made of."""

    run: str
    train: str
    """the training set, as a command takes it"""
    masks: str
    background: str
    phases: int = 1
    """phases of the run's training"""


Remedy = Callable[[Signal, Place], Advice]


def advise(signals: Sequence[Signal], subject: Subject) -> list[Advice]:
    """What to do about the red and amber findings, each remedy once, for the worst finding first."""
    place = place_of(subject)
    advice: list[Advice] = []
    for signal in sorted((s for s in signals if s.status in ("red", "amber")), key=lambda s: s.status != "red"):
        for remedy in remedies_for(signal):
            new = remedy(signal, place)
            if all((new.text, new.command) != (old.text, old.command) for old in advice):
                advice.append(new)
    return advice


def place_of(subject: Subject) -> Place:
    """The run's words, quoted for a shell."""
    options, train = subject.options, subject.train
    masks = "derived" if options.masks is None else str(options.masks)
    background = "EMPTY_SCENES" if options.background is None else str(options.background)
    root = "TRAINING_PICTURES" if train is None else str(train.root)
    run, root, masks, background = map(shlex.quote, (str(subject.run), root, masks, background))
    return Place(run, root, masks, background, phases_of(subject.run))


def phases_of(run: Path) -> int:
    """How many phases a run was trained in; 1 where its config does not say."""
    path = run / "config.json"
    try:
        phases = read_json(path).get("phases") if path.is_file() else None
    except (UserError, AttributeError):
        return 1
    return max(1, len(phases)) if isinstance(phases, list) else 1


def remedies_for(signal: Signal) -> tuple[Remedy, ...]:
    """What helps against a kind of finding."""
    kind = signal.id.split(".")[0]
    if kind == "D1":
        return (reencode, swap_backgrounds) if about_files(signal) else (swap_backgrounds, reencode)
    return {
        "D2": (swap_backgrounds, counter_examples),
        "D3": (crop, swap_backgrounds),
        "D4": (remove_duplicates,),
        "M1": (swap_backgrounds, counter_examples, crop),
        "M2": (swap_backgrounds, counter_examples),
        "M3": (reencode, swap_backgrounds, counter_examples),
        "M4": (crop, counter_examples),
        "M5": (crop, counter_examples),
        "M7": (swap_backgrounds, background_class),
        "M8": (swap_backgrounds, background_class),
        "M9": (same_input,),
        "M16": (swap_backgrounds, counter_examples),
        "M17": (reencode, counter_examples),
        "M14": (train_again,),
        "M15": (crop, counter_examples),
        "C1": (swap_backgrounds,),
        "C3": (swap_backgrounds, add_counter_examples, compare),
        "C3p": (swap_backgrounds, compare),
        "C4": (swap_backgrounds, background_class),
        "C5": (balance,),
    }.get(kind, (counter_examples,) if signal.layer == "model" else ())


def about_files(signal: Signal) -> bool:
    """Whether the property that tells the classes apart is of the file, and not of what it shows."""
    words = f"{signal.name} {signal.sentence} {signal.details.get('property', '')}".lower()
    known = ("block", "compress", "jpeg", "quant", "laplac", "sharp", "format", "width", "height", "aspect", "bytes")
    return any(word in words for word in (*known, "exif", "camera", "name", "mode", "resol", "bars", "black"))


def swap_backgrounds(signal: Signal, place: Place) -> Advice:
    """Every object before every class' backgrounds."""
    every = " ".join(f"--phases.{number}.augment.backgrounds 0.5" for number in range(place.phases))
    return Advice(
        signal.id,
        "Train with exchanged backgrounds: each object is put before other pictures' backgrounds, so that these tell "
        "nothing. It needs masks; `derived` finds them where the scenes do not move.",
        f"jaxcam train CONFIG --data.masks {place.masks} {every} --out {place.run}-swapped",
    )


def background_class(signal: Signal, place: Place) -> Advice:
    """Empty scenes as a class of their own."""
    return Advice(
        signal.id,
        "Add pictures of the empty scenes as a class of their own. On its own this moves the heat and not always the "
        "answers: audit the new run, with counter-examples.",
        f"cp -r {place.train} WITH_BACKGROUNDS && cp -r {place.background} WITH_BACKGROUNDS/background && jaxcam train "
        f"CONFIG --data.train WITH_BACKGROUNDS --phases.0.class-weights balanced --out {place.run}-background",
    )


def crop(signal: Signal, place: Place) -> Advice:
    """Cut off where the cue lies."""
    return Advice(
        signal.id,
        "Cut the pictures so that the place that gives the class away is gone: to the middle, or with --masks to the "
        "object. The new pictures must be used for everything that the model will see.",
        f"jaxcam data reencode {place.train} --out CROPPED --centre 0.7",
    )


def reencode(signal: Signal, place: Place) -> Advice:
    """All files alike."""
    return Advice(
        signal.id,
        "Write all pictures alike, at one size, in one format and quality and without metadata, so that the files "
        "tell nothing. Take the smallest size and the lowest quality that occur: what one "
        "class has lost the others must lose.",
        f"jaxcam data reencode {place.train} --out ALIKE --size 224 224 --format jpg --quality 75",
    )


def remove_duplicates(signal: Signal, place: Place) -> Advice:
    """Copies out of the set."""
    return Advice(
        signal.id,
        "Set duplicates aside, above all those that lie in training and in validation; --undo puts them back.",
        f"jaxcam data scan {place.train} --quarantine SET_ASIDE --duplicates",
    )


def counter_examples(signal: Signal, place: Place) -> Advice:
    """Decide it."""
    return Advice(
        signal.id,
        "Decide it: take or make a few pictures of each class in which the suspected cue is missing or belongs to "
        "another class, and audit on them.",
        f"jaxcam audit {place.run} --counter COUNTER_EXAMPLES",
    )


def add_counter_examples(signal: Signal, place: Place) -> Advice:
    """More such pictures in training."""
    return Advice(
        signal.id,
        "Add pictures like the counter-examples to training (not the same ones: they would test nothing any more).",
        f"jaxcam data merge {place.train} MORE_COUNTER_EXAMPLES --out merged.csv",
    )


def compare(signal: Signal, place: Place) -> Advice:
    """Before and after."""
    return Advice(
        signal.id,
        "Audit the repaired run with the same counter-examples, and hold the two against each other.",
        f"jaxcam audit --compare {place.run} {place.run}-swapped",
    )


def balance(signal: Signal, place: Place) -> Advice:
    """Every class the same in every group."""
    return Advice(
        signal.id,
        "Train on a part of the pictures in which every class has as many of every group (subsampling large groups, "
        "Idrissi et al. 2022), and collect more of the worst group.",
        f"jaxcam data balance {place.train} --groups GROUPS.csv --out balanced.csv",
    )


def same_input(signal: Signal, place: Place) -> Advice:
    """The preprocessing."""
    return Advice(
        signal.id,
        "Check that the pictures go in as the weights expect them (scale, order of the colours, mean).",
        "jaxcam train CONFIG --help  (see --preprocessing)",
    )


def train_again(signal: Signal, place: Place) -> Advice:
    """A dead head."""
    return Advice(
        signal.id,
        "The model gives every picture the same answer. Train again with a lower learning rate, or without the ReLU in "
        "the head.",
        f"jaxcam train CONFIG --phases.0.learning-rate 1e-4 --out {place.run}-again",
    )
