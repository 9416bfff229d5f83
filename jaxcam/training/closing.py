"""What is written and said when a training has ended: predictions, their numbers, probes, usual colours, curves."""

from collections.abc import Mapping
from pathlib import Path

from jaxcam import results
from jaxcam.classifier import Classifier
from jaxcam.data.colour_order import learn_from
from jaxcam.data.images import ImageSet
from jaxcam.evaluation import predict_set, write_predictions
from jaxcam.progress import Progress
from jaxcam.training import blanks
from jaxcam.training.curves import write_curves


def close(
    classifier: Classifier,
    sets: Mapping[str, ImageSet],
    run: Path,
    *,
    seed: int = 0,
    tensorboard: bool = False,
    progress: Progress,
) -> None:
    """Write `predictions/`, `evaluation/`, the curves, and what warns of exchanged colours; say what it comes to.

    The classifier itself is not written. Everything follows from the parameters, the pictures and the seed, and is
    written whole: after an interruption it is simply done again. To be called by one process.
    """
    for name, images in sets.items():
        predictions = predict_set(classifier, images, progress=progress)
        write_predictions(run / "predictions" / f"{name}.csv", predictions)
        itself = name == "valid"
        # A temperature is found on the validation pictures; the training pictures' probabilities are too sure.
        fitted = results.fit(predictions) if itself else None
        found = results.results(name, predictions, temperature=fitted, own=itself, seed=seed)
        results.write(run, found, drawn=False)
        if itself:
            progress.say(results.summary(found))
    probes = blanks.probe_set(classifier, sets["valid"], seed=seed)
    blanks.write(run, probes)
    progress.say(blanks.summary(probes))
    order = learn_from(sets["train"], classifier.preprocessing, seed=seed)
    if order is not None:
        order.write(run / "classifier")
    write_curves(run, tensorboard=tensorboard)
