"""A run's folder, seen from the commands that read it: its classifier, its image sets."""

from pathlib import Path

import jaxcam.classifier
from jaxcam.classifier import Classifier
from jaxcam.config import Data
from jaxcam.data.folder import ImageSet, find_splits, load_folder
from jaxcam.errors import UserError
from jaxcam.files import read_json
from jaxcam.training.start import image_sets


def open_sets(
    run: Path, data: Path | None, name: str | None, *, default: str | None = None
) -> tuple[Classifier, dict[str, ImageSet]]:
    """The run's classifier and the image sets asked for.

    Without `data`: the pictures the run was trained on (`default`: only that split). With it: the folder, or each of
    its splits. The classes are the classifier's; pictures of other folders have no label. The keys are the names of
    what is written: `name` (by default the split's, or the folder's), before it a split's name where there are several.
    """
    if not run.is_dir():
        raise UserError(f"no run {str(run)!r}; give the folder that `jaxcam train` wrote")
    if name is not None and (Path(name).name != name or name.startswith(".")):
        raise UserError(f"--name {name!r} becomes a file's name; give a plain word")
    classifier = jaxcam.classifier.load(run)
    names = classifier.class_names
    if data is None:
        config = read_json(run / "config.json")
        try:
            values = {key: value for key, value in config["data"].items() if key in Data.__dataclass_fields__}
            own, seed = Data(**values), int(config["seed"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{run / 'config.json'} is not of `jaxcam train`; give --data FOLDER") from error
        sets = image_sets(own, seed, class_names=names)
        if default is not None:
            return classifier, {name or default: sets[default]}
        return classifier, {f"{name}_{split}" if name else split: images for split, images in sets.items()}
    stem = name or data.resolve().name.lower()
    splits = find_splits(data)
    if splits:
        sets = {f"{stem}_{split}": load_folder(path, class_names=names, name=split) for split, path in splits.items()}
        return classifier, sets
    if name is None and stem in ("train", "valid"):
        raise UserError(f"{data} would replace what the run says of its own {stem!r} pictures; give a --name")
    return classifier, {stem: load_folder(data, class_names=names, name=stem)}
