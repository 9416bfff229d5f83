"""The embedding of a set: features, places, neighbours and what is known of every picture, as one table."""

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from jaxcam import __version__
from jaxcam.classifier import Predictions
from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError
from jaxcam.features.extraction import SetFeatures
from jaxcam.features.projections import Projection, nearest, project
from jaxcam.files import replacing, write_json
from jaxcam.progress import Progress

NEIGHBOURS = 8


@dataclass(frozen=True)
class Embedding:
    """Rows are the readable pictures of all splits; `unreadable` names the others."""

    stage: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    sets: Mapping[str, ImageSet]
    split: Int[np.ndarray, " n"]
    """number of each row's split"""
    row: Int[np.ndarray, " n"]
    """its row in the split's image set"""
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    """class in words; what else its folder is called where it is none of the classifier's"""
    known: Bool[np.ndarray, " n"]
    """whether the label is a class of the classifier"""
    predicted: Int[np.ndarray, " n"]
    probability: Float32[np.ndarray, " n"]
    features: Float32[np.ndarray, "n c"]
    places: Mapping[str, Float32[np.ndarray, "n 2"]]
    neighbours: Int[np.ndarray, "n k"]
    similarity: Float32[np.ndarray, "n k"]
    shares: list[float]
    """of the variance, on PCA's two axes"""
    unreadable: tuple[tuple[str, str], ...] = ()
    """(path, reason)"""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> Bool[np.ndarray, " n"]:
        """Whether a known label was not predicted."""
        answers = np.array(self.class_names, object)[self.predicted]
        return self.known & (answers != np.array(self.labels, object))

    def __len__(self) -> int:
        return len(self.paths)


def embed(
    parts: Mapping[str, SetFeatures],
    *,
    stage: str,
    class_names: tuple[str, ...],
    projections: Sequence[Projection] = ("pca", "tsne"),
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
    perplexity: float = 30.0,
    scale: bool = False,
    progress: Progress | None = None,
) -> Embedding:
    """Join the splits' features, leave out what could not be read or is not finite, and project.

    Raises `UserError` where nothing is left.
    """
    kept = {name: np.isfinite(part.features).all(1) & np.isfinite(part.logits).all(1) for name, part in parts.items()}
    rows = {name: np.flatnonzero(mask) for name, mask in kept.items()}
    if not sum(map(len, rows.values())):
        raise UserError("no picture could be read, so there is nothing to embed")
    features = np.concatenate([part.features[rows[name]] for name, part in parts.items()])
    logits = np.concatenate([part.logits[rows[name]] for name, part in parts.items()])
    shares = Predictions(logits, class_names).probabilities
    places, variance = project(features, projections, seed=seed, perplexity=perplexity, scale=scale, progress=progress)
    near, alike = nearest(features, features, neighbours, itself=True)
    unreadable = [
        (part.images.paths[row], part.errors.get(int(row), "its features are NaN or infinite"))
        for name, part in parts.items()
        for row in np.flatnonzero(~kept[name]).tolist()
    ]
    names = {name: part.images.folder_names for name, part in parts.items()}
    words: list[str] = []
    for name, part in parts.items():
        labels = part.images.labels
        words += [class_names[labels[r]] if labels[r] >= 0 else names[name][r] for r in rows[name].tolist()]
    return Embedding(
        stage=stage,
        class_names=class_names,
        splits=tuple(parts),
        sets={name: part.images for name, part in parts.items()},
        split=np.repeat(np.arange(len(parts)), [len(found) for found in rows.values()]),
        row=np.concatenate(list(rows.values())),
        paths=tuple(part.images.paths[row] for name, part in parts.items() for row in rows[name].tolist()),
        labels=tuple(words),
        known=np.concatenate([part.images.labels[rows[name]] >= 0 for name, part in parts.items()]),
        predicted=logits.argmax(1),
        probability=shares.max(1),
        features=features,
        places=places,
        neighbours=near,
        similarity=alike,
        shares=variance,
        unreadable=tuple(unreadable),
        options={"seed": seed, "perplexity": perplexity, "scale": scale},
    )


def columns_of(embedding: Embedding) -> dict[str, Any]:
    """The table's columns but for the features."""
    names = np.array(embedding.class_names, object)
    columns: dict[str, Any] = {
        "split": [embedding.splits[number] for number in embedding.split.tolist()],
        "path": list(embedding.paths),
        "label": list(embedding.labels),
        "predicted": names[embedding.predicted].tolist(),
        "probability": embedding.probability,
        "wrong": embedding.wrong.astype(int),
    }
    for name, places in embedding.places.items():
        columns |= {f"{name}_1": places[:, 0], f"{name}_2": places[:, 1]}
    return columns


def write_embedding(embedding: Embedding, folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """`embedding.csv` (a row a picture), `neighbours.csv`, `embedding.json`, and the features.

    The features go into `embedding.parquet` with the other columns where pyarrow is installed, else into
    `features.npz` beside the CSV file, and a message says so.
    """
    progress = progress or Progress(quiet=True)
    columns = columns_of(embedding)
    files = [write_csv(folder / "embedding.csv", columns)]
    pairs = np.repeat(np.arange(len(embedding)), embedding.neighbours.shape[1])
    other, paths = embedding.neighbours.reshape(-1), columns["path"]
    near = {
        "path": [paths[row] for row in pairs.tolist()],
        "neighbour": [paths[row] for row in other.tolist()],
        "rank": np.tile(np.arange(1, embedding.neighbours.shape[1] + 1), len(embedding)),
        "similarity": embedding.similarity.reshape(-1),
    }
    files.append(write_csv(folder / "neighbours.csv", near))
    if importlib.util.find_spec("pyarrow"):
        files.append(write_parquet(folder / "embedding.parquet", columns, embedding.features))
    else:
        progress.say("pyarrow is not installed: the features are in features.npz, in the order of embedding.csv")
        with replacing(folder / "features.npz") as file:
            np.savez_compressed(file, features=embedding.features)
        files.append(folder / "features.npz")
    about = {
        "jaxcam": __version__, "stage": embedding.stage, "pictures": len(embedding),
        "features": embedding.features.shape[1], "projections": list(embedding.places),
        "explained_variance": embedding.shares, "options": dict(embedding.options),
        "unreadable": [list(pair) for pair in embedding.unreadable],
    }  # fmt: skip
    write_json(folder / "embedding.json", about)
    return [*files, folder / "embedding.json"]


def write_csv(path: Path, columns: Mapping[str, Any]) -> Path:
    """Columns as a CSV file, floats with six digits."""
    words = {
        name: [f"{x:.6g}" for x in values.tolist()] if getattr(values, "dtype", None) == np.float32 else values
        for name, values in columns.items()
    }
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(list(words))
        writer.writerows(zip(*words.values(), strict=True))
        text.detach()
    return path


def write_parquet(path: Path, columns: Mapping[str, Any], features: Float32[np.ndarray, "n c"]) -> Path:
    """The columns and `features`, a list of float32 a row, as a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    safe = {
        name: [v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values]
        if isinstance(values, list)
        else np.asarray(values)
        for name, values in columns.items()
    }
    flat = pyarrow.array(np.ascontiguousarray(features).reshape(-1))
    listed = pyarrow.FixedSizeListArray.from_arrays(flat, features.shape[1])
    table = pyarrow.table({**safe, "features": listed})
    with replacing(path) as file:
        parquet.write_table(table, file)
    return path
