"""Maps of a whole image set into a store: streamed, over devices and processes, resumable."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcam import __version__, devices
from jaxcam.classifier import Classifier, load
from jaxcam.data.decode import UnreadableImage
from jaxcam.data.folder import ImageSet, load_folder
from jaxcam.data.loader import Batch, batches, prefetch_to_device
from jaxcam.errors import UserError
from jaxcam.evaluation import Part, SetPredictions, write_parts
from jaxcam.maps.forecast import forecast
from jaxcam.maps.layout import FILL_VALUES, bytes_of, describe_flags, layout_of
from jaxcam.maps.memory import requested
from jaxcam.maps.program import UNREADABLE, Surroundings, compiled_program, extra_arrays, map_shapes
from jaxcam.maps.reader import Maps, open_maps
from jaxcam.maps.request import Request
from jaxcam.maps.sample import look
from jaxcam.maps.store import MapStore
from jaxcam.maps.stream import Timing, compiled_ahead, stream
from jaxcam.progress import Progress

ROWS = 512
"""rows of a store that are read together, about"""
LONG = 30.0
"""seconds of work above which the time left is told after the first batch"""


def run(
    classifier: Classifier | str | Path,
    images: ImageSet | str | Path,
    folder: str | Path | None = None,
    *,
    name: str | None = None,
    methods: str | Sequence[str] = ("grad_cam",),
    targets: str | Sequence[str] = "predicted",
    stage: str | Sequence[str] | None = None,
    batch_size: int = 32,
    overwrite: bool = False,
    quiet: bool = True,
    **options: Any,
) -> Maps:
    """Compute the maps of a whole set, as `jaxcam explain` does, and open them.

    `classifier` is one, or the folder of a run; `images` an image set, or a folder with one sub-folder a class (or with
    none of the classifier's). `folder` is where `maps/NAME.zarr` and `predictions/NAME.csv` go, by default the run's.
    Words and `options` are those of `Classifier.explain`. Work that is there already is not done again; see `run_set`.
    """
    if folder is None:
        if isinstance(classifier, Classifier):
            raise UserError("no folder for the maps; give one after the images")
        folder = classifier
    classifier = classifier if isinstance(classifier, Classifier) else load(classifier)
    if not isinstance(images, ImageSet):
        images = load_folder(images, class_names=classifier.class_names)
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    request, _ = requested(classifier, 0, names, targets, stage, options, labelled=True)
    name = images.name if name is None else name
    store = run_set(
        classifier,
        images,
        Path(folder),
        request,
        name=name,
        batch_size=batch_size,
        overwrite=overwrite,
        progress=Progress(quiet),
    )
    return open_maps(store.path)


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
    from other weights, images or settings is refused. Unreadable images become NaN rows with a flag. Says the cost
    first, and at the end how long it took and how much of that the device waited. Of several processes
    (`jaxcam.devices.join`) each computes its share of the batches and the first one makes and finishes the store; the
    folder must be the same for all. The bytes do not depend on how many processes there are.
    """
    store, _ = computed(
        classifier, images, run, request, name=name, batch_size=batch_size, overwrite=overwrite, progress=progress
    )
    return store


def computed(
    classifier: Classifier,
    images: ImageSet,
    run: Path,
    request: Request,
    *,
    name: str,
    batch_size: int = 32,
    overwrite: bool = False,
    progress: Progress,
) -> tuple[MapStore, Timing]:
    """`run_set`, and how long this process took."""
    request = request.checked(classifier)
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be at least 1")
    if not len(images):
        raise UserError(f"no pictures in {str(images.root)!r}")
    plan = request.plan(classifier.class_names)
    if plan.needs_labels and (images.labels < 0).all():
        raise UserError(
            f"targets {request.targets!r} needs labels, but no folder of {str(images.root)!r} is a class of the run"
        )
    shapes = map_shapes(classifier, request)
    sizes: dict[str, Any] = {
        "count": len(images),
        "batch": batch_size,
        "methods": shapes,
        "classes": len(classifier.class_names),
        "targets": plan.width,
        "dtype": request.dtype,
        "extra": extra_arrays(classifier, request, shapes),
    }
    path, around = run / "maps" / f"{name}.zarr", look(classifier, images, request)
    store = open_store(path, manifest(classifier, images, request, around), sizes, overwrite=overwrite)
    if store.missing:
        size = bytes_of(layout_of(**sizes))
        progress.say(forecast(classifier, request, images=len(images), size=size).words())
    with store:
        timing = compute_missing(classifier, images, request, store, progress, around)
    if timing.batches:
        progress.say(f"{name}: {timing.words()}")
    devices.barrier(f"{name}: computed", ready=lambda: not MapStore.open(path).missing)
    if jax.process_index() == 0:
        store.finish()
        write_parts(
            run / "predictions" / f"{name}.csv", classifier.class_names, parts(store, images, classifier, progress)
        )
    devices.barrier(f"{name}: finished", ready=lambda: MapStore.open(path).complete)
    return store if store.complete else MapStore.open(path), timing


def open_store(path: Path, about: Mapping[str, Any], sizes: Mapping[str, Any], *, overwrite: bool) -> MapStore:
    """The store to write to. The first process makes it; the others refuse what it refuses, then wait for it."""
    process = jax.process_index()
    if process and not overwrite:
        MapStore.check(path, about, **sizes)
    if process == 0:
        store = (
            MapStore.create(path, about, **sizes, overwrite=True)
            if overwrite
            else MapStore.resume(path, about, **sizes)
        )
    devices.barrier(f"{path.name}: made")
    return MapStore.resume(path, about, **sizes, process=process) if process else store


def compute_missing(
    classifier: Classifier,
    images: ImageSet,
    request: Request,
    store: MapStore,
    progress: Progress,
    around: Surroundings,
) -> Timing:
    """Run the program over the batches of this process that are not on disk, and write them as they come."""
    processes, process = jax.process_count(), jax.process_index()
    missing = np.array([index for index in store.missing if index % processes == process], int)
    if not len(missing):
        return Timing()
    order = np.concatenate([np.r_[store.rows(index)] for index in missing.tolist()])
    mesh = devices.own_mesh()
    size = devices.padded(store.batch, on=mesh)
    params, around = devices.replicate((classifier.params, around), on=mesh)

    def put(batch: Batch):
        host = (devices.pad_rows(batch.images, size), devices.pad_rows(np.maximum(batch.labels, -1), size))
        return batch, devices.shard(host, on=mesh)

    blank = (np.zeros((size, *classifier.preprocessing.size, 3), np.uint8), np.zeros(size, np.int32))
    program, seconds = compiled_ahead(
        compiled_program(classifier, request), params, *devices.shard(blank, on=mesh), around
    )
    del blank
    # Only the very last batch of a set is short, and it comes last here too: every batch of `order` is a chunk.
    source = prefetch_to_device(batches(images, classifier.preprocessing, batch_size=store.batch, order=order), put)
    items = zip(missing.tolist(), source, strict=True)
    begun = time.perf_counter()

    def write(item: Any, arrays: Mapping[str, np.ndarray]) -> None:
        index, (batch, _) = item
        store.write(index, without_padding(batch, arrays))
        left = (time.perf_counter() - begun) * (len(missing) - 1)
        if index == missing[0] and left > LONG:
            progress.say(f"{images.name}: after the first batch, about {left:.0f} s for the other {len(missing) - 1}")

    shown = progress.over(items, len(missing), f"{images.name}: maps")
    timing = stream(lambda item: program(params, *item[1][1], around), shown, write)
    return replace(timing, images=len(order), compile_seconds=seconds)


def without_padding(batch: Batch, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A batch's results without padding; unreadable images get what stands for "not computed", and a flag."""
    rows = int((batch.index >= 0).sum())
    unreadable = ~batch.mask[:rows]
    found = {}
    for name, value in arrays.items():
        value = value[:rows]
        if unreadable.any():
            nothing = UNREADABLE if name == "flags" else float(FILL_VALUES[value.dtype.name])
            value = np.where(unreadable.reshape(-1, *(1,) * (value.ndim - 1)), np.asarray(nothing, value.dtype), value)
        found[name] = value
    return found


def manifest(classifier: Classifier, images: ImageSet, request: Request, around: Surroundings) -> dict[str, Any]:
    """What a store was made from; two equal manifests mean that the maps may be mixed."""
    described = request.described()
    colour = {"fill_colour": np.asarray(around.colour).tolist()} if "fill" in described.get("options", {}) else {}
    return {
        "jaxcam": __version__,
        **described,
        **colour,
        "classes": list(classifier.class_names),
        "classifier": classifier.fingerprint,
        "images": images.fingerprint(),
        "labels": hashlib.sha256(images.labels.tobytes()).hexdigest(),
        "count": len(images),
        "input_size": list(classifier.preprocessing.size),
        "resize": classifier.preprocessing.resize,
        "fit": classifier.preprocessing.fit,
        "root": str(images.root),
    }


def blocks(store: MapStore) -> Iterator[np.ndarray]:
    """The rows of a store in order, some chunks at a time."""
    step = max(1, ROWS // store.batch) * store.batch
    for start in range(0, store.count, step):
        yield np.arange(start, min(start + step, store.count))


def parts(store: MapStore, images: ImageSet, classifier: Classifier, progress: Progress) -> Iterator[Part]:
    """The predictions that stand in a store, block by block; for unreadable images the reason is found again."""
    for rows in blocks(store):
        flags, errors = store.read("flags", rows), {}
        for place in np.flatnonzero((flags & UNREADABLE).any((1, 2))).tolist():
            row = int(rows[place])
            try:
                images.decode(row, classifier.preprocessing)
                errors[place] = "could be read later: run again with --overwrite"
            except UnreadableImage as error:
                errors[place] = error.reason
            progress.say(f"skipped {images.paths[row]}: {errors[place]}")
        words = {int(row - rows[0]): text for row, text in words_of(store, rows, flags)}
        yield SetPredictions(images.subset(rows), store.read("logits", rows), errors), words


def words_of(store: MapStore, rows: np.ndarray, flags: np.ndarray) -> Iterable[tuple[int, str]]:
    """(row, flags in words) of the flagged ones of some rows, as `method: word; ...`."""
    for place in np.flatnonzero(flags.any((1, 2))).tolist():
        found = []
        for position, method in enumerate(store.methods):
            named = describe_flags(int(np.bitwise_or.reduce(flags[place, position])))
            if named:
                found.append(f"{method}: {', '.join(named)}")
        yield int(rows[place]), "; ".join(found)


def flag_words(store: MapStore) -> dict[int, str]:
    """Flags of each flagged row in words."""
    return {row: text for rows in blocks(store) for row, text in words_of(store, rows, store.read("flags", rows))}


def known_flags(run: Path, name: str, classifier: Classifier, images: ImageSet) -> dict[int, str]:
    """`flag_words` of the run's maps of these images, so that new predictions do not lose them; empty without maps."""
    try:
        store = MapStore.open(run / "maps" / f"{name}.zarr")
    except UserError:
        return {}
    made_from = {"classifier": classifier.fingerprint, "images": images.fingerprint()}
    same = all(store.manifest.get(key) == value for key, value in made_from.items())
    return flag_words(store) if same and store.complete else {}
