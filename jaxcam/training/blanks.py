"""What a classifier says to pictures that show nothing, and to pictures whose values are on another scale.

A softmax always names a class. A network that was trained on x / 255 and is given x calls a picture without a digit a
digit with probability 1. So the answers to blank, noisy and scrambled pictures, and to real ones wrongly scaled, are
measured and shown. They are never judged: honest classifiers and those that cheat give anything between 60 and 100 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from jaxcam import __version__
from jaxcam.classifier import Classifier
from jaxcam.data.image_files import UnreadableImage
from jaxcam.data.images import ImageSet
from jaxcam.files import write_json
from jaxcam.results import aligned

FILE = "evaluation/probes.json"
GREYS = (0, 64, 128, 192, 255)
SAMPLE = 64
TILES = 4
_BATCH = 32
SURE = 0.99


@dataclass(frozen=True)
class Probe:
    """The answers to one kind of pictures."""

    name: str
    shown: str
    """what the pictures are, in a few words"""
    probability: Float[np.ndarray, " n"]
    """of each picture's predicted class"""
    predicted: Int[np.ndarray, " n"]
    right: float | None = None
    """share that gets the class of the real picture it was made from; None where no class can be right"""

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """JSON values."""
        most = int(np.bincount(self.predicted, minlength=len(names)).argmax())
        return {
            "name": self.name,
            "shown": self.shown,
            "pictures": len(self.predicted),
            "mean_probability": _number(self.probability.mean()),
            "highest_probability": _number(self.probability.max()),
            f"share_above_{SURE}": _number((self.probability > SURE).mean()),
            "most_frequent_class": names[most],
            "share_of_most_frequent_class": float((self.predicted == most).mean()),
            "accuracy": self.right,
        }


@dataclass(frozen=True)
class Probes:
    """The answers to every kind of pictures."""

    class_names: tuple[str, ...]
    kinds: tuple[Probe, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "jaxcam": __version__,
            "about": "shown, never judged: no class is right for pictures that show nothing",
            "classes": list(self.class_names),
            "probes": [kind.to_json(self.class_names) for kind in self.kinds],
        }


def probe(
    classifier: Classifier,
    images: UInt8[np.ndarray, "n h w 3"],
    labels: Int[np.ndarray, " n"] | None = None,
    *,
    key: PRNGKeyArray,
) -> Probes:
    """Ask the classifier about pictures without content, made from `images` (of its own size) where they need any.

    Blank ones: greys from black to white, and the mean colour. Noise: uniform, Gaussian, and every picture's pixels
    shuffled. Scrambled: every picture cut into 4 x 4 tiles that change places. Scale: every picture divided and
    multiplied by 255 before it is normalised; `labels` say whether those are still right (-1: not known). The first
    kind are the pictures as they are. The same key gives the same pictures. Raises ValueError without a picture.
    """
    if not len(images):
        raise ValueError("there is no picture to make probes from")
    height, width = images.shape[1:3]
    keys = jax.random.split(key, 4)
    mean = np.rint(images.mean((0, 1, 2))).astype(np.uint8)
    blank = np.concatenate([np.tile(np.array(GREYS, np.uint8)[:, None], (1, 3)), mean[None]])
    size = (max(8, min(len(images), _BATCH)), height, width, 3)
    uniform = np.asarray(jax.random.randint(keys[0], size, 0, 256, jnp.int32)).astype(np.uint8)
    normal = 128 + 64 * np.asarray(jax.random.normal(keys[1], size, jnp.float32))
    gaussian = np.rint(np.clip(normal, 0, 255)).astype(np.uint8)
    known = None if labels is None or not (labels >= 0).any() else labels
    ask = partial(_asked, _scaled_logits(classifier), classifier.params, size[0])
    flat = (len(blank), height, width, 3)
    return Probes(
        classifier.class_names,
        (
            ask("pictures", "the pictures as they are", images, labels=known),
            ask("blank", "one colour each: five greys, the mean", np.broadcast_to(blank[:, None, None], flat)),
            ask("uniform", "noise, all values alike likely", uniform),
            ask("gaussian", "noise around mid-grey", gaussian),
            ask("pixels", "the pictures' pixels shuffled", _shuffled_pixels(images, _generator(keys[2]))),
            ask("tiles", "the pictures' tiles shuffled", _shuffled_tiles(images, _generator(keys[3])), labels=known),
            ask("divided", "values divided by 255 too often", images, factor=1 / 255, labels=known),
            ask("multiplied", "not divided by 255", images, factor=255.0, labels=known),
        ),
    )


