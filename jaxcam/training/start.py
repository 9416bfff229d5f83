"""From a config to the things a run needs: image sets, the classifier before training, the run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcam import __version__, weights
from jaxcam.classifier import Classifier
from jaxcam.config import Config, Data, differences, to_json
from jaxcam.data.folder import ImageSet, find_splits, load_folder
from jaxcam.errors import UserError
from jaxcam.files import read_json, write_json
from jaxcam.networks import NetworkSpec, split_params
from jaxcam.networks.catalog import architecture, fresh_params

CONFIG = "config.json"
WEIGHT_ALIASES = {"mini": "vgg16_mini", "imagenet": "vgg16_keras_notop"}


def image_sets(data: Data, seed: int, *, class_names: tuple[str, ...] | None = None) -> dict[str, ImageSet]:
    """The splits `train` and `valid` of a folder; without a validation folder a share of each class is held out.

    The classes are the training folder's; a validation picture of another class is an error.
    """
    if not data.folder:
        raise UserError("no pictures: give --data.folder FOLDER with one sub-folder a class, or Train/Valid folders")
    root = Path(data.folder)
    splits = {} if data.train else find_splits(root)
    train_folder = root / data.train if data.train else splits.get("train", root)
    valid_folder = root / data.valid if data.valid else splits.get("valid", splits.get("test"))
    train = load_folder(train_folder, name="train", class_names=class_names)
    if valid_folder is None:
        return held_out(train, data.valid_share, seed)
    valid = load_folder(valid_folder, class_names=train.class_names, name="valid")
    unknown = sorted({valid.folder_names[row] for row in np.flatnonzero(valid.labels < 0)})
    if unknown:
        classes = ", ".join(train.class_names)
        raise UserError(f"{valid_folder} has classes that training lacks: {', '.join(unknown)}; known are {classes}")
    return {"train": train, "valid": valid}


def held_out(images: ImageSet, share: float, seed: int) -> dict[str, ImageSet]:
    """Split a folder without splits: a share of each class, at least one picture, chosen by the seed."""
    if not 0 < share < 1:
        raise UserError(f"--data.valid-share must lie between 0 and 1, got {share}")
    valid: list[int] = []
    for label in range(len(images.class_names)):
        rows = np.flatnonzero(images.labels == label)
        if len(rows) < 2:
            name = images.class_names[label]
            raise UserError(f"class {name!r} has {len(rows)} picture; two are needed to hold one out for validation")
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        valid += np.random.default_rng([seed, label]).permutation(rows)[:count].tolist()
    rest = np.setdiff1d(np.arange(len(images)), valid)
    split = {"train": images.subset(rest), "valid": images.subset(sorted(valid))}
    return {name: ImageSet(name, s.root, s.class_names, s.paths, s.labels) for name, s in split.items()}


def initial_classifier(config: Config, class_names: tuple[str, ...]) -> Classifier:
    """The classifier before training: fresh parameters, and the base's from the weights asked for."""
    network = config.network
    spec = NetworkSpec(
        name=network.name,
        classes=len(class_names),
        head=network.head,
        base_end=network.base_end,
        width=network.width,
        input_size=config.preprocessing.size,
        dtype=network.dtype,
    )
    chain, pretrained = spec.chain(), {}
    if network.weights != "none":
        pretrained = pretrained_base(config, split_params(chain.abstract(spec.shape), spec.base_names())[0])

    params = fresh_params(chain, jax.random.key(config.seed), spec.shape, without=pretrained)
    return Classifier(spec, {**params, **pretrained}, config.preprocessing, class_names)


def pretrained_base(config: Config, template: Mapping[str, Any]) -> dict[str, Any]:
    """The base's parameters from `config.network.weights`: an alias, a catalogue entry or a file."""
    network = config.network
    name = WEIGHT_ALIASES.get(network.weights, network.weights)
    all_stages = {stage for stage, _ in architecture(network.name).base(width=1.0)}
    cut = all_stages - set(NetworkSpec(name=network.name, base_end=network.base_end).base_names())
    known = {entry.name: entry for entry in weights.list_entries()}
    if name in known:
        entry = known[name]
        if entry.network != network.name:
            raise UserError(
                f"weights {name!r} are for {entry.network}, not for {network.name!r}; change --network.name"
            )
        return weights.load_entry(entry, template, ignore_top=True, ignore=cut)
    if not Path(name).is_file():
        names = ", ".join(["none", *WEIGHT_ALIASES, *known])
        raise UserError(f"no weights {network.weights!r}: it is no file and none of {names}; see `jaxcam weights list`")
    return weights.load(name, template, network=network.name, ignore_top=True, ignore=cut)


def check_run(run: Path, config: Config) -> None:
    """Check that the run's folder is new, or was made by the same config; writes nothing."""
    path = run / CONFIG
    if path.exists():
        changed = [line for line in differences(read_json(path), described(config)) if not line.startswith("jaxcam:")]
        if changed:
            raise UserError(f"{run} holds a run with another config ({'; '.join(changed)}); give another --out")
    elif run.exists() and not run.is_dir():
        raise UserError(f"{run} is a file; give another --out")
    # What a run that was killed at its very start leaves behind is no reason to refuse.
    elif run.exists() and any(file.name != f".{CONFIG}.part" for file in run.iterdir()):
        raise UserError(f"{run} is not empty and holds no run; give another --out")


def open_run(run: Path, config: Config) -> None:
    """Make the run's folder, or check that an existing one was made by the same config."""
    check_run(run, config)
    if not (run / CONFIG).exists():
        write_json(run / CONFIG, described(config))


def described(config: Config) -> dict[str, Any]:
    """What `config.json` holds."""
    return {"jaxcam": __version__, **to_json(config)}
