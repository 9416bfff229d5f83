"""Keras' names for the networks with batch norm: which layer's tensors each of jaxcam's parameters is.

Three generations of files. Legacy `.h5` files have the layers' names (`keras`). Those that Keras gave by itself are
counted on through a Python process and from 0 or 1 on, so only their order says which layer is meant: `AUTOMATIC`.
Keras 3's `.weights.h5` has the layers' names too, and numbers for the tensors (`keras3`); its first versions had no
names but the class and a number in the order of `model.layers`, which is the order of depth.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxcam.networks.inception import BLOCKS as INCEPTION_BLOCKS
from jaxcam.networks.resnet import BLOCKS as RESNET_BLOCKS
from jaxcam.weights.rules import HEAD_STAGES, NOT_PARAMETERS, UNNAMED, Network, Rule, Transform

AUTOMATIC = {"conv2d": "conv2d|convolution2d", "batch_normalization": "batch_normalization|batchnormalization"}
"""names that Keras gives by itself, today's and those of Keras 1"""
ALIASES = {
    "kernel": "kernel|W",
    "bias": "bias|b",
    "moving_mean": "moving_mean|running_mean",
    "moving_variance": "moving_variance|running_std",
}
"""a tensor's name today, and in Keras 1 (whose running_std held variances)"""
CLASSES = {"conv": "conv2d", "depthwise": "depthwise_conv2d", "separable": "separable_conv2d"}
"""Keras' classes as its files write them"""


@dataclass(frozen=True)
class Layer:
    """A part of a network with parameters, and the Keras layers that hold them."""

    path: str
    """where the part's parameters are, such as `conv2_block1_out/1`"""
    conv: str
    """Keras' convolution"""
    norm: str
    """Keras' batch norm"""
    kind: str = "conv"
    """conv, depthwise or separable"""
    bias: bool = False
    scale: bool = True
    left: int = 0
    """layers between its batch norm and the end of its block: model.layers has those with the most left first"""

    def convolution(self) -> list[tuple[str, str, Transform | None]]:
        """(parameter, Keras' name, how its axes are put in order) of the convolution's tensors, in Keras' order."""
        kernels: dict[str, list[tuple[str, str, Transform | None]]] = {
            "conv": [("conv/kernel", "kernel", None)],
            "depthwise": [("conv/kernel", "kernel", depthwise_from_keras)],
            "separable": [
                ("depthwise/kernel", "depthwise_kernel", depthwise_from_keras),
                ("pointwise/kernel", "pointwise_kernel", None),
            ],
        }
        return kernels[self.kind] + ([("conv/bias", "bias", None)] if self.bias else [])

    def normalisation(self) -> list[tuple[str, str, Transform | None]]:
        """The same for batch norm."""
        names = (*(("gamma",) if self.scale else ()), "beta", "moving_mean", "moving_variance")
        return [(f"norm/{name}", name, None) for name in names]

    def tensors(self) -> Iterator[tuple[str, str, int, str, Transform | None]]:
        """(parameter, layer, number of the tensor in it, Keras' name, transform)."""
        for layer, parts in ((self.conv, self.convolution()), (self.norm, self.normalisation())):
            for number, (parameter, name, transform) in enumerate(parts):
                yield f"{self.path}/{parameter}", layer, number, name, transform


def depthwise_from_keras(array: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, channels, 1) to (h, w, 1, channels)."""
    if array.ndim != 4 or array.shape[3] != 1:
        raise ValueError("is no depthwise kernel with one output a channel")
    return array.transpose(0, 1, 3, 2)


def convolution_as_dense(array: np.ndarray, channels: int) -> np.ndarray:
    """A 1x1 convolution's kernel (1, 1, in, out) to (in, out)."""
    if array.shape[:-2] != (1, 1):
        raise ValueError("is no 1x1 convolution")
    return array[0, 0]


def named(layer: str, tensor: str) -> str:
    """A layer's tensor in a legacy file: scopes may stand between the names, TensorFlow and Keras add numbers."""
    return rf"(?:.*/)?{layer}(?:/(?:.*[/_])?|_)(?:{ALIASES.get(tensor, tensor)})(?:_\d+)?(?::0)?"


def numbered(name: str, number: int) -> str:
    """Keras' automatic name: the first has no number."""
    return f"{name}_{number}" if number else name


