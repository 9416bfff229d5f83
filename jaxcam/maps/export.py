"""Maps in plain formats: NumPy files and a table of scores."""

import csv
import io
import os
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format as npy

from jaxcam.files import replacing, write_json
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.reader import Maps
from jaxcam.maps.shown import target_words

Format = Literal["npy", "csv"]


def export(maps: Maps, folder: str | Path, formats: tuple[Format, ...]) -> list[Path]:
    """Write a selection of maps into a folder, block by block; returns the files.

    `npy`: `ARRAY.npy` for every array with the type it is stored in, rows as in `rows.csv` (path, label, predicted),
    and `manifest.json`. `csv`: `scores.csv` with a line an image and map: path, label, predicted, method, target,
    score, peak, place of the peak as a share of height and width, flags.
    """
    folder, files = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    if "npy" in formats:
        files += [write_npy(folder / f"{name}.npy", maps, name) for name in maps]
        files += [write_rows(folder / "rows.csv", maps), folder / "manifest.json"]
        write_json(files[-1], maps.manifest)
    if "csv" in formats:
        files.append(write_scores(folder / "scores.csv", maps))
    return files


def write_npy(path: Path, maps: Maps, name: str) -> Path:
    """One array as a NumPy file."""
    array, part = maps[name], path.with_name(f".{path.name}.part")
    target = npy.open_memmap(part, "w+", array.dtype, array.shape) if len(maps) else None
    if target is None:
        np.save(path, array[:])
        return path
    start = 0
    for block in array.blocks():
        target[start : start + len(block)] = block
        start += len(block)
    target.flush()
    del target
    os.replace(part, path)
    return path


def write_rows(path: Path, maps: Maps) -> Path:
    """Which image each row is."""
    with replacing(path) as file:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["row", "path", "label", "predicted"])
        names = [*maps.class_names, ""]
        predicted = [names[number] for number in maps.predicted.tolist()]
        writer.writerows(zip(maps.rows.tolist(), maps.paths, maps.label_names, predicted, strict=True))
        table.detach()
    return path


def write_scores(path: Path, maps: Maps) -> Path:
    """A line for every map of every image."""
    with replacing(path) as file:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        head = ["path", "label", "predicted", "method", "target", "score", "peak", "peak_row", "peak_column", "flags"]
        writer.writerow(head)
        names = [*maps.class_names, ""]
        for start in range(0, len(maps), 256):
            part = maps.where(slice(start, start + 256))
            own = list(zip(part.paths, part.label_names, (names[n] for n in part.predicted.tolist()), strict=True))
            targets, scores, flags = part["targets"][:].tolist(), part["scores"][:].tolist(), part["flags"][:].tolist()
            against = part["against"][:].tolist() if "against" in part else [[-1] * len(targets[0])] * len(targets)
            for number, method in enumerate(maps.methods):
                values = part[method][:].astype(np.float64)
                values = values if values.ndim == 4 else values[:, None]
                for place, image in enumerate(own):
                    for position, one in enumerate(values[place]):
                        of_class = values.shape[1] == len(targets[0])
                        words = target_words(maps.class_names, targets[place][position], against[place][position])
                        score = f"{scores[place][position]:.6g}" if of_class else ""
                        peak = _peak(one)
                        bits = describe_flags(flags[place][number][position])
                        writer.writerow([*image, method, words if of_class else "", score, *peak, "; ".join(bits)])
        table.detach()
    return path


def _peak(values: np.ndarray) -> list[str]:
    """Largest value, and where it stands: the middle of its cell as a share of height and width."""
    if not np.isfinite(values).any():
        return ["", "", ""]
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    places = ((row + 0.5) / values.shape[0], (column + 0.5) / values.shape[1])
    return [f"{values[row, column]:.6g}", *(f"{place:.4f}" for place in places)]
