"""Any folder of pictures: a frozen base with a CAM head on it, then fine-tuning of the base's last block.

Arguments: weights=mini|imagenet (imagenet: VGG16 at 224x224, after `jaxcam weights fetch vgg16_keras_notop`).

Claim: with the packaged mini weights a small data set trains in minutes on two cores, and every map comes with it.
Expected: depends on the pictures; `jaxcam evaluate` tells.
Commands:
    jaxcam train configs/folder.py --data.folder pictures --out runs/pictures
    jaxcam train configs/folder.py:weights=imagenet --data.folder pictures --out runs/pictures-imagenet
"""

from jaxcam.config import Config, Network, Phase
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing


def get_config(weights: str = "mini") -> Config:
    """Two phases: the head alone, then everything from block 5 on."""
    if weights not in ("mini", "imagenet"):
        raise UserError(f"got weights={weights}; allowed are weights=mini and weights=imagenet")
    mini = weights == "mini"
    name = "vgg16_mini" if mini else "vgg16"
    return Config(
        network=Network(name=name, weights=weights, base_end="block5_conv3", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=(160, 160)) if mini else Preprocessing.named("keras"),
        phases=(
            Phase(trainable="head", epochs=30, learning_rate=2e-3 if mini else 1e-4),
            Phase(trainable="block5_conv1", epochs=10, learning_rate=2e-4 if mini else 1e-5, schedule="cosine"),
        ),
    )
