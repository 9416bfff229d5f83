"""How the networks of the story are trained: as the article has it, or offline with mini weights."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from jaxcam.config import ClassWeights, Config, Data, Network, Phase
from jaxcam.data.augment import Augment
from jaxcam.demo.pictures import BACKGROUND_CLASS, Experiment
from jaxcam.networks.heads import Head
from jaxcam.preprocessing import Preprocessing

FINE_TUNED_FROM = "block3_conv1"
VARIED = Augment(rotation=8, width_shift=0.1, height_shift=0.1, zoom=0.15, horizontal_flip=True, brightness=0.2)


def offline(experiment: Experiment, *, size: tuple[int, int] = (192, 320), epochs: int = 8) -> Config:
    """VGG16 mini on the shipped weights: a CAM head on the frozen base, then fine-tuning from block 3 upwards.

    The background class has two pictures; it takes three times the epochs until they are told from those with figures.
    """
    epochs = 3 * epochs if experiment.background_weight != 1 else epochs
    head = Phase(trainable="head", epochs=10, batch_size=8, learning_rate=2e-3, class_weights=class_weights(experiment))
    tuned = replace(
        head, trainable=FINE_TUNED_FROM, epochs=epochs, learning_rate=5e-4, schedule="cosine", warmup_epochs=0.5
    )
    return Config(
        data=data(experiment),
        network=Network(name="vgg16_mini", weights="mini", base_end="block5_conv3", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=size),
        phases=(head, tuned),
    )


def offline_real(experiment: Experiment) -> Config:
    """The same for the article's pictures, whose figures vary more, with more epochs.

    Before one background the pictures are varied too, or the network learns them by heart; the repaired set already
    shows every figure before both backgrounds in many places, and with more variation it did not finish learning.
    """
    config = offline(experiment, size=(216, 384), epochs=12)
    head, tuned = config.phases
    return replace(config, phases=(head, replace(tuned, augment=VARIED))) if experiment.key == "honest" else config


def article(
    experiment: Experiment,
    *,
    weights: str = "imagenet",
    pixels: str = "raw",
    learning_rate: float = 1e-3,
    relu: bool = True,
) -> Config:
    """The article's protocol: 360x640, frozen VGG16 without its last pool, 3x3 convolution with ReLU, mean, softmax.

    Adam 1e-3, one picture a step, 20, 30 and 40 epochs. The pictures go in raw (RGB, 0..255) as the article fed them,
    or with `pixels="keras"` (`"tf"` for the mini weights) as the weights expect them.
    """
    epochs = {"honest": 20, "leaky": 30, "background-class": 40, "repaired": 30}[experiment.key]
    phase = Phase(epochs=epochs, batch_size=1, learning_rate=learning_rate, class_weights=class_weights(experiment))
    name = "vgg16_mini" if weights == "mini" else "vgg16"
    return Config(
        data=data(experiment),
        network=Network(name=name, weights=weights, base_end="block5_conv3", head=Head(kind="cam", relu=relu)),
        preprocessing=Preprocessing.named(pixels, size=(360, 640), resize="nearest"),
        phases=(phase,),
    )


def data(experiment: Experiment) -> Data:
    """The experiment's folders."""
    return Data(folder=str(Path()), train=str(experiment.train), valid=str(experiment.valid))


def class_weights(experiment: Experiment) -> ClassWeights | Literal["none"]:
    """The background class' weight, where there is one."""
    return "none" if experiment.background_weight == 1 else ((BACKGROUND_CLASS, experiment.background_weight),)
