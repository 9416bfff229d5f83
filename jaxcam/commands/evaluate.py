"""`jaxcam evaluate`."""

from pathlib import Path
from typing import Annotated

import tyro


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    temperature: bool = False,
    probes: bool = True,
    drawings: bool = True,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Accuracy, balanced accuracy, calibration and confusion matrix of a run's classifier, with their intervals.

    All of it is also written to RUN/evaluation/SPLIT.json, with a reliability diagram and the confusion matrix as
    pictures.

    Example: jaxcam evaluate runs/pictures --data other/pictures

    Args:
        run: a run's folder
        data: folder, manifest (.csv), prepared folder or tfds:NAME; default: the run's own pictures of both splits
        name: name of the predictions file; default: the folder's name
        temperature: fit a temperature on the run's validation pictures and keep it beside the classifier
            (RUN/classifier/temperature.json); `jaxcam predict` then says the calibrated probability too
        probes: tell what the classifier says to blank, noisy and scrambled pictures; only for the run's own pictures
        drawings: draw the reliability diagram and the confusion matrix (.png and .svg) too
        seed: decides the bootstrap's samples and the noise
        quiet: no progress
    """
    from jaxcam import calibration, results, runs
    from jaxcam.data.colour_order import FILE as COLOURS
    from jaxcam.data.colour_order import learn_from
    from jaxcam.evaluation import predict_set, write_predictions
    from jaxcam.maps.sets import known_flags
    from jaxcam.progress import Progress
    from jaxcam.training import blanks

    progress = Progress(quiet)
    classifier, sets = runs.open_sets(run, data, name)
    own = {images.name: images for images in sets.values()} if data is None else {}
    fitted = None
    if temperature and "valid" not in own:
        valid = runs.own_sets(run, classifier)["valid"]
        fitted = results.fit(predict_set(classifier, valid, progress=progress))
    elif "valid" not in own and classifier.temperature is not None:
        fitted = calibration.known(classifier.temperature)
    # The validation pictures first: the others' probabilities are compared at the temperature found on them.
    for split, images in sorted(sets.items(), key=lambda pair: pair[1].name != "valid"):
        predictions = predict_set(classifier, images, progress=progress)
        itself = bool(own) and images.name == "valid"
        if itself:
            fitted = results.fit(predictions)
        write_predictions(
            run / "predictions" / f"{split}.csv", predictions, known_flags(run, split, classifier, images)
        )
        # The training pictures' own probabilities are too sure: a temperature is never judged by them.
        used = None if own and images.name == "train" else fitted
        found = results.results(split, predictions, temperature=used, own=itself, seed=seed)
        results.write(run, found, drawn=drawings)
        print(results.summary(found))
    if temperature and fitted is not None:
        print(results.keep_temperature(classifier, run / "classifier", fitted))
    if "train" in own and not (run / "classifier" / COLOURS).exists():
        order = learn_from(own["train"], classifier.preprocessing, seed=seed)
        if order is not None:
            order.write(run / "classifier")
    if "valid" in own and probes:
        probed = blanks.probe_set(classifier, own["valid"], seed=seed)
        blanks.write(run, probed)
        print(blanks.summary(probed))
