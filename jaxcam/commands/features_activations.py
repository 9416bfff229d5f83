"""`jaxcam features RUN activations`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def activations(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    images: tuple[Path, ...],
    stages: tuple[str, ...] = (),
    out: Path | None = None,
    strongest: Literal["mean", "peak", "contrast"] = "mean",
    columns: int = 16,
    channels: bool = False,
    limit: int = 16,
    quiet: bool = False,
) -> None:
    """The maps of any stages for given images: every channel as a picture, the strongest channels, sparsity.

    Example: jaxcam features runs/pictures activations --images cat.jpg dog.jpg --stages block1_conv1 block3_conv3

    Args:
        run: a run's folder
        images: image files, or folders of them
        stages: names of stages; default: all
        out: folder to write to; default: RUN/features/activations
        strongest: the channel with the largest mean, the largest peak, or that stands out most among the images
        columns: channels in a row
        channels: also write every channel as a file of its own
        limit: of a folder at most so many images are taken, evenly spread
        quiet: no progress
    """
    import jaxcam
    from jaxcam import devices
    from jaxcam.errors import UserError
    from jaxcam.features import activations as work
    from jaxcam.features.inputs import image_files, readable
    from jaxcam.progress import Progress

    if columns < 1 or limit < 1:
        raise UserError(f"--columns is {columns}, --limit {limit}; both must be at least 1")
    devices.keep_compiled()
    progress, classifier = Progress(quiet), jaxcam.load(run)
    work.chosen_stages(classifier, stages)
    names, pixels = readable(image_files(images, limit=limit), classifier.preprocessing, progress)
    folder = out or run / "features" / "activations"
    found = work.write_activations(
        classifier,
        pixels,
        names,
        folder,
        stages=stages,
        by=strongest,
        columns=columns,
        channels=channels,
        progress=progress,
    )
    for line in work.sparsity_lines(found):
        print(line)
    print(f"{folder}: {len(names)} images, {len(found)} stages; strongest.png, activations.json, channels.csv")
