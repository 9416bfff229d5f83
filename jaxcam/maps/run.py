"""Maps of a whole image set into a store: streamed, sharded over the devices, resumable."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcam import __version__, devices
from jaxcam.classifier import Classifier
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import Batch, batches, prefetch_to_device
from jaxcam.errors import UserError
from jaxcam.evaluation import SetPredictions, write_predictions
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.program import UNREADABLE, Request, compiled_program
from jaxcam.maps.store import MapStore
from jaxcam.progress import Progress


def run_set(
    classifier: Classifier,
    images: ImageSet,
    run: Path,
    request: Request,
    *,
    name: str,
    batch_size: int = 32,
    overwrite: bool = False,
    progress: Progress,
) -> MapStore:
    """Write `maps/NAME.zarr` and `predictions/NAME.csv` into the run's folder and return the store.

    Row i of every array is row i of the CSV file. Batches that are on disk already are not computed again; a store made
    from other weights, images or settings is refused. Unreadable images become NaN rows with a flag.
    """
    request = request.checked(classifier)
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be at least 1")
    if not len(images):
        raise UserError(f"no pictures in {str(images.root)!r}")
    if request.targets == "true" and (images.labels < 0).all():
        raise UserError(f"targets 'true' needs labels, but no folder of {str(images.root)!r} is a class of the run")
    maps, classes = request.map_shapes(classifier), len(classifier.class_names)
    sizes: dict[str, Any] = {
        "count": len(images),
        "batch": batch_size,
        "methods": maps,
        "classes": classes,
        "targets": classes if request.targets == "all" else 1,
    }
    path, about = run / "maps" / f"{name}.zarr", manifest(classifier, images, request)
    if overwrite:
        store = MapStore.create(path, about, **sizes, overwrite=True)
    else:
        store = MapStore.resume(path, about, **sizes)
    with store:
        compute_missing(classifier, images, request, store, progress)
        store.finish()
    predictions = stored_predictions(store, images, classifier)
    for row, reason in predictions.errors.items():
        progress.say(f"skipped {images.paths[row]}: {reason}")
    write_predictions(run / "predictions" / f"{name}.csv", predictions, flag_words(store))
    return store


def compute_missing(
    classifier: Classifier, images: ImageSet, request: Request, store: MapStore, progress: Progress
) -> None:
    """Run the program over the batches that are not on disk; results are fetched one batch late."""
    missing = np.asarray(store.missing, int)
    if not len(missing):
        return
    order = np.concatenate([np.r_[store.rows(index)] for index in missing.tolist()])
    size = devices.padded(store.batch)
    program = compiled_program(classifier, request)
    params = devices.replicate(classifier.params)

    def put(batch: Batch):
        host = (devices.pad_rows(batch.images, size), devices.pad_rows(np.maximum(batch.labels, -1), size))
        return batch, devices.shard(host)

    # Only the very last batch of a set is short, and it comes last here too: every batch of `order` is a chunk.
    source = prefetch_to_device(batches(images, classifier.preprocessing, batch_size=store.batch, order=order), put)
    waiting: tuple[int, Batch, dict[str, jax.Array]] | None = None
    for index, (batch, inputs) in zip(
        missing.tolist(), progress.over(source, len(missing), f"{images.name}: maps"), strict=True
    ):
        out = program(params, *inputs)
        if waiting is not None:
            store.write(waiting[0], on_host(waiting[1], waiting[2]))
        waiting = index, batch, out
    if waiting is not None:
        store.write(waiting[0], on_host(waiting[1], waiting[2]))


def on_host(batch: Batch, out: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """A batch's results without padding; unreadable images are NaN and flagged."""
    rows = int((batch.index >= 0).sum())
    arrays = {name: np.array(value)[:rows] for name, value in out.items()}
    unreadable = ~batch.mask[:rows]
    for name, value in arrays.items():
        if name == "flags":
            value[unreadable] = UNREADABLE
        elif name == "targets":
            value[unreadable] = -1
        else:
            value[unreadable] = np.nan
    return arrays


def manifest(classifier: Classifier, images: ImageSet, request: Request) -> dict[str, Any]:
    """What a store was made from; two equal manifests mean that the maps may be mixed."""
    labels = hashlib.sha256(images.labels.tobytes()).hexdigest()
    return {
        "jaxcam": __version__,
        "methods": list(request.methods),
        "stage": request.stage,
        "targets": request.targets,
        "classes": list(classifier.class_names),
        "classifier": classifier.fingerprint,
        "images": images.fingerprint(),
        "labels": labels,
        "count": len(images),
        "input_size": list(classifier.preprocessing.size),
        "root": str(images.root),
    }


def stored_predictions(store: MapStore, images: ImageSet, classifier: Classifier) -> SetPredictions:
    """The predictions that stand in a store; for unreadable images the reason is found again."""
    errors = {}
    for row in np.flatnonzero((store.read("flags") & UNREADABLE).any((1, 2))).tolist():
        try:
            decode(images.file(row), classifier.preprocessing)
            errors[row] = "could be read later: run again with --overwrite"
        except UnreadableImage as error:
            errors[row] = error.reason
    return SetPredictions(images, store.read("logits"), errors)


def flag_words(store: MapStore) -> dict[int, str]:
    """Flags of each flagged row in words, as `method: word; ...`."""
    flags, words = store.read("flags"), {}
    for row in np.flatnonzero(flags.any((1, 2))).tolist():
        parts = []
        for position, method in enumerate(store.methods):
            named = describe_flags(int(np.bitwise_or.reduce(flags[row, position])))
            if named:
                parts.append(f"{method}: {', '.join(named)}")
        words[row] = "; ".join(parts)
    return words


def known_flags(run: Path, name: str, classifier: Classifier, images: ImageSet) -> dict[int, str]:
    """`flag_words` of the run's maps of these images, so that new predictions do not lose them; empty without maps."""
    try:
        store = MapStore.open(run / "maps" / f"{name}.zarr")
    except UserError:
        return {}
    made_from = {"classifier": classifier.fingerprint, "images": images.fingerprint()}
    same = all(store.manifest.get(key) == value for key, value in made_from.items())
    return flag_words(store) if same and store.complete else {}
