"""`jaxcam train`: a config in, a run's folder out."""

from pathlib import Path

from jaxcam import devices
from jaxcam.classifier import DESCRIPTION, Classifier
from jaxcam.config import Config, check
from jaxcam.data.backgrounds import marked
from jaxcam.files import write_json
from jaxcam.progress import Progress
from jaxcam.training import phases, tensorboard
from jaxcam.training.closing import close
from jaxcam.training.history import HISTORY, read_history
from jaxcam.training.loop import fit
from jaxcam.training.start import check_run, image_sets, initial_classifier, open_run
from jaxcam.training.stopping import outcomes


def train(config: Config, run: str | Path, *, progress: Progress | None = None) -> Classifier:
    """Train into the folder `run`; an unfinished run is continued, a finished one is loaded.

    The classifier's description is written last: where it stands, the run is complete. Where several processes were
    joined (`devices.join`) all call this with the same arguments and see the same files; the first one writes.
    """
    run, progress = Path(run), progress or Progress(quiet=True)
    check(config)
    check_run(run, config)
    if (run / "classifier" / DESCRIPTION).exists():
        progress.say(f"{run} is complete; nothing to do (give another --out to train again)")
        return Classifier.load(run / "classifier")
    if config.tensorboard:
        tensorboard.check()
    sets = image_sets(config.data, config.seed, preprocessing=config.preprocessing)
    classifier = initial_classifier(config, sets["train"].class_names)
    phases.check(config.phases, classifier)
    pictures = sets["train"]
    if any(phase.augment.backgrounds for phase in config.phases):
        pictures = marked(pictures, config.data.masks, config.preprocessing, progress=progress)
    # Only now: a folder with a config that cannot be trained would refuse the corrected one.
    if devices.is_first():
        open_run(run, config, sets)
    for images in sets.values():
        counts = ", ".join(f"{name} {count}" for name, count in images.counts().items())
        progress.say(f"{images.name}: {len(images)} pictures ({counts})")
        for path, reason in images.skipped:
            progress.say(f"skipped {path}: {reason}")
    classifier = fit(classifier, config, pictures, sets["valid"], run, progress=progress)
    if devices.is_first():
        write_json(run / "phases.json", outcomes(read_history(run / HISTORY), config.phases))
        close(classifier, sets, run, seed=config.seed, tensorboard=config.tensorboard, progress=progress)
        classifier.save(run / "classifier")
    devices.barrier("trained", ready=lambda: (run / "classifier" / DESCRIPTION).exists())
    return classifier
