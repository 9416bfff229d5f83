"""The audit on the story of Bart and Homer and on a corner logo: every base, every experiment, one line each.

    python bench/audit_story.py runs/audit-story [--bases mini mobilenet scratch logo] [--train-only]

Reads the pictures (and for `mobilenet` the weights) from the folder that JAXCAM_SHARED names, by default `../shared`.
Interrupted, it goes on where it stopped. Writes results/audit_story.jsonl.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import RESULTS, machine
from PIL import Image

from jaxcam.audit.run import audit_run
from jaxcam.audit.subject import AuditOptions
from jaxcam.audit.verdict import verdict
from jaxcam.classifier import DESCRIPTION
from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.folder import load_folder
from jaxcam.demo import pictures, recipes
from jaxcam.demo.pictures import Experiment
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.command import train

SHARED = Path(os.environ.get("JAXCAM_SHARED", "../shared"))
MOBILENET = SHARED / "weights" / "mobilenet_v1_1.0_224_upto_conv_pw_12.safetensors"
BASES = ("mini", "mobilenet-L11", "mobilenet-L12", "scratch", "logo")


def mini(experiment: Experiment) -> Config:
    """configs/bart_vs_homer.py with weights=mini,input=tf,head=linear."""
    return recipes.article(experiment, weights="mini", pixels="tf", relu=False)


def mobilenet(experiment: Experiment, stage: str) -> Config:
    """A frozen MobileNet, the mean over its last kept stage, one linear layer."""
    weights = recipes.class_weights(experiment)
    return Config(
        data=recipes.data(experiment),
        network=Network(
            name="mobilenet", weights=str(MOBILENET), base_end=stage, head=Head(kind="dense", pool="average")
        ),
        preprocessing=Preprocessing.named("tf", size=(216, 384)),
        phases=(Phase(epochs=300, batch_size=64, learning_rate=0.03, schedule="cosine", class_weights=weights),),
    )


def scratch(experiment: Experiment) -> Config:
    """A small convnet that has seen nothing else."""
    phase = Phase(
        trainable="all", epochs=40, batch_size=16, learning_rate=1e-3, class_weights=recipes.class_weights(experiment)
    )
    return Config(
        data=recipes.data(experiment),
        network=Network(name="convnet", weights="none", width=0.5, base_end="conv4", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=(108, 192)),
        phases=(phase,),
    )


def write_logo(folder: Path, *, size: int = 96) -> Path:
    """Photographs of cats and dogs; a mark in the lower left of every dog, or in `Swapped` of every cat."""
    preprocessing = Preprocessing(size=(size, size))
    for source, split, marked in (("train", "Train", "dog"), ("val", "Valid", "dog"), ("val", "Swapped", "cat")):
        images = load_folder(SHARED / "cats-dogs-small" / source)
        for row, path in enumerate(images.paths):
            picture = images.decode(row, preprocessing)
            if path.startswith(marked):
                picture[-16:-4, 4:16] = (250, 240, 40)
                picture[-12:-8, 8:12] = (20, 20, 160)
            file = (folder / split / path).with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
    return folder


def logo(folder: Path) -> Config:
    """The corner logo: a convnet from scratch."""
    return Config(
        data=Data(folder=str(folder), train="Train", valid="Valid"),
        network=Network(name="convnet", weights="none", width=0.5, base_end="conv4", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=(96, 96)),
        phases=(Phase(trainable="all", epochs=20, batch_size=16, learning_rate=1e-3),),
    )


def rows(out: Path, bases: list[str]) -> list[tuple[str, str, Config, Path]]:
    """(base, experiment, config, counter-examples) of every row."""
    told = pictures.real(SHARED / "bart-vs-homer", out / "pictures", moved=0)
    found: list[tuple[str, str, Config, Path]] = []
    for base in bases:
        if base == "logo":
            folder = write_logo(out / "pictures" / "logo")
            found.append((base, "leaky", logo(folder), folder / "Swapped"))
            continue
        for experiment in told.experiments:
            experiment.prepare()
            if base.startswith("mobilenet"):
                config = mobilenet(experiment, f"conv_pw_{base[-2:]}_relu")
            else:
                config = {"mini": mini, "scratch": scratch}[base](experiment)
            found.append(
                (base, experiment.key, replace(config, cache_gib=4.0), SHARED / "bart-vs-homer" / "InvertedBackgrounds")
            )
    return found


def main() -> None:
    """Train what is not trained, audit it three ways, write a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bases", nargs="+", default=list(BASES), choices=BASES)
    parser.add_argument("--experiments", nargs="+", default=None)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--train-only", action="store_true")
    options = parser.parse_args()
    for base, experiment, config, counter in rows(options.out, options.bases):
        if options.experiments and experiment not in options.experiments:
            continue
        run = options.out / "runs" / base / experiment
        if not (run / "classifier" / DESCRIPTION).exists():
            train(config, run, progress=Progress(quiet=True))
        if not options.train_only:
            line = audited(
                base, experiment, run, counter, AuditOptions(counter=(counter,), per_class=options.per_class)
            )
            with open(RESULTS / "audit_story.jsonl", "a") as file:
                file.write(json.dumps(line | machine()) + "\n")
            print(json.dumps(line), flush=True)


def audited(base: str, experiment: str, run: Path, counter: Path, options: AuditOptions) -> dict[str, Any]:
    """The verdicts of one row: of the model layer alone, of data and model, of everything with the counter-examples."""
    begun = time.process_time()
    signals = audit_run(run, options=options, progress=Progress(quiet=True)).signals
    parts = {
        "model": verdict([s for s in signals if s.layer == "model"]),
        "data_and_model": verdict([s for s in signals if s.layer != "confirm"]),
        "without_counter": verdict([s for s in signals if not s.id.startswith("C3.") and s.id != "C3"]),
        "with_counter": verdict(signals),
    }
    history = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
    swapped = next((s for s in signals if s.id == "C3"), None)
    return {
        "base": base,
        "experiment": experiment,
        "train_accuracy": history["train_accuracy"],
        "valid_accuracy": history["valid_accuracy"],
        "counter": counter.name,
        "counter_right": None if swapped is None else swapped.details.get("counter"),
        "verdicts": {name: found.word for name, found in parts.items()},
        "findings": {s.id: [s.status, s.value] for s in signals if s.status in ("red", "amber")},
        "values": {s.id: s.value for s in signals if s.value is not None},
        "not_applicable": [s.id for s in signals if s.status == "not_applicable"],
        "cpu_s": round(time.process_time() - begun, 1),
    }


if __name__ == "__main__":
    main()
