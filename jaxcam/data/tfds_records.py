"""The records of a TensorFlow Datasets set, read in any order from its array_record files, without TensorFlow."""

import contextlib
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.folder import SPLITS, UNPRINTABLE, split_of
from jaxcam.data.images import ImageSet, Source
from jaxcam.data.tfds import Name, find, parse
from jaxcam.errors import UserError
from jaxcam.files import replace_file

_FILE_NAMES = ("image/filename", "file_name", "filename", "image/file_name", "image_id", "id")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_WORTH_KEEPING = 10_000  # records: reading the labels of more takes seconds, so they are kept in the user's cache


@dataclass(frozen=True)
class Records(Source):
    """Encoded pictures by their number in a split."""

    data: Any
    """TFDS' data source"""
    image: str
    """key of the image feature"""
    fingerprint: str

    def read(self, place: int) -> bytes:
        """The encoded picture; raises `UnreadableImage` for a damaged record."""
        try:
            return bytes(self.data[place][self.image])
        except Exception as error:  # whatever array_record and protobuf raise for damaged bytes
            line = UNPRINTABLE.sub("?", " ".join(str(error).split()))[:120]
            raise UnreadableImage(line or type(error).__name__) from error

    def stamp(self, place: int) -> str:
        """A word for the record: its set, version, split and number."""
        return f"{self.fingerprint[:16]}-{place}"


def splits_of(spec: str) -> tuple[str, ...]:
    """The set's splits that are train, valid (validation, ...) or test; none where the name holds `?split=`."""
    name = parse(spec)
    if "split" in name.options:
        return ()
    found = {split_of(split) for split in _builder(str(find(name))).info.splits}
    return tuple(split for split in SPLITS if split in found)


def load_tfds(
    spec: str, split: str | None = None, *, class_names: Sequence[str] | None = None, name: str | None = None
) -> ImageSet:
    """The pictures of a split (None: of the one that the name's `?split=` asks for, or of the only one).

    `split` is train, valid or test, or a split expression such as `train[:80%]`. Labels come from the set's label
    feature, by name: with `class_names` (a classifier's) rows of other classes get label -1. `root` is the `tfds:` name
    that opens the same split again.

    Raises `UserError` where the set is not there, has no such split, or is no set of images with one class label each.
    """
    parsed = parse(spec)
    folder = find(parsed)
    info = _builder(str(folder)).info
    expression = _expression(spec, parsed, info, split)
    image, label = _features(spec, parsed, info)
    data, files = _open(spec, folder, expression, (image, label))
    facts = [info.full_name, expression, image, label, *(f"{Path(file).name} {_size(file)}" for file in files)]
    fingerprint = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    labels, words = _labels(data, label, fingerprint)

    known = [UNPRINTABLE.sub("?", class_name) for class_name in info.features[label].names]
    own = tuple(sorted(known)) if class_names is None else tuple(class_names)
    index = {class_name: number for number, class_name in enumerate(own)}
    table = np.asarray([*(index.get(class_name, -1) for class_name in known), -1], dtype=np.int32)
    digits, stem = len(str(max(len(labels) - 1, 0))), _UNSAFE.sub("-", expression).strip("-")
    root = str(replace(parsed, options={**parsed.options, "split": expression}))
    return ImageSet(
        name=(name or split or stem).lower(),
        root=Path(root),
        class_names=own,
        paths=tuple(f"{stem}/{row:0{digits}d}{f'-{word}' if word else ''}" for row, word in enumerate(words)),
        labels=table[labels],
        label_names=tuple(known[code] if code >= 0 else "" for code in labels.tolist()),
        source=Records(data, image, fingerprint),
    )


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"tfds: names need the package tensorflow-datasets: {error}; pip install 'jaxcam'") from error
    return tensorflow_datasets


@lru_cache(maxsize=8)
def _builder(folder: str) -> Any:
    """TFDS' builder of a version's folder; its description is read once."""
    tfds = _tfds()
    try:
        builder = tfds.builder_from_directory(folder)
        if builder.info.file_format.value != "array_record":  # it is there too, `find` has looked
            builder.info.set_file_format("array_record", override=True, override_if_initialized=True)
        return builder
    except Exception as error:  # the description's own reader raises anything
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} cannot be opened as a TFDS set: {type(error).__name__}: {line}") from error


