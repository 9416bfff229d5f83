"""Classifiers whose behaviour is known exactly: linear in the means of 4 x 4 cells, reading only some of them."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from PIL import Image

from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.classifier import Classifier
from jaxcam.data.folder import load_folder
from jaxcam.networks import Chain, NetworkSpec
from jaxcam.networks.layers import Dense, Flatten
from jaxcam.preprocessing import Preprocessing

SIDE, CELLS = 32, 4
LOWER_LEFT = ((3, 0),)
CENTRE = ((1, 1), (1, 2), (2, 1), (2, 2))
BORDER = tuple((r, c) for r in range(CELLS) for c in range(CELLS) if (r, c) not in CENTRE)


class Cells(nn.Module):
    """Means of 4 x 4 cells."""

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        n, h, w, c = x.shape
        return x.reshape(n, CELLS, h // CELLS, CELLS, w // CELLS, c).mean((2, 4))


@dataclass(frozen=True, kw_only=True)
class LinearSpec(NetworkSpec):
    """Cells, then one dense layer."""

    def chain(self) -> Chain:
        return Chain((("cells", Cells()), ("flatten", Flatten()), ("predictions", Dense(self.classes))))

    def base_names(self) -> tuple[str, ...]:
        return ("cells",)


def reader(cells, *, threshold: float = 0.75, sharpness: float = 20.0, classes: int = 2) -> Classifier:
    """Answers class 1 where the mean red of the cells (0..1) is above the threshold, else class 0."""
    kernel = np.zeros((CELLS, CELLS, 3, classes), np.float32)
    for row, column in cells:
        kernel[row, column, 0, 1] = sharpness / len(cells)
    bias = np.zeros(classes, np.float32)
    bias[1] = -sharpness * threshold
    bias[2:] = -100
    params = {"predictions": {"kernel": jnp.asarray(kernel.reshape(-1, classes)), "bias": jnp.asarray(bias)}}
    spec = LinearSpec(name="linear", classes=classes, input_size=(SIDE, SIDE))
    names = ("dark", "red", *(f"rest{i}" for i in range(classes - 2)))
    return Classifier(spec, params, Preprocessing.named("unit", size=(SIDE, SIDE)), names)


def nothing(classes: int = 2) -> Classifier:
    """The same logits for every picture."""
    return reader((), classes=classes)


def noisy_pictures(count: int, cells, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise; in pictures of class 1 the cells are red."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)
    labels = np.arange(count) % 2
    step = SIDE // CELLS
    for row, column in cells:
        part = pixels[:, row * step : (row + 1) * step, column * step : (column + 1) * step]
        part[labels == 1] = (255, 0, 0)
    return pixels, labels


def staged_pictures(count: int, *, seed: int = 0, one_scene: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Two fixed scenes (class 1's is red at the border) with a small object, red in class 1, that moves about."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = np.full((count, SIDE, SIDE, 3), 90, np.uint8)
    step = SIDE // CELLS
    if not one_scene:
        for row, column in BORDER:
            pixels[labels == 1, row * step : (row + 1) * step, column * step : (column + 1) * step] = (255, 90, 90)
    for picture, label in zip(pixels, labels, strict=True):
        top, left = generator.choice([8, 18], 2)
        picture[top : top + 6, left : left + 6] = (255, 0, 0) if label else (0, 0, 255)
    return pixels, labels


def write(folder: Path, pixels: np.ndarray, labels: np.ndarray, names) -> None:
    """The pictures as PNG files by class."""
    for number, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        path = folder / names[label] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def subject(folder: Path, classifier: Classifier, pixels, labels, *, train=None, **options) -> Subject:
    """A subject over pictures written below `folder`; `train` is a pair of pixels and labels."""
    names = classifier.class_names
    write(folder / "valid", pixels, labels, names)
    trained = None
    if train is not None:
        write(folder / "train", *train, names)
        trained = load_folder(folder / "train", class_names=names, name="train")
    return Subject(
        run=folder,
        classifier=classifier,
        audited=load_folder(folder / "valid", class_names=names, name="valid"),
        train=trained,
        options=AuditOptions(**{"method": "hires_cam", "batch_size": 16, **options}),
    )
