"""What a run's folder holds, read with suspicion: a part that is absent or broken becomes a note, not a failure."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxcam.data.images import Raw
from jaxcam.data.prepared import is_prepared
from jaxcam.data.sets import reader
from jaxcam.data.tfds import is_tfds
from jaxcam.errors import UserError
from jaxcam.maps.store import MapStore

SPLIT_ORDER = ("valid", "test", "train")
"""splits by what a reader wants to see first; others stand between `test` and `train`"""
ROUNDED = 1e-6
"""probabilities stand in the table with six digits"""


@dataclass(frozen=True)
class Split:
    """Predictions for one image set, with its maps where there are any."""

    name: str
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    label_names: tuple[str, ...]
    predicted_names: tuple[str, ...]
    probabilities: np.ndarray
    """float64 (n, k), NaN where the image could not be read"""
    flags: tuple[str, ...]
    store: MapStore | None = None
    root: Path | None = None
    reader: Callable[[str], Raw] | None = None
    """reads a picture by its path, where they are kept in no folder of files"""
    written_losses: np.ndarray | None = None
    """float64 (n,) as the table says; NaN where it says nothing"""

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index of every row; -1 where the folder is none of the classes."""
        return self._index(self.label_names)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted class of every row; -1 where the image could not be read."""
        return self._index(self.predicted_names)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class; NaN where the image could not be read."""
        rows = np.arange(len(self.paths))
        return np.where(self.predicted >= 0, self.probabilities[rows, np.maximum(self.predicted, 0)], np.nan)

    @cached_property
    def wrong(self) -> np.ndarray:
        """Rows whose known label is not what was predicted."""
        return (self.labels >= 0) & (self.predicted >= 0) & (self.labels != self.predicted)

    @cached_property
    def loss(self) -> np.ndarray:
        """Cross-entropy of every row, of the rounded probability where the table has none; NaN without a label."""
        rows, known = np.arange(len(self.paths)), (self.labels >= 0) & (self.predicted >= 0)
        shares = np.maximum(self.probabilities[rows, np.maximum(self.labels, 0)], ROUNDED / 2)
        found = np.where(known, -np.log(shares), np.nan)
        written = self.written_losses
        return found if written is None else np.where(np.isfinite(written) & known, written, found)

    def file(self, row: int) -> Path | None:
        """Where the image lies; None where that is unknown or would lead out of the image folder."""
        return None if self.root is None else inside(self.root, self.paths[row])

    def picture(self, row: int) -> Raw | None:
        """The picture as it is kept; None where that is unknown or would lead out of the image folder.

        Raises `UnreadableImage` where it is known to be broken.
        """
        if self.reader is None:
            return self.file(row)
        try:
            return self.reader(self.paths[row])
        except KeyError:
            return None

    def _index(self, names: tuple[str, ...]) -> np.ndarray:
        index = {name: position for position, name in enumerate(self.classes)}
        return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def inside(root: Path, path: str) -> Path | None:
    """Where a path below a folder leads; None where it would lead out of it."""
    inner = PurePosixPath(path)
    return None if inner.is_absolute() or ".." in inner.parts else root / inner


