"""How other libraries name and lay out a network's tensors: data for `port`, one table a network.

To add a network, add a `Network` to `tables.NETWORKS`: its parameters by jaxcam's names, and for every library an
ordered list of rules from a source name to one of them. The first rule whose pattern matches the whole name wins. A
name that no rule matches is an error, so a rule with target `None` is needed for what a file holds beside parameters.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Transform = Callable[[np.ndarray, int], np.ndarray]


HEAD_STAGES = r"conv_last|dense_\d+|predictions"
"""Stages with parameters of `jaxcam.networks.Head`; a classifier's own file has them."""
UNNAMED = "#"
"""stands before the class name of a layer for which a Keras 3 file has no name"""


@dataclass(frozen=True)
class Rule:
    """A source name (regular expression), the parameter it is, and how its axes are put in order."""

    pattern: str
    target: str | None
    """a parameter's path, or a replacement such as `\\g<0>`; None: not a parameter"""
    transform: Transform | None = None
    """takes the array and the number of channels that `channels_of` says; raises `ValueError` if they do not fit"""
    channels_of: str = ""
    """parameter whose last axis counts the channels of the map that was flattened"""

    def matches(self, name: str) -> bool:
        """Whether this rule is about the tensor of that name."""
        return re.fullmatch(self.pattern, name) is not None

    def parameter(self, name: str) -> str | None:
        """The parameter that the tensor of that name is."""
        match = re.fullmatch(self.pattern, name)
        return match.expand(self.target) if match and self.target else None


@dataclass(frozen=True)
class Network:
    """A network's parameters in order, which stages are its top, and the libraries' names for them."""

    targets: tuple[str, ...]
    top: tuple[str, ...]
    namings: Mapping[str, tuple[Rule, ...]]
    automatic: Mapping[str, str] = field(default_factory=dict)
    """names that Keras counts by itself, such as conv2d, with a pattern of how files write them"""

    def counted(self, names: Iterable[str]) -> dict[str, str]:
        """The names of a file, and what they are with the layers' automatic numbers counted from 0 without gaps.

        Keras goes on counting through a process, and its published files count from 1: `conv2d_95` may be the first.
        """
        found = {name: name for name in names}
        for base, pattern in self.automatic.items():
            layer = re.compile(rf"(?<![^/])(?:{pattern})(?:_(\d+))?(?![^/])")
            numbers = sorted({int(match[1] or 0) for name in found for match in layer.finditer(name)})
            rank = {number: position for position, number in enumerate(numbers)}

            def counted(match: re.Match[str], base: str = base, rank: Mapping[int, int] = rank) -> str:
                position = rank[int(match[1] or 0)]
                return f"{base}_{position}" if position else base

            found = {name: layer.sub(counted, renamed) for name, renamed in found.items()}
        return found

    def is_top(self, parameter: str) -> bool:
        """Whether a parameter belongs to the network's own top or to one of jaxcam's heads, not to the base."""
        stage = parameter.split("/")[0]
        return stage in self.top or re.fullmatch(HEAD_STAGES, stage) is not None


def conv_from_torch(array: np.ndarray, channels: int) -> np.ndarray:
    """(out, in, h, w) to (h, w, in, out)."""
    if array.ndim != 4:
        raise ValueError(f"{array.ndim} axes, a convolution has 4")
    return array.transpose(2, 3, 1, 0)


def dense_from_torch(array: np.ndarray, channels: int) -> np.ndarray:
    """(out, in) to (in, out)."""
    if array.ndim != 2:
        raise ValueError(f"{array.ndim} axes, a dense layer has 2")
    return array.transpose()


def flattened_dense_from_torch(array: np.ndarray, channels: int) -> np.ndarray:
    """(out, c h w) to (h w c, out): torch flattens a map channel by channel, jaxcam and Keras position by position."""
    if array.ndim != 2 or channels < 1 or array.shape[1] % channels:
        raise ValueError(f"does not take a flattened map of {channels} channels")
    outputs, inputs = array.shape
    return array.reshape(outputs, channels, inputs // channels).transpose(2, 1, 0).reshape(inputs, outputs)


def dense_from_torch_conv(array: np.ndarray, channels: int) -> np.ndarray:
    """A dense layer written as a convolution over the whole map, (out, c, h, w), to (h w c, out)."""
    if array.ndim != 4:
        raise ValueError(f"{array.ndim} axes, a convolution has 4")
    return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])