def probe_set(classifier: Classifier, images: ImageSet, *, seed: int = 0, count: int = SAMPLE) -> Probes | None:
    """`probe` on a sample of an image set, as many of each class as there are; None where none can be read."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(images))
    # The n-th picture of every class before the n + 1st of any: a small sample holds all classes.
    rank = np.zeros(len(images), np.int64)
    for name in np.unique(images.labels):
        inside = images.labels[order] == name
        rank[inside] = np.arange(inside.sum())
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for row in order[np.argsort(rank, kind="stable")]:
        if len(pixels) == count:
            break
        try:
            pixels.append(images.decode(int(row), classifier.preprocessing))
        except UnreadableImage:
            continue
        labels.append(int(images.labels[row]))
    if not pixels:
        return None
    return probe(classifier, np.stack(pixels), np.array(labels, np.int64), key=jax.random.key(seed))


def write(run: Path, probes: Probes | None) -> None:
    """Write `evaluation/probes.json`; nothing where nothing could be probed."""
    if probes is not None:
        write_json(run / FILE, probes.to_json())


def summary(probes: Probes | None) -> str:
    """The answers in words: a line for each kind of pictures, and what to make of them."""
    if probes is None:
        return "no picture could be read, so nothing was probed"
    cells = [["what it says to", "pictures", "probability", "most often", "right"]]
    for kind in probes.kinds:
        about = kind.to_json(probes.class_names)
        most = f"{about['most_frequent_class']} {100 * about['share_of_most_frequent_class']:.0f} %"
        right = "-" if kind.right is None else f"{kind.right:.4f}"
        shown = "-" if about["mean_probability"] is None else f"{about['mean_probability']:.4f}"
        cells.append([kind.shown, str(len(kind.predicted)), shown, most, right])
    lines = aligned(cells)
    empty = [kind for kind in probes.kinds if kind.name in ("blank", "uniform", "gaussian", "pixels")]
    sure = [kind.shown for kind in empty if kind.probability.mean() > SURE]
    if sure:
        lines.append(
            f"note: nearly certain of a class where there is none ({'; '.join(sure)}): a high probability is no proof "
            "that anything was recognised"
        )
    return "\n".join(lines)


def _asked(
    compiled: Any,
    params: Any,
    batch: int,
    name: str,
    shown: str,
    images: np.ndarray,
    *,
    factor: float = 1.0,
    labels: np.ndarray | None = None,
) -> Probe:
    rows = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        # Always the same shape: one program for every kind.
        padded = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), part.dtype)])
        rows.append(np.asarray(compiled(params, padded, np.float32(factor)))[: len(part)])
    logits = np.concatenate(rows).astype(np.float64)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    predicted, right = logits.argmax(1), None
    if labels is not None:
        right = float((predicted == labels)[labels >= 0].mean())
    return Probe(name, shown, shifted.max(1) / shifted.sum(1), predicted, right)


def _scaled_logits(classifier: Classifier) -> Any:
    """The jitted function `(params, uint8 images, factor) -> logits` of pictures whose values are multiplied."""

    def logits(params: Any, images: UInt8[Array, "n h w 3"], factor: Float[Array, ""]) -> Float[Array, "n k"]:
        values = classifier.preprocessing.normalise(images.astype(jnp.float32) * factor)
        return classifier.chain.apply(params, values, train=False).astype(jnp.float32)

    return jax.jit(logits)


def _generator(key: PRNGKeyArray) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


def _shuffled_pixels(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    rows = [generator.permutation(image.reshape(-1, 3)) for image in images]
    return np.stack(rows).reshape(images.shape)


def _shuffled_tiles(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The tiles of each picture in another order; a rest at the right and the bottom edge stays where it is."""
    high, wide = images.shape[1] // TILES, images.shape[2] // TILES
    found = images.copy()
    places = [(slice(y * high, (y + 1) * high), slice(x * wide, (x + 1) * wide)) for y, x in np.ndindex(TILES, TILES)]
    for row in range(len(images)):
        for place, source in zip(places, generator.permutation(len(places)), strict=True):
            found[(row, *place)] = images[(row, *places[source])]
    return found


def _number(value: np.floating | float) -> float | None:
    return float(value) if np.isfinite(value) else None
