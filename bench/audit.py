"""How often does the audit find a planted shortcut, and how often does it cry wolf?

    python bench/audit.py runs/audit-bench [--part held-out] [--base mini] [--most 40] [--table]

Trains many small classifiers on sets drawn at random, with and without a cue planted in one class, audits each from its
data and model layers alone, and appends one JSON line a classifier to OUT/runs.jsonl; interrupted, it goes on where it
stopped. Whether a classifier uses its cue is known: by how much its accuracy falls when the cue is moved to the other
class. Thresholds may be chosen on the families of `audit_sets.TUNING`; the table's other families were kept from that.
`--table` reads the lines, judges their values anew by the thresholds as they are now, and writes results/audit.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import audit_models
import audit_sets
from audit_sets import Case
from audit_table import written

from jaxcam.audit import data, model
from jaxcam.audit.conjunction import raised
from jaxcam.audit.model import alike, hiding, inputs, places, regions, scenes, style
from jaxcam.audit.sample import tested
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.audit.verdict import verdict
from jaxcam.progress import Progress

QUIET = Progress(quiet=True)
KEPT = 12
"""longest list of a signal's details that is kept"""


def audited(subject: Subject) -> list[Signal]:
    """The signals that are judged, by the code of `jaxcam audit`; those that are only shown are left out."""
    context, fixed = model.look(subject, tested(subject, progress=QUIET), QUIET)
    return [
        *data.signals(subject, progress=QUIET),
        regions.border_only(context),
        regions.swapped_borders(context),
        hiding.hottest_hidden(context),
        places.peak_share(context),
        alike.correlation(context),
        regions.shuffled(context),
        scenes.empty_scene(context, fixed),
        scenes.novelty_lift(context, fixed),
        inputs.collapse(context),
        inputs.dead(context),
        scenes.scene_swap(context, fixed),
        style.borrowed_detail(context),
    ]


def run(case: Case, seed: int) -> dict[str, Any]:
    """One line: what was planted, what the classifier does, what the audit says."""
    started, base = time.process_time(), audit_models.BASES[case.base]
    sets = audit_sets.make(case, size=base.size, seed=seed)
    made = time.process_time()
    classifier = audit_models.trained(case.base, sets, case.number)
    labels = sets.valid[1]
    right = {
        name: audit_models.accuracy(classifier, pixels, labels)
        for name, pixels in (("valid", sets.valid[0]), ("swapped", sets.swapped), ("without", sets.without))
    }
    learned = time.process_time()
    options = AuditOptions(seed=seed, whole_set=False)
    subject = Subject(
        run=Path("."),
        classifier=classifier,
        audited=audit_sets.image_set("valid", *sets.valid),
        train=audit_sets.image_set("train", *sets.train),
        options=options,
    )
    signals = raised(audited(subject))
    ended = time.process_time()
    return {
        "key": case.key,
        "number": case.number,
        "part": case.part,
        "family": case.family,
        "strength": case.strength,
        "source": case.source,
        "base": case.base,
        "about": sets.about,
        "accuracy": {name: round(value, 4) for name, value in right.items()},
        "verdict": verdict(signals).word,
        "signals": {signal.id: kept(signal) for signal in signals},
        "cpu_s": [round(b - a, 2) for a, b in ((started, made), (made, learned), (learned, ended))],
    }


def kept(signal: Signal) -> dict[str, Any]:
    """A signal without its pictures and its long lists."""
    found = signal.to_json()
    short = {
        name: value
        for name, value in found["details"].items()
        if isinstance(value, int | float | str | bool) or (isinstance(value, dict) and len(value) <= KEPT)
    }
    chosen = {name: found[name] for name in ("value", "interval", "n", "status", "threshold", "layer", "reason")}
    return chosen | {"details": short if signal.layer == "model" else {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=("tuning", "held-out"), default="")
    parser.add_argument("--base", choices=tuple(audit_models.BASES), default="")
    parser.add_argument("--family", default="")
    parser.add_argument("--most", type=int, default=10_000, help="classifiers at most, those that are there included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="train nothing, write the table of what is there")
    options = parser.parse_args()
    lines = options.out / "runs.jsonl"
    if not options.table:
        options.out.mkdir(parents=True, exist_ok=True)
        done = {line["key"] for line in read(lines)}
        bases = tuple(name for name in audit_models.BASES if audit_models.there(name))
        real = (audit_sets.SHARED / "cats-dogs-small").is_dir()
        wanted = {"part": options.part, "base": options.base, "family": options.family}
        chosen = audit_sets.only(audit_sets.cases(real=real, bases=bases), **wanted)[: options.most]
        for place, case in enumerate(chosen, start=1):
            if case.key in done:
                continue
            line = run(case, options.seed)
            with open(lines, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{place}/{len(chosen)} {told(line)}", flush=True)
    print(written(read(lines)))


def read(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole; one that a kill has cut is left out."""
    found = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


def told(line: dict[str, Any]) -> str:
    """A line for the terminal."""
    right = " ".join(f"{name} {value:.2f}" for name, value in line["accuracy"].items())
    marks = {"red": "!", "amber": "?", "green": "", "info": "", "not_applicable": "-"}
    values = " ".join(
        f"{id}{marks[signal['status']]}" + ("" if signal["value"] is None else f"={signal['value']:.2f}")
        for id, signal in line["signals"].items()
    )
    case = f"{line['family']} {line['strength']} {line['base']} {line['source']}"
    return f"{case}: {right} | {line['verdict']} | {values} | {line['cpu_s']}"


if __name__ == "__main__":
    main()
