"""`jaxcam evaluate`."""

from pathlib import Path
from typing import Annotated

import tyro


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    quiet: bool = False,
) -> None:
    """Accuracy, balanced accuracy and confusion matrix of a run's classifier.

    Example: jaxcam evaluate runs/pictures --data other/pictures

    Args:
        run: a run's folder
        data: folder, manifest (.csv), prepared folder or tfds:NAME; default: the run's own pictures of both splits
        name: name of the predictions file; default: the folder's name
        quiet: no progress
    """
    from jaxcam.evaluation import predict_set, summary, write_predictions
    from jaxcam.maps.sets import known_flags
    from jaxcam.progress import Progress
    from jaxcam.runs import open_sets

    classifier, sets = open_sets(run, data, name)
    for split, images in sets.items():
        predictions = predict_set(classifier, images, progress=Progress(quiet))
        flags = known_flags(run, split, classifier, images)
        write_predictions(run / "predictions" / f"{split}.csv", predictions, flags)
        print(summary(split, predictions))
