"""A classifier whose behaviour is known: it compares how much red and how much blue a picture has, and nothing else.

Before grey scenes it goes by the object; before coloured scenes by the scene, and coloured objects change little.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.classifier import Classifier
from jaxcam.config import Config, Data, to_json
from jaxcam.data.folder import load_folder
from jaxcam.networks import Head, NetworkSpec
from jaxcam.preprocessing import Preprocessing

SIZE = (24, 32)
NAMES = ("blue", "red")
GREY = ((120, 120, 120), (120, 120, 120))
OWN = ((110, 130, 160), (160, 130, 110))
"""blue objects before a bluish scene, red ones before a reddish one"""
OBJECTS = ((60, 60, 250), (250, 60, 60))


def classifier() -> Classifier:
    """Two channels, blue over red and red over blue; the head adds each up."""
    head = Head(kind="cam")
    network = NetworkSpec(name="convnet", classes=2, width=1 / 16, base_end="conv1", head=head, input_size=SIZE)
    params = {
        name: {key: np.zeros(v.shape, np.float32) for key, v in stage.items()}
        for name, stage in network.chain().abstract(network.shape).items()
    }
    params["conv1"]["kernel"][1, 1, :, :2] = [[-1, 1], [0, 0], [1, -1]]
    params["conv_last"]["kernel"][1, 1, 0, 0] = params["conv_last"]["kernel"][1, 1, 1, 1] = 20.0
    stages = {name: {key: jnp.asarray(value) for key, value in stage.items()} for name, stage in params.items()}
    return Classifier(network, stages, Preprocessing.named("unit", size=SIZE, resize="nearest"), NAMES)


def picture(label: int, scene: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured scene with a square of the class' colour somewhere; and where the square is."""
    generator = np.random.default_rng(seed)
    pixels = np.full((*SIZE, 3), scene, np.uint8)
    pixels[::4] -= 20
    mask = np.zeros(SIZE, bool)
    row, column = generator.integers(4, 14), generator.integers(4, 22)
    mask[row : row + 6, column : column + 6] = True
    pixels[mask] = OBJECTS[label]
    return pixels, mask


def write(root: Path, scenes: tuple, *, count: int = 12, first: int = 0, masks: Path | None = None) -> Path:
    """A folder of pictures, a sub-folder a class; masks beside them where asked for."""
    for label, name in enumerate(NAMES):
        for number in range(first, first + count):
            pixels, mask = picture(label, scenes[label], 100 * label + number)
            for folder, values in ((root, pixels), (masks, mask.astype(np.uint8) * 255)):
                if folder is not None:
                    file = folder / name / f"{number:02d}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(values).save(file)
    return root


def subject(root: Path, scenes: tuple, **options) -> Subject:
    """The classifier with `Train` and `Valid` pictures before the scenes."""
    train = write(root / "Train", scenes, count=10)
    valid = write(root / "Valid", scenes, count=12, first=50)
    sets = [load_folder(folder, name=folder.name.lower()) for folder in (valid, train)]
    return Subject(run=root, classifier=classifier(), audited=sets[0], train=sets[1], options=AuditOptions(**options))


def run(root: Path, scenes: tuple) -> Path:
    """The same as a run's folder."""
    subject(root / "pictures", scenes)
    folder = root / "run"
    classifier().save(folder / "classifier")
    config = to_json(Config(data=Data(folder=str(root / "pictures"))))
    (folder / "config.json").write_text(json.dumps(config))
    return folder
