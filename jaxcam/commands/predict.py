"""`jaxcam predict`."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxcam.errors import UserError


def predict(
    run: Annotated[Path, tyro.conf.Positional],
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    overlay: Path | None = None,
) -> None:
    """Class and probability of single images.

    Example: jaxcam predict runs/pictures cat.jpg dog.png --overlay overlays

    Args:
        run: a run's folder
        images: image files
        overlay: folder for pictures with the Grad-CAM map laid over
    """
    import jaxcam
    from jaxcam.maps.overlays import write_overlays

    if not images:
        raise UserError("no images: give image files after the run's folder")
    classifier = jaxcam.load(run)
    predictions = classifier.predict([str(path) for path in images])
    for path, label, shares in zip(images, predictions.labels, predictions.probabilities, strict=True):
        print(f"{path}: {label} {shares.max():.4f}")
    if overlay is not None:
        pixels = classifier.prepare([str(path) for path in images])
        maps = classifier.explain(pixels, methods=("grad_cam",))["grad_cam"]
        for file in write_overlays(overlay, [path.stem for path in images], pixels, maps):
            print(file)
