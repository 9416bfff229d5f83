"""`jaxcam data augmentations`."""

import inspect
from collections.abc import Sequence
from pathlib import Path

from jaxcam.errors import UserError


def augmentations(arguments: Sequence[str]) -> None:
    """A contact sheet of one image's variants, as a config's phase draws them: jaxcam data augmentations CONFIG

    The original stands first; below each variant stands what was drawn for it. Options change the config as in
    `jaxcam train`; --data.folder is only needed where no image is given.

    Example: jaxcam data augmentations configs/folder.py --image cat.jpg --phases.0.augment.rotation 20 --out sheet.png

    Args:
        --image: image file; default: the first readable training picture
        --phase: phase whose variation is shown, counted from 0; default: the first one that varies anything
        --count: number of variants; default 15
        --draw-seed: another seed gives other variants; default 0
        --out: the sheet, PNG or JPEG; default augmentations.png
    """
    if not arguments or arguments[0].startswith("-"):
        print(inspect.getdoc(augmentations))
        if arguments[:1] in (["-h"], ["--help"]):
            return
        raise UserError("no config: give a file first, as in `jaxcam data augmentations configs/folder.py`")
    from jaxcam.commands.configured import parse_config

    config, options = parse_config(
        arguments,
        "jaxcam data augmentations",
        {
            "image": (Path | None, None, "image file; default: the first readable training picture"),
            "phase": (int | None, None, "phase whose variation is shown; default: the first that varies anything"),
            "count": (int, 15, "number of variants"),
            "draw_seed": (int, 0, "another seed gives other variants"),
            "out": (Path, Path("augmentations.png"), "the sheet, PNG or JPEG"),
        },
    )
    number, phases = options.phase, config.phases
    varied = [place for place, phase in enumerate(phases) if phase.augment.active]
    if number is None and varied:
        number = varied[0]
    if number not in varied:
        told = f"phases that do: {', '.join(map(str, varied))}" if varied else "no phase does"
        which = "" if number is None else f"phase {number} of "
        raise UserError(f"{which}{arguments[0]} varies nothing ({told}); try --phases.0.augment.rotation 20")
    if not 1 <= options.count <= 1000 or options.draw_seed < 0:
        raise UserError(f"got --count {options.count} --draw-seed {options.draw_seed}; 1 to 1000, and at least 0")
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--out is {options.out}; its name must end in .png or .jpg")
    import numpy as np

    from jaxcam.data.variants import contact_sheet, variants
    from jaxcam.maps.render import save_jpeg, save_png

    image = picture(config, options.image)
    images, words = variants(phases[number].augment, image, options.count, seed=options.draw_seed)
    sheet = contact_sheet(np.concatenate([image[None], images]), (("original",), *words))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    (save_png if options.out.suffix.lower() == ".png" else save_jpeg)(options.out, sheet)
    print(f"{options.out}: the original and {options.count} variants of phase {number}")


def picture(config, file: Path | None):
    """The image file, or the config's first training picture that can be read, at the size of the network's input."""
    from jaxcam.data.decode import UnreadableImage, decode
    from jaxcam.training.start import image_sets

    if file is not None:
        try:
            return decode(file, config.preprocessing)
        except UnreadableImage as error:
            raise UserError(f"{file} cannot be read: {error.reason}; give another --image") from error
    if not config.data.where:
        raise UserError("no picture: give --image FILE, or --data.folder FOLDER with training pictures")
    train = image_sets(config.data, config.seed)["train"]
    for row in range(len(train)):
        try:
            return train.decode(row, config.preprocessing)
        except UnreadableImage:
            continue
    raise UserError(f"no picture of {train.root} can be read; give --image FILE")
