"""Keras' names for the networks with batch norm: which layer's tensors each of jaxcam's parameters is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxcam.networks.inception import BLOCKS as INCEPTION_BLOCKS
from jaxcam.networks.resnet import BLOCKS as RESNET_BLOCKS
from jaxcam.weights.rules import HEAD_STAGES, NOT_PARAMETERS, Network, Rule, Transform


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

    def pairs(self) -> Iterator[tuple[str, Rule]]:
        """(parameter, rule for its tensor)."""
        kernels: dict[str, list[tuple[str, str, Transform | None]]] = {
            "conv": [("conv/kernel", "kernel", None)],
            "depthwise": [("conv/kernel", "(?:depthwise_)?kernel", depthwise_from_keras)],
            "separable": [
                ("depthwise/kernel", "depthwise_kernel", depthwise_from_keras),
                ("pointwise/kernel", "pointwise_kernel", None),
            ],
        }
        for name, pattern, transform in kernels[self.kind]:
            yield f"{self.path}/{name}", Rule(source(self.conv, pattern), f"{self.path}/{name}", transform)
        if self.bias:
            yield f"{self.path}/conv/bias", Rule(source(self.conv, "bias"), f"{self.path}/conv/bias")
        for name in (*(("gamma",) if self.scale else ()), "beta", "moving_mean", "moving_variance"):
            yield f"{self.path}/norm/{name}", Rule(source(self.norm, name), f"{self.path}/norm/{name}")


def depthwise_from_keras(array: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, channels, 1) to (h, w, 1, channels)."""
    if array.ndim != 4 or array.shape[3] != 1:
        raise ValueError("is no depthwise kernel with one output a channel")
    return array.transpose(0, 1, 3, 2)


def source(layer: str, pattern: str) -> str:
    """A layer's tensor in a file: the layer's name may stand twice, TensorFlow adds a number to the tensor's."""
    return rf"(?:.*/)?{layer}/{pattern}(?::0)?"


def network(layers: list[Layer], top: str, transform: Transform | None = None) -> Network:
    """The porting table of a network with one dense layer on top."""
    pairs = [pair for layer in layers for pair in layer.pairs()]
    pairs += [
        (f"{top}/kernel", Rule(source(top, "kernel"), f"{top}/kernel", transform)),
        (f"{top}/bias", Rule(source(top, "bias"), f"{top}/bias")),
    ]
    targets = tuple(target for target, _ in pairs)
    own = [Rule(re.escape(target), target) for target in targets]
    own.append(Rule(rf"(?:{HEAD_STAGES})/(?:kernel|bias)", r"\g<0>"))
    namings = {"jaxcam": own, "keras": [rule for _, rule in pairs]}
    return Network(targets, (top,), {name: (*rules, *NOT_PARAMETERS) for name, rules in namings.items()})


def mobilenet() -> Network:
    """Source: keras/src/applications/mobilenet.py."""
    layers = [Layer("conv1_relu", "conv1", "conv1_bn")]
    for number in range(1, 14):
        for name, kind in ((f"conv_dw_{number}", "depthwise"), (f"conv_pw_{number}", "conv")):
            layers.append(Layer(f"{name}_relu", name, f"{name}_bn", kind))
    return network(layers, "conv_preds", convolution_as_dense)


def convolution_as_dense(array: np.ndarray, channels: int) -> np.ndarray:
    """A 1x1 convolution's kernel (1, 1, in, out) to (in, out)."""
    if array.shape[:-2] != (1, 1):
        raise ValueError("is no 1x1 convolution")
    return array[0, 0]


def resnet50() -> Network:
    """Source: keras/src/applications/resnet.py."""
    layers = [Layer("conv1_relu", "conv1_conv", "conv1_bn", bias=True)]
    for level, (blocks, _, _) in enumerate(RESNET_BLOCKS, start=2):
        for block in range(1, blocks + 1):
            for part in range(0 if block == 1 else 1, 4):
                name = f"conv{level}_block{block}"
                layers.append(Layer(f"{name}_out/{part}", f"{name}_{part}_conv", f"{name}_{part}_bn", bias=True))
    return network(layers, "predictions")


def numbered(name: str, number: int) -> str:
    """Keras' automatic name: the first has no number."""
    return f"{name}_{number}" if number else name


def inception_v3() -> Network:
    """Source: keras/src/applications/inception_v3.py; its layers have automatic names, in the order of the code."""
    paths = ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"]
    for number, branches in enumerate(INCEPTION_BLOCKS):
        for index, branch in enumerate(branches):
            steps = len(branch.steps) + len(branch.split)
            paths += [f"mixed{number}/branch{index}_{step}" for step in range(steps)]
    layers = [
        Layer(path, numbered("conv2d", number), numbered("batch_normalization", number), scale=False)
        for number, path in enumerate(paths)
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
            layers.append(Layer(f"block{block}/sepconv{part}", name, f"{name}_bn", "separable"))
    for part in (1, 2):
        name = f"block14_sepconv{part}"
        layers.append(Layer(f"{name}_act", name, f"{name}_bn", "separable"))
    return network(layers, "predictions")
