"""`jaxcam train`: a config in, a run's folder out."""

from pathlib import Path

from jaxcam.classifier import DESCRIPTION, Classifier
from jaxcam.config import Config, check
from jaxcam.evaluation import predict_set, write_predictions
from jaxcam.progress import Progress
from jaxcam.report.plots import write_history_plot
from jaxcam.training import phases
from jaxcam.training.loop import fit
from jaxcam.training.start import check_run, image_sets, initial_classifier, open_run


def train(config: Config, run: Path, *, progress: Progress) -> Classifier:
    """Train into the folder `run`; an unfinished run is continued, a finished one is loaded.

    The classifier's description is written last: where it stands, the run is complete.
    """
    check(config)
    check_run(run, config)
    if (run / "classifier" / DESCRIPTION).exists():
        progress.say(f"{run} is complete; nothing to do (give another --out to train again)")
        return Classifier.load(run / "classifier")
    sets = image_sets(config.data, config.seed, preprocessing=config.preprocessing)
    classifier = initial_classifier(config, sets["train"].class_names)
    phases.check(config.phases, classifier)
    # Only now: a folder with a config that cannot be trained would refuse the corrected one.
    open_run(run, config, sets)
    for images in sets.values():
        counts = ", ".join(f"{name} {count}" for name, count in images.counts().items())
        progress.say(f"{images.name}: {len(images)} pictures ({counts})")
        for path, reason in images.skipped:
            progress.say(f"skipped {path}: {reason}")
    classifier = fit(classifier, config, sets["train"], sets["valid"], run, progress=progress)
    for name, images in sets.items():
        write_predictions(run / "predictions" / f"{name}.csv", predict_set(classifier, images, progress=progress))
    write_history_plot(run / "history.jsonl", run / "history.png")
    classifier.save(run / "classifier")
    return classifier
