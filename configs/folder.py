"""Any folder of pictures: a frozen base with a CAM head on it, then fine-tuning of the base's last block.

Arguments: weights=mini|imagenet, network=NAME, width=NUMBER (imagenet: vgg16, the default, vgg19, resnet50, mobilenet
of width 1, 0.75, 0.5 or 0.25, inception_v3, xception, resnet50_torchvision or inception_v3_torchvision, each at the
size and with the preprocessing that its weights were trained for).

Claim: with the packaged mini weights a small data set trains in minutes on two cores, and every map comes with it.
Expected: depends on the pictures; `jaxcam evaluate` tells.
Commands:
    jaxcam train configs/folder.py --data.folder pictures --out runs/pictures
    jaxcam train configs/folder.py:weights=imagenet --data.folder pictures --out runs/pictures-imagenet
    jaxcam train configs/folder.py:weights=imagenet,network=resnet50 --data.folder pictures --out runs/pictures-resnet50
"""

from jaxcam import weights as catalogue
from jaxcam.config import Config, Network, Phase
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing

LAST_BLOCK = {
    "vgg16_mini": ("block5_conv1", "block5_conv3"),
    "vgg16": ("block5_conv1", "block5_conv3"),
    "vgg19": ("block5_conv1", "block5_conv4"),
    "resnet50": ("conv5_block1_out", None),
    "resnet50_torchvision": ("conv5_block1_out", None),
    "mobilenet": ("conv_dw_12_relu", None),
    "inception_v3": ("mixed9", None),
    "inception_v3_torchvision": ("mixed9", None),
    "xception": ("block13", None),
}
"""first stage that the second phase moves, and the last one that is kept (None: the base's last)"""


def get_config(weights: str = "mini", network: str = "", width: str = "") -> Config:
    """Two phases: the head alone, then the base's last block too."""
    mini = weights == "mini"
    name = network or ("vgg16_mini" if mini else "vgg16")
    allowed = tuple(LAST_BLOCK)[:1] if mini else tuple(LAST_BLOCK)[1:]
    if weights not in ("mini", "imagenet") or name not in allowed:
        raise UserError(
            f"got weights={weights} and network={name}; allowed are weights=mini, and weights=imagenet with "
            f"network={', '.join(tuple(LAST_BLOCK)[1:])}"
        )
    try:
        factor = float(width) if width else None
    except ValueError as error:
        raise UserError(f"got width={width}; give a number such as width=0.5") from error
    entry = catalogue.entry_for(weights, name, factor or (1 / 8 if mini else 1.0))
    first, last = LAST_BLOCK[name]
    size = (160, 160) if mini else entry.input_size if entry else (224, 224)
    return Config(
        network=Network(name=name, weights=weights, width=factor, base_end=last, head=Head(kind="cam")),
        preprocessing=Preprocessing.named(entry.preprocessing if entry else "tf", size=size),
        phases=(
            Phase(trainable="head", epochs=30, learning_rate=2e-3 if mini else 1e-4),
            Phase(trainable=first, epochs=10, learning_rate=2e-4 if mini else 1e-5, schedule="cosine"),
        ),
    )
