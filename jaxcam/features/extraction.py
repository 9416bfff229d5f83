"""Features of a stage for a whole set: streamed, written in parts, going on where it stopped."""

import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from jaxcam import __version__, devices
from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches, prefetch_to_device
from jaxcam.errors import UserError
from jaxcam.files import read_json, replacing, write_json
from jaxcam.maps.stream import stream
from jaxcam.progress import Progress

Pool = Literal["mean", "max", "flatten"]
PART = 1024
"""rows of a file, about"""
ABOUT = "about.json"


@dataclass(frozen=True)
class SetFeatures:
    """Features and logits of a set, row by row; NaN where the image could not be read."""

    images: ImageSet
    features: Float32[np.ndarray, "n c"]
    logits: Float32[np.ndarray, "n k"]
    errors: dict[int, str]
    """row -> why the image could not be read"""


def pooled(values: jax.Array, pool: Pool) -> Float32[jax.Array, "n c"]:
    """A stage's output as one row an image; sums are float32."""
    values = values.astype(jnp.float32)
    if values.ndim == 2 or pool == "flatten":
        return values.reshape(values.shape[0], -1)
    return values.mean((1, 2)) if pool == "mean" else values.max((1, 2))


@lru_cache(maxsize=8)
def feature_program(network: Any, preprocessing: Any, stage: str, pool: Pool) -> Any:
    """The jitted `(params, uint8 images) -> features and logits`, both from one forward."""
    chain = network.chain()

    def program(params, images):
        values = chain.apply(params, preprocessing.normalise(images), stop=stage)
        logits = values if stage == chain.names[-1] else chain.apply(params, values, start=stage)
        return {"features": pooled(values, pool), "logits": logits.astype(jnp.float32)}

    return jax.jit(program)


def extract(
    classifier: Classifier,
    images: ImageSet,
    folder: Path,
    *,
    stage: str,
    pool: Pool = "mean",
    batch_size: int = 32,
    progress: Progress | None = None,
) -> SetFeatures:
    """Features of every image of a set, kept in `folder` as parts of about a thousand rows.

    Parts that are there already are not computed again; those of another classifier, stage, set or pooling are thrown
    away. Unreadable images are counted and named, not fatal. Raises `UserError` for an unknown stage and an empty set.
    """
    progress = progress or Progress(quiet=True)
    classifier.chain.index(stage)
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be at least 1")
    if not len(images):
        raise UserError(f"no pictures in {str(images.root)!r}")
    rows = max(1, PART // batch_size) * batch_size
    about = {
        "jaxcam": __version__, "classifier": classifier.fingerprint, "images": images.fingerprint(),
        "count": len(images), "stage": stage, "pool": pool, "rows": rows,
    }  # fmt: skip
    begin(folder, about)
    starts = [start for start in range(0, len(images), rows) if not (folder / part_name(start)).exists()]
    if starts:
        compute(classifier, images, folder, starts, rows, (stage, pool, batch_size), progress)
    return joined(images, folder, rows)


def begin(folder: Path, about: dict[str, Any]) -> None:
    """Make the folder ready for parts made from `about`."""
    known = None
    if (folder / ABOUT).exists():
        try:
            known = read_json(folder / ABOUT)
        except UserError:
            known = None
    if known != about:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / ABOUT, about)


def part_name(start: int) -> str:
    """File of the rows from `start`."""
    return f"part-{start:08d}.npz"


def compute(
    classifier: Classifier, images: ImageSet, folder: Path, starts: list[int], rows: int, how: Any, progress: Progress
) -> None:
    """Run the program over the rows of the missing parts and write each part when it is whole."""
    stage, pool, batch_size = how
    order = np.concatenate([np.arange(start, min(start + rows, len(images))) for start in starts])
    mesh = devices.own_mesh()
    size = devices.padded(batch_size, on=mesh)
    params = devices.replicate(dict(classifier.params), on=mesh)
    program = feature_program(classifier.network, classifier.preprocessing, stage, pool)
    held: dict[str, Any] = {"features": [], "logits": [], "errors": {}, "rows": []}

    def put(batch):
        return batch, devices.shard(devices.pad_rows(batch.images, size), on=mesh)

    def write(item, arrays):
        batch = item[0]
        known = batch.index >= 0
        for name in ("features", "logits"):
            values = arrays[name][: len(batch.index)].copy()
            values[~batch.mask] = np.nan
            held[name].append(values[known])
        held["rows"] += batch.index[known].tolist()
        for row, reason in batch.errors:
            held["errors"][str(row)] = reason
            progress.say(f"skipped {images.paths[row]}: {reason}")
        start = held["rows"][0]
        if len(held["rows"]) == min(rows, len(images) - start):
            errors = np.frombuffer(json.dumps(held["errors"]).encode(), np.uint8)
            with replacing(folder / part_name(start)) as file:
                features, logits = np.concatenate(held["features"]), np.concatenate(held["logits"])
                np.savez(file, features=features, logits=logits, errors=errors)
            held.update(features=[], logits=[], errors={}, rows=[])

    # Only the very last part is short, and it comes last here too: no batch holds rows of two parts.
    source = prefetch_to_device(batches(images, classifier.preprocessing, batch_size=batch_size, order=order), put)
    steps = -(-len(order) // batch_size)
    stream(lambda item: program(params, item[1]), progress.over(source, steps, f"{images.name}: features"), write)


def joined(images: ImageSet, folder: Path, rows: int) -> SetFeatures:
    """All parts as one."""
    features, logits, errors = [], [], {}
    for start in range(0, len(images), rows):
        with np.load(folder / part_name(start)) as part:
            features.append(part["features"])
            logits.append(part["logits"])
            errors.update({int(k): v for k, v in json.loads(part["errors"].tobytes().decode()).items()})
    return SetFeatures(images, np.concatenate(features), np.concatenate(logits), errors)
