"""A run's folder, seen from the commands that read it: its classifier, its image sets."""

from dataclasses import replace
from pathlib import Path

import jaxcam.classifier
from jaxcam.classifier import Classifier
from jaxcam.config import Data
from jaxcam.data.images import ImageSet
from jaxcam.data.sets import kind_of, load_set, splits_of, word_for
from jaxcam.errors import UserError
from jaxcam.files import read_json
from jaxcam.training.start import DATA, image_sets


def open_sets(
    run: Path, data: str | Path | None, name: str | None, *, default: str | None = None
) -> tuple[Classifier, dict[str, ImageSet]]:
    """The run's classifier and the image sets asked for.

    Without `data`: the pictures the run was trained on (`default`: only that split). With it: the set (a folder, a
    manifest, a prepared folder, a `tfds:` name), or each of its splits. The classes are the classifier's; pictures of
    others have no label. The keys are the names of what is written: `name` (by default the split's, or the set's),
    before it a split's name where there are several.
    """
    if not run.is_dir():
        raise UserError(f"no run {str(run)!r}; give the folder that `jaxcam train` wrote")
    if name is not None and (Path(name).name != name or name.startswith(".")):
        raise UserError(f"--name {name!r} becomes a file's name; give a plain word")
    classifier = jaxcam.classifier.load(run)
    if data is None:
        sets = own_sets(run, classifier)
        if default is not None:
            return classifier, {name or default: sets[default]}
        return classifier, {f"{name}_{split}" if name else split: images for split, images in sets.items()}
    stem, splits = name or word_for(data), splits_of(data)
    wanted = {f"{stem}_{split}": split for split in splits} if splits else {stem: None}
    if name is None and not splits and stem in ("train", "valid"):
        raise UserError(f"{data} would replace what the run says of its own {stem!r} pictures; give a --name")
    sets = {
        key: load_set(data, split, class_names=classifier.class_names, name=split or stem)
        for key, split in wanted.items()
    }
    for images in sets.values():
        images.check(classifier.preprocessing)
    return classifier, sets


def own_sets(run: Path, classifier: Classifier) -> dict[str, ImageSet]:
    """The splits that a run was trained and validated on; where they lie, `data.json` says."""
    config = read_json(run / "config.json")
    try:
        values = {key: value for key, value in config["data"].items() if key in Data.__dataclass_fields__}
        own, seed = Data(**values), int(config["seed"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{run / 'config.json'} is not of `jaxcam train`; give --data FOLDER") from error
    if (run / DATA).exists():
        about = read_json(run / DATA)
        source = about.get("source") if isinstance(about, dict) else None
        # A relative name may mean another folder here; but where everything was moved, it may still lead there.
        if isinstance(source, str) and (kind_of(source) == "tfds" or Path(source).exists()):
            own = replace(own, source=source, folder="")
    names, preprocessing = classifier.class_names, classifier.preprocessing
    return image_sets(own, seed, class_names=names, preprocessing=preprocessing)