@dataclass(frozen=True)
class Run:
    """Everything a run's folder says, and in words what it does not."""

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    splits: tuple[Split, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The classifier's preprocessing as JSON values; empty where it is not known."""
        found = self.classifier.get("preprocessing") or self.config.get("preprocessing")
        return found if isinstance(found, dict) else {}

    @property
    def cropped(self) -> bool:
        """Whether the network saw the centre of the images only."""
        return self.preprocessing.get("fit") == "crop"


def read_run(folder: Path) -> Run:
    """Read a run's folder; raises `UserError` where it holds nothing of a run."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}; give the folder that `jaxcam train` wrote")
    notes: list[str] = []
    config = _json(folder / "config.json", notes, "the configuration is not known")
    classifier = _json(folder / "classifier" / "classifier.json", notes, "the classifier is not described")
    history = read_history(folder / "history.jsonl", notes)
    splits = _splits(folder, config, notes)
    if not (splits or history or "jaxcam" in config):
        raise UserError(
            f"{str(folder)!r} holds no run (looked for config.json, history.jsonl, predictions/*.csv, maps/*.zarr); "
            "give the folder that `jaxcam train` wrote"
        )
    return Run(folder, config, classifier, history, splits, tuple(notes))


def read_history(path: Path, notes: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The records of `history.jsonl`; lines that are none are counted in a note."""
    if not path.is_file():
        notes.append("history.jsonl is missing, so there are no training curves (`jaxcam train` writes it).")
        return ()
    records, bad = [], 0
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif line.strip():
            bad += 1
    if bad:
        notes.append(f"history.jsonl has {bad} unreadable line{'s' if bad > 1 else ''}, left out of the curves.")
    return tuple(records)


def _json(path: Path, notes: list[str], consequence: str) -> dict[str, Any]:
    name = f"{path.parent.name}/{path.name}" if path.name == "classifier.json" else path.name
    try:
        value = json.loads(path.read_bytes())
        if isinstance(value, dict):
            return value
        problem = "holds no JSON object"
    except OSError:
        problem = "is missing"
    except ValueError:
        problem = "is not JSON"
    notes.append(f"{name} {problem}, so {consequence}.")
    return {}


def _splits(folder: Path, config: Mapping[str, Any], notes: list[str]) -> tuple[Split, ...]:
    tables = sorted((folder / "predictions").glob("*.csv"))
    stores = {path.stem: path for path in sorted((folder / "maps").glob("*.zarr"))}
    if not tables:
        notes.append("predictions/ holds no table, so there are no results (`jaxcam evaluate` writes one).")
    splits = []
    for table in tables:
        try:
            split = read_predictions(table)
        except (OSError, ValueError, csv.Error) as error:
            notes.append(f"predictions/{table.name} is not a table of predictions ({error}).")
            continue
        store = _store(stores.pop(table.stem, None), split, notes)
        root = _root(split, store, config, folder)
        splits.append(replace(split, store=store, root=root, reader=_reader(split, root, notes)))
    for name in stores:
        notes.append(f"maps/{name}.zarr has no predictions/{name}.csv beside it and is not shown.")
    rank = {name: position for position, name in enumerate(SPLIT_ORDER[:-1])} | {SPLIT_ORDER[-1]: 99}
    return tuple(sorted(splits, key=lambda split: (rank.get(split.name, 9), split.name)))


def read_predictions(path: Path) -> Split:
    """Read `predictions/SPLIT.csv`; raises ValueError with a reason where it is no such table."""
    text: dict[str, list[str]] = {"path": [], "label": [], "predicted": [], "flags": []}
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        columns = [position for position, name in enumerate(header) if name.startswith("p_")]
        lacking = [name for name in text if name not in header]
        if lacking or not columns:
            raise ValueError(f"column {lacking[0] if lacking else 'p_CLASS'!r} is missing")
        classes = tuple(header[column].removeprefix("p_") for column in columns)
        allowed = {"", *classes}
        places = {name: header.index(name) for name in text}
        shares, losses = [], []
        loss_at = header.index("loss") if "loss" in header else -1
        for line in lines:
            if len(line) != len(header):
                raise ValueError(f"line {lines.line_num} has {len(line)} fields, not {len(header)}")
            for name, position in places.items():
                text[name].append(line[position])
            if text["predicted"][-1] not in allowed:
                predicted = text["predicted"][-1]
                raise ValueError(f"line {lines.line_num} predicts {predicted!r}, which has no column")
            shares.append(np.array([float(line[column] or "nan") for column in columns]))
            losses.append(float(line[loss_at] or "nan") if loss_at >= 0 else float("nan"))
    return Split(
        name=path.stem,
        classes=classes,
        paths=tuple(text["path"]),
        label_names=tuple(text["label"]),
        predicted_names=tuple(text["predicted"]),
        probabilities=np.array(shares, dtype=np.float64).reshape(len(shares), len(columns)),
        flags=tuple(text["flags"]),
        written_losses=np.array(losses, dtype=np.float64),
    )


def _store(path: Path | None, split: Split, notes: list[str]) -> MapStore | None:
    """The split's maps, if they belong to its table."""
    if path is None:
        notes.append(f"There are no maps for {split.name} (`jaxcam explain` computes them).")
        return None
    try:
        store = MapStore.open(path)
        logits = store.read("logits")
    except UserError as error:
        notes.append(f"maps/{path.name} cannot be shown: {error}.")
        return None
    known = np.isfinite(logits).all(1)
    other = None
    if store.count != len(split.paths):
        other = f"it has {store.count} rows, the table {len(split.paths)}"
    elif logits.shape[1] != len(split.classes) or tuple(store.manifest.get("classes", split.classes)) != split.classes:
        other = "its classes are others"
    elif (logits[known].argmax(1) != split.predicted[known]).any():
        other = "it was made by another classifier"
    if other:
        notes.append(f"maps/{path.name} does not belong to predictions/{split.name}.csv ({other}) and is not shown.")
        return None
    if not store.complete:
        done = store.batches - len(store.missing)
        notes.append(
            f"maps/{path.name} is incomplete: {done} of {store.batches} batches are there (`jaxcam explain` continues)."
        )
    return store


def _root(split: Split, store: MapStore | None, config: Mapping[str, Any], folder: Path) -> Path | None:
    """The folder that the split's paths start from: as the maps say, else one the configuration speaks of."""
    candidates: list[Path] = []
    if store is not None and isinstance(store.manifest.get("root"), str):
        candidates.append(Path(store.manifest["root"]))
    candidates += _recorded(folder / "data.json", split.name)
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    if isinstance(data.get("folder"), str) and data["folder"]:
        base = Path(data["folder"])
        inner = [data[key] for key in (split.name, "train", "valid") if isinstance(data.get(key), str)]
        candidates += [*(base / name for name in inner), base]
        if base.is_dir():
            candidates += sorted(entry for entry in base.iterdir() if entry.is_dir())
    for path in candidates:
        if is_tfds(str(path)) or is_prepared(path) or is_prepared(path.parent):
            return path
    candidates += [folder / path for path in candidates if not path.is_absolute()]
    for path in candidates:
        attempt = replace(split, root=path)
        files = (attempt.file(row) for row in range(min(len(split.paths), 8)))
        if any(file is not None and file.is_file() for file in files):
            return path
    return candidates[0] if candidates else None


def _recorded(path: Path, split: str) -> list[Path]:
    """Where a run's `data.json` says that the pictures of a split lie."""
    try:
        root = json.loads(path.read_bytes())["sets"][split]["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [Path(root)] if isinstance(root, str) else []


def _reader(split: Split, root: Path | None, notes: list[str]) -> Callable[[str], Raw] | None:
    """Reads the pictures of a split that are kept in no folder of files."""
    try:
        return None if root is None else reader(root)
    except UserError as error:
        notes.append(f"The pictures of {split.name} cannot be shown: {error}.")
        return None
