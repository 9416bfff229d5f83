"""The empty scenes behind the pictures: given as pictures, or the median of a class where the scene does not move."""

from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from jaxcam.audit.confirmation.evidence import Evidence, Scenes
from jaxcam.data.composites import find_background
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.folder import list_files
from jaxcam.data.masks import DIFFERENT, LEAST, STATIC, median_scene, novelty
from jaxcam.errors import UserError

SAME = 0.9
"""two medians that agree on so many pixels are one scene"""
MANY = 64
"""empty scenes that are kept, at most"""


def find_scenes(evidence: Evidence) -> Scenes | str:
    """The scenes that the sampled pictures were taken before, or why there are none."""
    folder = evidence.subject.options.background
    found = from_medians(evidence) if folder is None else from_pictures(evidence, folder)
    if isinstance(found, str) and folder is not None:
        other = from_medians(evidence)
        return found if isinstance(other, str) else other
    return found


def background_pictures(evidence: Evidence, folder: Path) -> tuple[UInt8[np.ndarray, "s h w 3"], tuple[str, ...]]:
    """The pictures of `--background`, in any sub-folders, at the network's input size; and their names."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} with pictures of empty scenes")
    listing = list_files(folder)
    loose = [path for path, reason in listing.skipped if reason == "not in a class folder"]
    pictures, names, reasons = [], [], []
    for path in sorted([*listing.files, *loose]):
        try:
            pictures.append(decode(folder / path, evidence.subject.classifier.preprocessing))
            names.append(path)
        except UnreadableImage as error:
            reasons.append(f"{path}: {error.reason}")
    if not pictures:
        raise UserError(f"no readable picture in {folder}: {reasons[0] if reasons else 'there are no files'}")
    return np.stack(pictures), tuple(names)


def from_pictures(evidence: Evidence, folder: Path) -> Scenes | str:
    """Which of the empty scenes each picture was taken before."""
    pictures, names = background_pictures(evidence, folder)
    pictures, names = pictures[:MANY], names[:MANY]
    of_row = np.full(len(evidence.sample), -1, int)
    for place, picture in enumerate(evidence.sample.pixels):
        try:
            of_row[place] = find_background(picture, list(pictures))
        except UserError:
            continue  # taken somewhere else
    if (of_row >= 0).mean() < 0.5:
        return f"only {(of_row >= 0).mean():.0%} of the pictures were taken before one of the scenes in {folder}"
    return Scenes(pictures, names, shares(evidence, of_row, len(pictures)), of_row, f"the empty scenes in {folder}")


def from_medians(evidence: Evidence) -> Scenes | str:
    """The pixel-wise median of each class, where most of each picture equals it."""
    sample, of_row = evidence.sample, np.full(len(evidence.sample), -1, int)
    found: list[np.ndarray] = []
    names: list[str] = []
    moving: list[str] = []
    for label, name in enumerate(evidence.subject.classifier.class_names):
        places = np.flatnonzero(sample.labels == label)
        if len(places) < LEAST:
            moving.append(f"{name} has {len(places)} pictures")
            continue
        median, changed = median_scene(sample.pixels[places])
        if changed > STATIC:
            moving.append(f"{changed:.0%} of the pixels of {name} differ from its median picture")
            continue
        same = next((s for s, old in enumerate(found) if (novelty(median, old) <= DIFFERENT).mean() >= SAME), None)
        if same is None:
            found.append(median)
            names.append(name)
            same = len(found) - 1
        of_row[places] = same
    if (of_row >= 0).mean() < 0.5:
        return f"the scene is not the same in all pictures of a class ({'; '.join(moving[:3])})"
    pictures = np.stack(found)
    return Scenes(
        pictures, tuple(names), shares(evidence, of_row, len(found)), of_row, "the median picture of each class"
    )


def shares(evidence: Evidence, of_row: Int[np.ndarray, " n"], scenes: int) -> np.ndarray:
    """Share of each class' pictures before each scene, (classes, scenes); NaN where a class has none."""
    found = np.full((evidence.classes, scenes), np.nan)
    for label in range(evidence.classes):
        own = of_row[(evidence.sample.labels == label) & (of_row >= 0)]
        if len(own):
            found[label] = np.bincount(own, minlength=scenes) / len(own)
    return found
