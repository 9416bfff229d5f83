"""The page of an embedding: every picture a point; hovering shows it with its map, clicking its nearest neighbours."""

import base64
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8
from markupsafe import Markup
from PIL import Image

from jaxcam.classifier import Classifier
from jaxcam.data.decode import UnreadableImage
from jaxcam.data.images import ImageSet
from jaxcam.data.scan.inventory import printable
from jaxcam.errors import UserError
from jaxcam.features.embedding import Embedding
from jaxcam.maps import render
from jaxcam.maps.store import MapStore
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.report.pages import write_page
from jaxcam.report.pictures import data_uri, picture_kind

SIDES = ((500, 144), (2000, 96), (5000, 64))
"""longer side of a picture on a page with at most so many of them; with more it is `SMALLEST`"""
SMALLEST = 48
ACROSS = 16
"""pictures in a row of a sheet, and rows of it: a sheet is decoded when one of its pictures is first shown"""
THREADS = 8
WORDS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def write_embedding_page(
    embedding: Embedding,
    path: Path,
    *,
    run: Path | None = None,
    classifier: Classifier | None = None,
    limit: int = 10000,
    progress: Progress | None = None,
) -> Path:
    """Write an embedding as one self-contained HTML file and return its path.

    At most `limit` points, evenly spread, have their picture on the page. Where `run` has maps of a split
    (`jaxcam explain`), those of its first method lie over the pictures. Pictures are read again; one that has gone
    since has none.
    """
    progress = progress or Progress(quiet=True)
    count = len(embedding)
    shown = np.arange(count) if count <= limit else np.arange(limit) * count // max(1, limit)
    size = tile_size(embedding, len(shown), classifier)
    with ThreadPoolExecutor(THREADS, "jaxcam-pictures") as pool:
        decoded = pool.map(lambda row: photo(embedding, int(row), size), shown.tolist())
        sheets, there = sheets_of(progress.over(decoded, len(shown), "pictures"), size)
    shown, method = shown[there], ""
    heats: list[str] = []
    if run is not None and len(shown):
        maps = MapTiles(embedding, run)
        method = maps.method
        if method:
            heats = sheets_of((maps.tile(int(row), size) for row in shown.tolist()), size, keep_gaps=True)[0]
    tiles = np.full(count, -1)
    tiles[shown] = np.arange(len(shown))
    values = data_of(embedding, tiles)
    values |= {"sheets": sheets, "heats": heats, "tile": [size[1], size[0]], "across": ACROSS, "method": method}
    context = {
        "title": f"{printable(run.resolve().name) if run else 'set'}: {embedding.stage}",
        "stage": embedding.stage,
        "facts": facts(embedding, len(shown), method),
        "projections": [(name, WORDS[name]) for name in embedding.places],
        "several": len(embedding.splits) > 1,
        "has_maps": bool(heats),
        "method": method,
        "errors": int(embedding.wrong.sum()),
        "unreadable": [(printable(name), printable(reason)) for name, reason in embedding.unreadable[:200]],
        "unreadable_left": max(0, len(embedding.unreadable) - 200),
        "data": Markup(safe_json(values)),
    }
    return write_page(path, "embedding.html", context)


def safe_json(value: Any) -> str:
    """JSON that can stand inside a script element: no tag can begin or end in it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_of(embedding: Embedding, tiles: Int[np.ndarray, " n"]) -> dict[str, Any]:
    """What the script needs of every point, in columns."""
    words = sorted({*embedding.class_names, *embedding.labels})
    number = {word: place for place, word in enumerate(words)}
    predicted = [number[embedding.class_names[k]] for k in embedding.predicted.tolist()]
    return {
        "words": [printable(word) for word in words],
        "splits": [printable(name) for name in embedding.splits],
        "paths": [printable(name) for name in embedding.paths],
        "label": [number[word] for word in embedding.labels],
        "predicted": predicted,
        "split": embedding.split.tolist(),
        "wrong": embedding.wrong.astype(int).tolist(),
        "known": embedding.known.astype(int).tolist(),
        "sure": np.rint(embedding.probability * 1000).astype(int).tolist(),
        "near": embedding.neighbours.reshape(-1).tolist(),
        "alike": np.rint(embedding.similarity.reshape(-1) * 1000).astype(int).tolist(),
        "neighbours": embedding.neighbours.shape[1],
        "tiles": tiles.tolist(),
        "places": {name: quantised(places) for name, places in embedding.places.items()},
    }


def quantised(places: Float32[np.ndarray, "n 2"]) -> str:
    """Places as whole numbers 0..65535 of the longer axis, little-endian, base 64."""
    finite = np.nan_to_num(places.astype(np.float64))
    low = finite.min(0)
    span = float((finite.max(0) - low).max()) or 1.0
    scaled = np.rint((finite - low) / span * 65535).astype("<u2")
    return base64.b64encode(scaled.tobytes()).decode()


def facts(embedding: Embedding, pictures: int, method: str) -> list[tuple[str, str]]:
    """What the page's head says."""
    found = [
        ("pictures", f"{len(embedding):,}"),
        ("features", f"{embedding.features.shape[1]:,} of {embedding.stage}"),
        ("wrong", f"{int(embedding.wrong.sum()):,} of {int(embedding.known.sum()):,} with a known class"),
        ("maps", method or "none (jaxcam explain makes them)"),
    ]
    if "pca" in embedding.places:
        found.append(("variance on PCA's axes", " and ".join(f"{share:.0%}" for share in embedding.shares)))
    if pictures < len(embedding):
        found.append(("shown as pictures", f"{pictures:,}, evenly spread"))
    if embedding.unreadable:
        found.append(("could not be read", f"{len(embedding.unreadable):,}"))
    return found


