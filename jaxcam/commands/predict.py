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
    """Class and probability of single images, and what is odd about them.

    Where `jaxcam evaluate --temperature` has kept a temperature, the calibrated probability stands behind the raw one.

    Example: jaxcam predict runs/pictures cat.jpg dog.png --overlay overlays

    Args:
        run: a run's folder
        images: image files
        overlay: folder for pictures with the Grad-CAM map laid over
    """
    import jaxcam
    from jaxcam import devices
    from jaxcam.maps.overlays import write_overlays

    if not images:
        raise UserError("no images: give image files after the run's folder")
    devices.keep_compiled()
    classifier = jaxcam.load(run)
    pixels = classifier.prepare([str(path) for path in images])
    found = classifier.predict(pixels)
    for row, path in enumerate(images):
        words = f"{path}: {found.labels[row]} {found.probabilities[row].max():.4f}"
        if found.calibrated is not None:
            words += f", calibrated {found.calibrated[row].max():.4f}"
        print(words)
        for warning in found.warnings[row]:
            print(f"{path}: warning: {warning}")
    if overlay is not None:
        maps = classifier.explain(pixels, methods=("grad_cam",))["grad_cam"]
        for file in write_overlays(overlay, [path.stem for path in images], pixels, maps):
            print(file)