def _expression(spec: str, name: Name, info: Any, split: str | None) -> str:
    """The split as TFDS knows it."""
    there = list(info.splits)
    asked = split or name.options.get("split")
    if asked is None:
        if len(there) != 1:
            raise UserError(f"{spec} is divided into {', '.join(there)}; name one, as in {spec}?split={there[0]}")
        return there[0]
    if asked in there:
        return asked
    meant = [one for one in there if split_of(one) == split_of(asked)] if split_of(asked) else []
    if meant:
        return meant[0]
    try:
        info.splits[asked].num_examples  # noqa: B018 - it parses the expression
    except Exception as error:
        raise UserError(f"{spec} has no split {asked!r}; there are: {', '.join(there)}") from error
    return asked


def _features(spec: str, name: Name, info: Any) -> tuple[str, str]:
    """Keys of the image and of the label: those asked for, those of supervised training, or the only ones."""
    tfds = _tfds()
    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    supervised = dict(zip(("image", "label"), info.supervised_keys or (), strict=False))
    found = []
    for role, kind in kinds.items():
        of_kind = [key for key, feature in features.items() if isinstance(feature, kind)]
        asked = name.options.get(role) or supervised.get(role)
        if not (isinstance(asked, str) and asked in of_kind):
            if name.options.get(role) or len(of_kind) != 1:
                there = ", ".join(sorted(of_kind)) or f"none, only {', '.join(sorted(features)) or info.features}"
                raise UserError(f"{spec}: name its {role} feature with ?{role}=KEY; there are: {there}")
            asked = of_kind[0]
        found.append(asked)
    if np.issubdtype(np.dtype(features[found[0]].np_dtype), np.floating):
        raise UserError(f"{spec}: {found[0]!r} holds float images; only encoded uint8 or uint16 pictures are read")
    return found[0], found[1]


def _open(spec: str, folder: Path, expression: str, keys: tuple[str, str]) -> tuple[Any, list[str]]:
    """TFDS' data source of a split, other pictures in its records left as they are, and its files."""
    tfds, builder = _tfds(), _builder(str(folder))
    files = [str(part.filename) for part in builder.info.splits[expression].file_instructions]
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise UserError(f"{spec}: {missing[0]} is missing; delete {folder} and prepare the set again")
    decoders = {key: tfds.decode.SkipDecoding() for key in builder.info.features if key != keys[1]}
    try:
        return builder.as_data_source(expression, decoders=decoders), files
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{spec} cannot be read: {type(error).__name__}: {line}") from error


def _labels(data: Any, label: str, fingerprint: str) -> tuple[np.ndarray, list[str]]:
    """Class number and file name (where the set has one) of every record, kept in the user's cache for large sets."""
    kept = _cache_folder() / f"{fingerprint}.npz"
    if kept.is_file():
        try:
            with np.load(io.BytesIO(kept.read_bytes()), allow_pickle=False) as found:
                if len(found["labels"]) == len(found["words"]) == len(data):
                    return found["labels"], found["words"].tolist()
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # a damaged copy is made again
    labels, words = np.full(len(data), -1, np.int64), [""] * len(data)
    for row in range(len(data)):
        try:
            record = data[row]
        except Exception:  # a damaged record has no label; reading its picture tells why
            continue
        labels[row] = max(int(record[label]), -1)
        word = next((record[key] for key in _FILE_NAMES if isinstance(record.get(key), bytes | str)), "")
        text = word.decode("utf-8", "replace") if isinstance(word, bytes) else word
        words[row] = _UNSAFE.sub("-", text.rsplit("/", 1)[-1])[-80:]
    if len(data) >= _WORTH_KEEPING:
        content = io.BytesIO()
        np.savez(content, labels=labels, words=np.asarray(words))
        with contextlib.suppress(OSError):  # it only saves time
            replace_file(kept, content.getvalue())
    return labels, words


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "jaxcam" / "tfds"


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1