def tile_size(embedding: Embedding, count: int, classifier: Classifier | None) -> tuple[int, int]:
    """(height, width) of a picture: the network's proportions."""
    side = next((side for most, side in SIDES if count <= most), SMALLEST)
    height, width = classifier.preprocessing.size if classifier is not None else (side, side)
    return max(1, round(side * height / max(height, width))), max(1, round(side * width / max(height, width)))


def photo(embedding: Embedding, row: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"] | None:
    """The picture of a row; None where it has gone or changed since."""
    images: ImageSet = embedding.sets[embedding.splits[int(embedding.split[row])]]
    try:
        if images.source is None:
            return images.decode(int(embedding.row[row]), Preprocessing(size=size))
        raw = images.read(int(embedding.row[row]))
        if isinstance(raw, np.ndarray):
            return np.asarray(Image.fromarray(raw).resize((size[1], size[0]), Image.Resampling.BILINEAR))
        return images.decode(int(embedding.row[row]), Preprocessing(size=size))
    except UnreadableImage:
        return None


def sheets_of(
    pictures: Any, size: tuple[int, int], *, keep_gaps: bool = False
) -> tuple[list[str], Sequence[int] | Int[np.ndarray, " m"]]:
    """Pictures side by side on sheets, as data URIs, and the places of those that there are.

    A missing picture leaves no gap, or with `keep_gaps` a black one.
    """
    uris: list[str] = []
    there: list[int] = []
    held: list[np.ndarray] = []

    def finish() -> None:
        rows = -(-len(held) // ACROSS)
        sheet = np.zeros((rows * size[0], ACROSS * size[1], 3), np.uint8)
        for number, picture in enumerate(held):
            top, left = number // ACROSS * size[0], number % ACROSS * size[1]
            sheet[top : top + size[0], left : left + size[1]] = picture
        uris.append(encoded(sheet))
        held.clear()

    for place, picture in enumerate(pictures):
        if picture is None and not keep_gaps:
            continue
        there.append(place)
        held.append(np.zeros((*size, 3), np.uint8) if picture is None else picture)
        if len(held) == ACROSS * ACROSS:
            finish()
    if held:
        finish()
    return uris, np.array(there, int)


def encoded(sheet: UInt8[np.ndarray, "h w 3"]) -> str:
    """A sheet as a data URI."""
    kind, buffer = picture_kind(), io.BytesIO()
    Image.fromarray(sheet).save(buffer, format=kind.upper(), quality=62, method=2)
    return data_uri(buffer.getvalue(), kind)


class MapTiles:
    """The maps of a run's splits, by the first method that every split with maps has."""

    def __init__(self, embedding: Embedding, run: Path) -> None:
        self.embedding = embedding
        self.stores: dict[int, MapStore] = {}
        for number, name in enumerate(embedding.splits):
            try:
                store = MapStore.open(run / "maps" / f"{name}.zarr")
            except UserError:
                continue
            images = embedding.sets[name]
            if store.complete and store.methods and store.manifest.get("images") == images.fingerprint():
                self.stores[number] = store
        methods = [store.methods for store in self.stores.values()]
        common = [name for name in methods[0] if all(name in other for other in methods)] if methods else []
        self.method = common[0] if common else ""
        self.read: dict[tuple[int, int], np.ndarray] = {}

    def tile(self, row: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"] | None:
        """The map of a row in colours; None where there is none."""
        number, place = int(self.embedding.split[row]), int(self.embedding.row[row])
        if number not in self.stores:
            return None
        store, block = self.stores[number], place // 256
        if (number, block) not in self.read:
            rows = np.arange(block * 256, min(block * 256 + 256, store.count))
            self.read = {(number, block): store.read(self.method, rows)}
        values = np.asarray(self.read[number, block][place % 256], np.float32)
        values = values[0] if values.ndim == 3 else values
        if not np.isfinite(values).any():
            return None
        low, high = render.value_range(values)
        large = render.resize_map(np.nan_to_num(values), size)
        return render.colour(large, vmin=low, vmax=high, mode="signed" if low < 0 else "unsigned")
