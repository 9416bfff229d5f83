"""From a config to the things a run needs: image sets, the classifier before training, the run's folder."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcam import __version__, weights
from jaxcam.classifier import Classifier
from jaxcam.config import Config, Data, defaults, differences, to_json
from jaxcam.data.folder import find_splits, load_folder
from jaxcam.data.images import ImageSet
from jaxcam.data.sets import absolute, kind_of, load_set, splits_of
from jaxcam.data.splits import stratified
from jaxcam.errors import UserError
from jaxcam.files import read_json, write_json
from jaxcam.networks import NetworkSpec, split_params
from jaxcam.networks.catalog import architecture, fresh_params
from jaxcam.preprocessing import Preprocessing

CONFIG, DATA = "config.json", "data.json"
WEIGHT_ALIASES = ("mini", "imagenet")


def image_sets(
    data: Data,
    seed: int,
    *,
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, ImageSet]:
    """The splits `train` and `valid` of a set; without a validation split a share of each class is held out.

    The set is a folder, a manifest, a prepared folder or a `tfds:` name. The classes are the training split's; a
    validation picture of another class is an error, and so is a set that was prepared otherwise than `preprocessing`
    asks for.
    """
    if not data.where:
        raise UserError(
            "no pictures: give --data.folder FOLDER with one sub-folder a class, or Train/Valid folders; or "
            "--data.source with a manifest, a prepared folder or tfds:NAME"
        )
    train, valid = (folder_splits if kind_of(data.where) == "folder" else other_splits)(data, class_names)
    if preprocessing is not None:
        train.check(preprocessing)
    if valid is None:
        return held_out(train, data.valid_share, seed)
    unknown = sorted({valid.folder_names[row] for row in np.flatnonzero(valid.labels < 0)})
    if unknown:
        classes = ", ".join(train.class_names)
        raise UserError(f"{valid.root} has classes that training lacks: {', '.join(unknown)}; known are {classes}")
    return {"train": train, "valid": valid}


def folder_splits(data: Data, class_names: tuple[str, ...] | None) -> tuple[ImageSet, ImageSet | None]:
    """Training and validation pictures of a folder, as its sub-folders or `data.train` and `data.valid` say."""
    root = Path(data.where)
    splits = {} if data.train else find_splits(root)
    train_folder = root / data.train if data.train else splits.get("train", root)
    valid_folder = root / data.valid if data.valid else splits.get("valid", splits.get("test"))
    train = load_folder(train_folder, name="train", class_names=class_names)
    if valid_folder is None:
        return train, None
    return train, load_folder(valid_folder, class_names=train.class_names, name="valid")


def other_splits(data: Data, class_names: tuple[str, ...] | None) -> tuple[ImageSet, ImageSet | None]:
    """The same for sets that are no folders of files."""
    splits = splits_of(data.where)
    if splits and not data.train and "train" not in splits:
        raise UserError(f"{data.where} has no train split, only {', '.join(splits)}; name one with --data.train")
    train = load_set(data.where, data.train or ("train" if splits else None), class_names=class_names, name="train")
    held = data.valid or next((split for split in ("valid", "test") if split in splits and split != data.train), None)
    return train, load_set(data.where, held, class_names=train.class_names, name="valid") if held else None


def held_out(images: ImageSet, share: float, seed: int) -> dict[str, ImageSet]:
    """Split a set without splits: a share of each class, at least one picture, chosen by the seed.

    Near duplicates (rows of one group of a manifest) stay together.
    """
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
    if images.groups is not None:
        words = {"": -1}
        groups = np.array([words.setdefault(group, len(words)) for group in images.groups])
        valid = np.flatnonzero(stratified(images.labels, [1 - share, share], seed=seed, groups=groups)).tolist()
    rest = np.setdiff1d(np.arange(len(images)), valid)
    return {"train": images.subset(rest, name="train"), "valid": images.subset(sorted(valid), name="valid")}


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
    all_stages = {stage for stage, _ in architecture(network.name).base(width=1.0)}
    cut = all_stages - set(NetworkSpec(name=network.name, base_end=network.base_end).base_names())
    entry = weights.entry_for(network.weights, network.name, network.width or architecture(network.name).width)
    if entry is not None:
        return weights.load_entry(entry, template, ignore_top=True, ignore=cut)
    name = network.weights
    if not Path(name).is_file():
        names = ", ".join(["none", *WEIGHT_ALIASES, *(entry.name for entry in weights.list_entries())])
        raise UserError(f"no weights {network.weights!r}: it is no file and none of {names}; see `jaxcam weights list`")
    return weights.load(name, template, network=network.name, ignore_top=True, ignore=cut)


def check_run(run: Path, config: Config) -> None:
    """Check that the run's folder is new, or was made by the same config; writes nothing."""
    path = run / CONFIG
    if path.exists():
        found = differences(read_json(path), described(config), defaults(config))
        changed = [line for line in found if not line.startswith("jaxcam:")]
        if changed:
            raise UserError(f"{run} holds a run with another config ({'; '.join(changed)}); give another --out")
    elif run.exists() and not run.is_dir():
        raise UserError(f"{run} is a file; give another --out")
    # What a run that was killed at its very start leaves behind is no reason to refuse.
    elif run.exists() and any(file.name != f".{CONFIG}.part" for file in run.iterdir()):
        raise UserError(f"{run} is not empty and holds no run; give another --out")


def open_run(run: Path, config: Config, sets: Mapping[str, ImageSet]) -> None:
    """Make the run's folder, or check that an existing one was made by the same config and of the same pictures.

    `data.json` says where the pictures lie, whatever folder `jaxcam` is called in, and has their fingerprints.
    """
    check_run(run, config)
    if not (run / CONFIG).exists():
        write_json(run / CONFIG, described(config))
    found = {name: identified(images) for name, images in sets.items()}
    if not (run / DATA).exists():
        return write_json(run / DATA, {"source": absolute(config.data.where), "sets": found})
    known = read_json(run / DATA)
    known = known.get("sets") if isinstance(known, dict) else None
    changed = [name for name in found if not isinstance(known, dict) or not same_pictures(known.get(name), found[name])]
    if changed:
        name, before = changed[0], known.get(changed[0]) if isinstance(known, dict) else None
        count = before.get("count") if isinstance(before, dict) else None
        told = f"{count} -> {found[name]['count']} pictures" if count != found[name]["count"] else "some files differ"
        raise UserError(
            f"the {name} pictures changed since {run} was started ({told}, in {found[name]['root']}); put them back, "
            "or give another --out"
        )


def identified(images: ImageSet) -> dict[str, Any]:
    """What `data.json` says of a split."""
    words = hashlib.sha256("\0".join(images.folder_names).encode()).hexdigest()
    root = str(images.root) if images.source else os.path.abspath(images.root)
    return {"root": root, "count": len(images), "labels": words, "fingerprint": images.fingerprint()}


def same_pictures(before: Any, now: Mapping[str, Any]) -> bool:
    """Whether two descriptions mean the same pictures and labels, wherever they lie."""
    keys = ("count", "labels", "fingerprint")
    return isinstance(before, dict) and all(before.get(key) == now[key] for key in keys)


def described(config: Config) -> dict[str, Any]:
    """What `config.json` holds."""
    return {"jaxcam": __version__, **to_json(config)}