def network(layers: Sequence[Layer], top: str, *, top_is_convolution: bool = False) -> Network:
    """The porting table of a network with one dense layer on top; `layers` in the order in which Keras makes them."""
    transform = convolution_as_dense if top_is_convolution else None
    tops = [(f"{top}/{name}", top, number, name, transform) for number, name in enumerate(("kernel", "bias"))]
    tops[1] = (*tops[1][:4], None)
    tensors = [*(entry for layer in layers for entry in layer.tensors()), *tops]
    unnamed = class_names(layers, top, "conv2d" if top_is_convolution else "dense")
    keras = [Rule(named(layer, name), target, transform) for target, layer, _, name, transform in tensors]
    keras3 = [
        Rule(rf"(?:.*/)?(?:{layer}|{UNNAMED}{unnamed[layer]})/vars/{number}", target, transform)
        for target, layer, number, _, transform in tensors
    ]
    targets = tuple(entry[0] for entry in tensors)
    own = [Rule(re.escape(target), target) for target in targets]
    own.append(Rule(rf"(?:{HEAD_STAGES})/(?:kernel|bias)", r"\g<0>"))
    namings = {"jaxcam": own, "keras": keras, "keras3": keras3}
    return Network(
        targets,
        (top,),
        {name: (*rules, *NOT_PARAMETERS) for name, rules in namings.items()},
        {name: alias for name, alias in AUTOMATIC.items() if any(name in (e.conv, e.norm) for e in layers)},
    )


def class_names(layers: Sequence[Layer], top: str, top_class: str) -> dict[str, str]:
    """What Keras 3's first files call each layer: its class, numbered in the order of `model.layers`."""
    # Sorted by block already; a block's layers stand in the order of how much is left of it, equals as they were made.
    count: Counter[str] = Counter()
    found: dict[str, str] = {}
    blocks: dict[str, list[Layer]] = {}
    for layer in layers:
        blocks.setdefault(layer.path.split("/")[0], []).append(layer)
    for block in blocks.values():
        for layer in sorted(block, key=lambda each: -each.left):
            for name, kind in ((layer.conv, CLASSES[layer.kind]), (layer.norm, "batch_normalization")):
                found[name] = numbered(kind, count[kind])
                count[kind] += 1
    return found | {top: numbered(top_class, count[top_class])}


def mobilenet() -> Network:
    """Source: keras/src/applications/mobilenet.py."""
    layers = [Layer("conv1_relu", "conv1", "conv1_bn")]
    for number in range(1, 14):
        for name, kind in ((f"conv_dw_{number}", "depthwise"), (f"conv_pw_{number}", "conv")):
            layers.append(Layer(f"{name}_relu", name, f"{name}_bn", kind))
    return network(layers, "conv_preds", top_is_convolution=True)


def resnet50() -> Network:
    """Source: keras/src/applications/resnet.py."""
    layers = [Layer("conv1_relu", "conv1_conv", "conv1_bn", bias=True)]
    for level, (blocks, _, _) in enumerate(RESNET_BLOCKS, start=2):
        for block in range(1, blocks + 1):
            for part in range(0 if block == 1 else 1, 4):
                name, left = f"conv{level}_block{block}", 3 - part if part else 0
                layers.append(
                    Layer(f"{name}_out/{part}", f"{name}_{part}_conv", f"{name}_{part}_bn", bias=True, left=left)
                )
    return network(layers, "predictions")


def inception_parts() -> list[tuple[str, int]]:
    """InceptionV3's convolutions in the order of Keras' code: (path of the parameters, what is left of the block)."""
    paths = [(name, 0) for name in ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4")]
    for number, branches in enumerate(INCEPTION_BLOCKS):
        for index, branch in enumerate(branches):
            # Three layers a convolution; the ends of a branch that splits are joined by one layer more.
            count, joined = len(branch.steps), 4 if branch.split else 0
            left = [3 * (count - 1 - step) + joined for step in range(count)]
            left += [1] * len(branch.split)
            paths += [(f"mixed{number}/branch{index}_{step}", rest) for step, rest in enumerate(left)]
    return paths


def inception_v3() -> Network:
    """Source: keras/src/applications/inception_v3.py; its layers have automatic names, in the order of the code."""
    layers = [
        Layer(path, numbered("conv2d", number), numbered("batch_normalization", number), scale=False, left=left)
        for number, (path, left) in enumerate(inception_parts())
    ]
    return network(layers, "predictions")


def xception() -> Network:
    """Source: keras/src/applications/xception.py; the shortcuts have automatic names."""
    layers = [Layer(f"block1_conv{i}_act", f"block1_conv{i}", f"block1_conv{i}_bn") for i in (1, 2)]
    for block in range(2, 14):
        parts = 3 if 5 <= block <= 12 else 2
        if parts == 2:
            number = {2: 0, 3: 1, 4: 2, 13: 3}[block]
            automatic = numbered("conv2d", number), numbered("batch_normalization", number)
            layers.append(Layer(f"block{block}/shortcut", *automatic))
        for part in range(1, parts + 1):
            name = f"block{block}_sepconv{part}"
            layers.append(
                Layer(f"block{block}/sepconv{part}", name, f"{name}_bn", "separable", left=3 * (parts - part) + 1)
            )
    for part in (1, 2):
        name = f"block14_sepconv{part}"
        layers.append(Layer(f"{name}_act", name, f"{name}_bn", "separable"))
    return network(layers, "predictions")
