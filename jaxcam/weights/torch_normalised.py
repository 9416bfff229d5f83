"""torchvision's names for the networks with batch norm; timm's files of the same networks have the same.

Sources: torchvision/models/resnet.py and inception.py, whose chains are `resnet50_torchvision` and
`inception_v3_torchvision`: what torchvision trained computes something else than what Keras trained.
"""

import re

from jaxcam.networks.resnet import BLOCKS as RESNET_BLOCKS
from jaxcam.weights.rules import (
    HEAD_STAGES,
    NOT_PARAMETERS,
    Network,
    Rule,
    Transform,
    conv_from_torch,
    dense_from_torch,
)

STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
STEM = {
    "conv2d": "Conv2d_1a_3x3",
    "conv2d_1": "Conv2d_2a_3x3",
    "conv2d_2": "Conv2d_2b_3x3",
    "conv2d_3": "Conv2d_3b_1x1",
    "conv2d_4": "Conv2d_4a_3x3",
}
BLOCKS_35 = (("1x1",), ("5x5_1", "5x5_2"), ("3x3dbl_1", "3x3dbl_2", "3x3dbl_3"), ("_pool",))
BLOCKS_17 = (
    ("1x1",),
    tuple(f"7x7_{number}" for number in range(1, 4)),
    tuple(f"7x7dbl_{number}" for number in range(1, 6)),
    ("_pool",),
)
BLOCKS_8 = (("1x1",), ("3x3_1", "3x3_2a", "3x3_2b"), ("3x3dbl_1", "3x3dbl_2", "3x3dbl_3a", "3x3dbl_3b"), ("_pool",))
MIXED: dict[str, tuple[tuple[str, ...], ...]] = {
    "Mixed_5b": BLOCKS_35,
    "Mixed_5c": BLOCKS_35,
    "Mixed_5d": BLOCKS_35,
    "Mixed_6a": (("3x3",), ("3x3dbl_1", "3x3dbl_2", "3x3dbl_3")),
    "Mixed_6b": BLOCKS_17,
    "Mixed_6c": BLOCKS_17,
    "Mixed_6d": BLOCKS_17,
    "Mixed_6e": BLOCKS_17,
    "Mixed_7a": (("3x3_1", "3x3_2"), tuple(f"7x7x3_{number}" for number in range(1, 5))),
    "Mixed_7b": BLOCKS_8,
    "Mixed_7c": BLOCKS_8,
}
"""torchvision's blocks in order; the convolutions of each branch, each name behind `branch`"""


def network(parts: list[tuple[str, str, str]], ignored: tuple[Rule, ...] = ()) -> Network:
    """The porting table of a network whose top is called `fc`; parts are (our path, their convolution, their norm)."""
    pairs: list[tuple[str, str, Transform | None]] = []
    for path, conv, norm in parts:
        pairs.append((f"{path}/conv/kernel", f"{conv}.weight", conv_from_torch))
        pairs += [(f"{path}/norm/{ours}", f"{norm}.{theirs}", None) for ours, theirs in STATISTICS.items()]
    pairs += [("predictions/kernel", "fc.weight", dense_from_torch), ("predictions/bias", "fc.bias", None)]
    targets = tuple(target for target, _, _ in pairs)
    own = [Rule(re.escape(target), target) for target in targets]
    own.append(Rule(rf"(?:{HEAD_STAGES})/(?:kernel|bias)", r"\g<0>"))
    theirs = [Rule(rf"(?:module\.)?{re.escape(name)}", target, transform) for target, name, transform in pairs]
    namings = {"jaxcam": own, "torchvision": [*theirs, *ignored]}
    return Network(targets, ("predictions",), {name: (*rules, *NOT_PARAMETERS) for name, rules in namings.items()})


def resnet50() -> Network:
    """torchvision's ResNet50."""
    parts = [("conv1_relu", "conv1", "bn1")]
    for level, (blocks, _, _) in enumerate(RESNET_BLOCKS, start=1):
        for block in range(blocks):
            ours, theirs = f"conv{level + 1}_block{block + 1}_out", f"layer{level}.{block}"
            if block == 0:
                parts.append((f"{ours}/0", f"{theirs}.downsample.0", f"{theirs}.downsample.1"))
            parts += [(f"{ours}/{part}", f"{theirs}.conv{part}", f"{theirs}.bn{part}") for part in (1, 2, 3)]
    return network(parts)


def inception_v3() -> Network:
    """torchvision's InceptionV3; what only training uses, the second classifier `AuxLogits`, is left out."""
    names = dict(STEM)
    for number, (block, branches) in enumerate(MIXED.items()):
        for index, branch in enumerate(branches):
            for step, name in enumerate(branch):
                names[f"mixed{number}/branch{index}_{step}"] = f"{block}.branch{name}"
    parts = [(path, f"{name}.conv", f"{name}.bn") for path, name in names.items()]
    return network(parts, (Rule(r"(?:module\.)?AuxLogits\..*", None),))
