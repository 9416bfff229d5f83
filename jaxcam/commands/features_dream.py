"""`jaxcam features RUN dream`."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def dream(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    images: tuple[Path, ...] = (),
    stages: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    octaves: int | None = None,
    octave_scale: float | None = None,
    steps: int | None = None,
    step_size: float | None = None,
    most: float | None = None,
    shift: int | None = None,
    smooth: float | None = None,
    seed: int = 0,
    longest: int = 512,
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """Deep dream of images by some stages, or images of classes from noise.

    Examples: jaxcam features runs/pictures dream --images sky.jpg --stages block4_conv3=1 block5_conv2=0.5
    jaxcam features runs/pictures dream --classes cat dog --octaves 4

    Args:
        run: a run's folder
        images: image files, or folders of them
        stages: stages that are to answer more, each as STAGE or STAGE=WEIGHT; default: the last convolution
        classes: names of classes whose images are grown from noise (all: every class)
        octaves: sizes from coarse to fine; default: 3
        octave_scale: factor between two sizes; default: 1.4
        steps: at every size; default: 20, for classes 64
        step_size: levels of 255 in a step; default: 1.275, for classes 2
        most: an image whose score has passed this is not changed further
        shift: pixels that the image is rolled by in every step; default: 0, for classes 4
        smooth: weight of total variation; default: 0, for classes 0.3
        seed: of the noise and of the shifts
        longest: pixels of the longer side that an image is shrunk to
        out: folder to write to; default: RUN/features/dream
        quiet: no progress
    """
    from dataclasses import replace

    import jaxcam
    from jaxcam import devices
    from jaxcam.data.decode import UnreadableImage
    from jaxcam.errors import UserError
    from jaxcam.features import dreams as work
    from jaxcam.features.activations import unique_words
    from jaxcam.features.inputs import image_files
    from jaxcam.maps.render import save_png
    from jaxcam.maps.stages import default_stage
    from jaxcam.progress import Progress
    from jaxcam.report.pictures import open_picture

    if not images and not classes:
        raise UserError("nothing to dream of: give --images FILE or --classes NAME")
    devices.keep_compiled()
    progress, classifier = Progress(quiet), jaxcam.load(run)
    folder = out or run / "features" / "dream"
    said: dict[str, Any] = {"octaves": octaves, "octave_scale": octave_scale, "steps": steps, "step_size": step_size}
    said |= {"most": most, "shift": shift, "smooth": smooth, "seed": seed}
    changes = {name: value for name, value in said.items() if value is not None}
    if classes:
        names = classifier.class_names if classes == ("all",) else classes
        pictures = work.class_pictures(classifier, names, replace(work.CLASS_SETTINGS, **changes), progress=progress)
        sure = classifier.predict(list(pictures)).probabilities
        for name, word, picture, shares in zip(names, unique_words(names), pictures, sure, strict=True):
            save_png(folder / f"class_{word}.png", picture)
            share = shares[classifier.class_names.index(name)]
            print(f"{folder / f'class_{word}.png'}: the classifier gives it {name} {share:.4f}")
    if images:
        weights = work.stage_weights(stages or (default_stage(classifier),))
        settings = replace(work.DreamSettings(), **changes)
        files = image_files(images)
        for file, word in zip(files, unique_words([file.stem for file in files]), strict=True):
            try:
                picture = open_picture(file, longest=longest)
            except UnreadableImage as error:
                progress.say(f"skipped {file}: {error.reason}")
                continue
            save_png(
                folder / f"{word}.png", work.dream_picture(classifier, picture, weights, settings, progress=progress)
            )
            print(folder / f"{word}.png")