# What a file holds beside parameters: states of optimisers and random generators, batch counters.
NOT_PARAMETERS = (
    Rule(r"(?:.*/)?(?:optimizer|seed_generator)(?:/.*)?", None),
    Rule(r".*\.num_batches_tracked", None),
)


def vgg(convolutions: Sequence[int]) -> Network:
    """A VGG without batch norm, with `convolutions[i]` convolutions in block i + 1 (VGG16: 2, 2, 3, 3, 3).

    Sources: keras/src/applications/vgg16.py; torchvision/models/vgg.py; timm/models/vgg.py (its `pre_logits` writes the
    dense layers as convolutions over the 7x7 map).
    """
    convs: list[tuple[str, int]] = []
    index = 0
    for block, count in enumerate(convolutions, start=1):
        for number in range(1, count + 1):
            convs.append((f"block{block}_conv{number}", index))
            index += 2  # the convolution and its ReLU
        index += 1  # the pool
    top = ("fc1", "fc2", "predictions")
    stages = (*(name for name, _ in convs), *top)
    flattened = f"{convs[-1][0]}/bias"

    keras = [
        Rule(rf"(?:.*/)?{stage}[/_](?:{kind}|{old})(?:_\d+)?(?::0)?", f"{stage}/{kind}")
        for stage in stages
        for kind, old in (("kernel", "W"), ("bias", "b"))
    ]
    automatic = [(stage, "conv2d", number) for number, (stage, _) in enumerate(convs)]
    automatic += [(stage, "dense", number) for number, stage in enumerate(top)]
    keras3 = [
        Rule(
            rf"(?:.*/)?(?:{stage}|{UNNAMED}{class_name}{f'_{number}' if number else ''})/vars/{variable}",
            f"{stage}/{kind}",
        )
        for stage, class_name, number in automatic
        for variable, kind in enumerate(("kernel", "bias"))
    ]
    features = [
        rule
        for stage, index in convs
        for rule in (
            Rule(rf"(?:module\.)?features\.{index}\.weight", f"{stage}/kernel", conv_from_torch),
            Rule(rf"(?:module\.)?features\.{index}\.bias", f"{stage}/bias"),
        )
    ]
    torchvision = [
        *features,
        Rule(r"(?:module\.)?classifier\.0\.weight", "fc1/kernel", flattened_dense_from_torch, flattened),
        Rule(r"(?:module\.)?classifier\.0\.bias", "fc1/bias"),
        Rule(r"(?:module\.)?classifier\.3\.weight", "fc2/kernel", dense_from_torch),
        Rule(r"(?:module\.)?classifier\.3\.bias", "fc2/bias"),
        Rule(r"(?:module\.)?classifier\.6\.weight", "predictions/kernel", dense_from_torch),
        Rule(r"(?:module\.)?classifier\.6\.bias", "predictions/bias"),
    ]
    timm = [
        *features,
        Rule(r"(?:module\.)?pre_logits\.fc1\.weight", "fc1/kernel", dense_from_torch_conv),
        Rule(r"(?:module\.)?pre_logits\.fc1\.bias", "fc1/bias"),
        Rule(r"(?:module\.)?pre_logits\.fc2\.weight", "fc2/kernel", dense_from_torch_conv),
        Rule(r"(?:module\.)?pre_logits\.fc2\.bias", "fc2/bias"),
        Rule(r"(?:module\.)?head\.fc\.weight", "predictions/kernel", dense_from_torch),
        Rule(r"(?:module\.)?head\.fc\.bias", "predictions/bias"),
    ]
    targets = tuple(f"{stage}/{kind}" for stage in stages for kind in ("kernel", "bias"))
    namings = {
        "jaxcam": [
            *(Rule(re.escape(target), target) for target in targets),
            Rule(rf"(?:{HEAD_STAGES})/(?:kernel|bias)", r"\g<0>"),
        ],
        "keras": keras,
        "keras3": keras3,
        "torchvision": torchvision,
        "timm": timm,
    }
    return Network(targets, top, {name: (*rules, *NOT_PARAMETERS) for name, rules in namings.items()})
