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
    its splits. The classes are the classifier's; pictures of other folders have no label.
    """
    if not run.is_dir():
        raise UserError(f"no run {str(run)!r}; give the folder that `jaxcam train` wrote")
    classifier = jaxcam.classifier.load(run)
    names = classifier.class_names
    if data is None:
        config = read_json(run / "config.json")
        values = {key: value for key, value in config["data"].items() if key in Data.__dataclass_fields__}
        sets = image_sets(Data(**values), int(config["seed"]), class_names=names)
        return classifier, sets if default is None else {default: sets[default]}
    splits = find_splits(data)
    if not splits:
        return classifier, {name or data.resolve().name.lower(): load_folder(data, class_names=names, name=name)}
    prefix = f"{name or data.resolve().name.lower()}_"
    return classifier, {
        f"{prefix}{split}": load_folder(folder, class_names=names, name=split) for split, folder in splits.items()
    }
