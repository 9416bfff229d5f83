"""The pictures of the story: drawn by jaxcam, or the real ones of the article, in the same four experiments."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from jaxcam.data.composites import find_background, mask_from_background, read_picture, write_swapped
from jaxcam.data.folder import ImageSet
from jaxcam.data.scenes import write_scenes
from jaxcam.errors import UserError

BACKGROUND_CLASS = "ZBackground"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One training set, and the pictures that show what was learned from it."""

    key: str
    title: str
    what: str
    """what the training pictures are, in a sentence"""
    train: Path
    valid: Path
    swapped: Path
    """the validation figures before another background"""
    background_weight: float = 1.0
    """weight of the background class in the loss, where there is one"""
    prepare: Callable[[], object] = tuple
    """writes the training pictures that have to be pasted; does nothing where there are none or they are there"""


@dataclass(frozen=True)
class Pictures:
    """Everything the story needs to know about a set of pictures."""

    source: str
    experiments: tuple[Experiment, ...]
    empty: Path
    """folder with the empty scenes"""
    mask: Callable[[ImageSet, int], Bool[np.ndarray, "h w"]]
    """mask of the figure in a row's picture"""


def drawn(folder: Path, *, seed: int = 0) -> Pictures:
    """Draw the set into `folder` (a complete one is kept)."""
    write_scenes(folder / "drawn", seed=seed)
    root = folder / "drawn"
    names = ("OneBackground", "OneBackgroundElsewhere", "SeveralBackgrounds", "InvertedBackgrounds")
    return assembled("drawn by jaxcam", root, folder, names, partial(stored_mask, root), moved=0)


def real(root: Path, folder: Path, *, moved: int = 8) -> Pictures:
    """The article's pictures at `root`; only the swapped copies are written, into `folder`.

    58 training pictures are too few for a network that starts from drawn shapes, so in the two honest experiments each
    figure is also pasted `moved` times elsewhere, mirrored, larger or smaller, before each of its backgrounds.
    """
    if not (root / "SeveralBackgrounds").is_dir():
        raise UserError(f"{root} holds no SeveralBackgrounds folder; give the folder of the bart-vs-homer pictures")
    names = ("InFrontOfHouse", "InFrontOfNuclear", "SeveralBackgrounds", "InvertedBackgrounds")
    scenes = [read_picture(path) for path in sorted((root / "BackgroundOnly" / "NoClass").iterdir())]
    return assembled("of the article", root, folder, names, partial(derived_mask, scenes), moved=moved)


def assembled(
    source: str,
    root: Path,
    folder: Path,
    names: tuple[str, str, str, str],
    mask: Callable[[ImageSet, int], Bool[np.ndarray, "h w"]],
    *,
    moved: int,
) -> Pictures:
    """The four experiments over a folder with the article's layout."""
    one, elsewhere, several, inverted = (root / name for name in names)
    empty = root / "BackgroundOnly"
    scenes = sorted((empty / "NoClass").iterdir())
    again, repaired = folder / "moved" / "Train", folder / "swapped" / "Train"
    first = [path for path in scenes if path.stem.lower() == "house"]
    move = partial(write_swapped, one / "Train", again, backgrounds=first, moved=moved) if moved else tuple
    swap = partial(write_swapped, several / "Train", repaired, backgrounds=scenes, moved=moved)
    classed = root / "WithBackgroundsAsClass"
    experiments = (
        Experiment(
            key="honest",
            title="One background",
            what="Both figures stand before the same background, so it tells nothing about who is there.",
            train=again if moved else one / "Train",
            prepare=move,
            valid=one / "Valid",
            swapped=elsewhere,
        ),
        Experiment(
            key="leaky",
            title="Each figure before its own background",
            what="The background gives the answer away: this is the leak.",
            train=several / "Train",
            valid=several / "Valid",
            swapped=inverted,
        ),
        Experiment(
            key="background-class",
            title="The article's repair: backgrounds as a third class",
            what="The leaking pictures again, and the empty backgrounds as a class of their own with weight 15.",
            train=classed / "Train",
            valid=classed / "Valid",
            swapped=inverted,
            background_weight=15.0,
        ),
        Experiment(
            key="repaired",
            title="A real repair: figures pasted before every background",
            what="Each figure is cut out with its mask and pasted before the other background too: the leak is gone.",
            train=repaired,
            prepare=swap,
            valid=several / "Valid",
            swapped=inverted,
        ),
    )
    return Pictures(source, experiments, empty, mask)


def stored_mask(root: Path, images: ImageSet, row: int) -> Bool[np.ndarray, "h w"]:
    """The mask that was drawn with the picture."""
    return read_picture(root / "Masks" / images.file(row).relative_to(root))[..., 0] > 127


def derived_mask(scenes: list[UInt8[np.ndarray, "_ _ 3"]], images: ImageSet, row: int) -> Bool[np.ndarray, "h w"]:
    """The mask from the difference between a picture and the empty scene behind it."""
    image = read_picture(images.file(row))
    return mask_from_background(image, scenes[find_background(image, scenes)])
