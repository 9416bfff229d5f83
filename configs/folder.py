"""Any folder of pictures: a frozen base with a CAM head on it, then fine-tuning of the base's last block.

Claim: with the packaged mini weights a small data set trains in minutes on two cores, and every map comes with it.
Expected: depends on the pictures; `jaxcam evaluate` tells.
Command: jaxcam train configs/folder.py --data.folder pictures --out runs/pictures
"""

from jaxcam.config import Config, Network, Phase
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing


def get_config() -> Config:
    """Two phases at 160x160."""
    return Config(
        network=Network(name="vgg16_mini", weights="mini", base_end="block5_conv3", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=(160, 160)),
        phases=(
            Phase(trainable="head", epochs=30, learning_rate=2e-3),
            Phase(trainable="block5_conv1", epochs=10, learning_rate=2e-4, schedule="cosine"),
        ),
    )
