"""What the audit's model layer costs beside one forward pass of the whole set: 2 000 sampled pictures of 50 000.

    python bench/audit_cost.py [--pictures 50000] [--samples 2000] [--rounds 3]

The classifier is one of the calibration's (VGG16 of 1/8 the width, two classes of drawn pictures, 64x64); its
validation pictures stand in memory many times. The forward pass is the bare compiled program over batches.
"""

import argparse
from pathlib import Path

import audit_models
import audit_sets
import jax
import numpy as np
from harness import interleaved, record, write

from jaxcam.audit import model
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.progress import Progress

SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sets = audit_sets.make(audit_sets.Case(number=0, family="plain"), size=SIZE)
    classifier = audit_models.trained("mini", sets, 0)
    rows = np.arange(options.pictures) % len(sets.valid[1])
    pixels = sets.valid[0][rows]
    subject = Subject(
        run=Path("."),
        classifier=classifier,
        audited=audit_sets.image_set("valid", pixels, sets.valid[1][rows]),
        train=audit_sets.image_set("train", *sets.train),
        options=AuditOptions(per_class=options.samples // 2, samples=options.samples),
    )

    def forward() -> None:
        found = None
        for first in range(0, len(pixels) - options.batch + 1, options.batch):
            found = classifier.compiled(classifier.params, pixels[first : first + options.batch])
        jax.block_until_ready(found)

    subjects = {
        "forward pass of the set": forward,
        "model layer": lambda: model.signals(subject, progress=Progress(quiet=True)),
    }
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=1)
    facts = {"dtype": "float32", "batch": options.batch, "network": "vgg16_mini", "size": SIZE}
    facts |= {"pictures": options.pictures, "sampled": options.samples}
    counted = {"per_call": options.pictures, "unit": "img/s", "reference": "forward pass of the set"}
    write("audit_cost", record("audit_cost", seconds, **counted, **facts))


if __name__ == "__main__":
    main()
