"""`jaxcam explain`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def explain(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    methods: tuple[Literal["cam", "grad_cam"], ...] = ("grad_cam",),
    targets: str = "predicted",
    stage: str | None = None,
    batch_size: int = 32,
    overlays: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Maps of a whole image set into the run's folder; an interrupted one goes on where it stopped.

    Example: jaxcam explain runs/pictures --methods cam grad_cam --targets all

    Args:
        run: a run's folder
        data: folder of images; default: the run's own validation pictures
        name: name of the store; default: the folder's name, or valid
        methods: cam needs a head that ends in global average pooling
        targets: predicted, true, all, or a class name
        stage: stage whose maps Grad-CAM weighs; default: the last convolution below the head
        batch_size: images a step
        overlays: also write a picture with the map laid over for every image
        overwrite: replace maps that were made with other settings
        quiet: no progress
    """
    from jaxcam.maps.overlays import write_set_overlays
    from jaxcam.maps.run import Request, run_set
    from jaxcam.progress import Progress
    from jaxcam.runs import open_sets

    classifier, sets = open_sets(run, data, name, default="valid")
    request = Request(methods=methods, targets=targets, stage=stage)
    for split, images in sets.items():
        store = run_set(
            classifier,
            images,
            run,
            request,
            name=split,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=Progress(quiet),
        )
        print(f"{store.path}: {len(images)} images, {', '.join(methods)}")
        if overlays:
            print(write_set_overlays(store, images, run / "overlays" / split, classifier.preprocessing))
