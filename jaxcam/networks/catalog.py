"""From a name to a network: `NetworkSpec` describes it, `build` makes it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from jaxcam.errors import UserError
from jaxcam.networks import alexnet, convnets, inception, mobilenet, own, resnet, vgg, xception
from jaxcam.networks.chain import Chain
from jaxcam.networks.heads import Head, Stages


@dataclass(frozen=True)
class Architecture:
    """How to build a network: its base, its own top, and the values it has unless asked otherwise."""

    base: Callable[..., Stages]
    """base(width=, dtype=): named stages up to the last maps (n, h, w, c)"""
    top: Callable[..., Stages]
    """top(classes, width=, dtype=): the stages from there to logits (n, classes)"""
    width: float = 1.0
    """factor on the number of channels"""
    input_size: tuple[int, int] = (224, 224)
    """(height, width)"""


ARCHITECTURES = {
    "vgg16": Architecture(vgg.base, vgg.top),
    "vgg16_mini": Architecture(vgg.base, vgg.top, width=1 / 8),
    "vgg19": Architecture(partial(vgg.base, depth=19), vgg.top),
    "resnet50": Architecture(resnet.base, resnet.top),
    "resnet50_torchvision": Architecture(partial(resnet.base, torchvision=True), resnet.top),
    "mobilenet": Architecture(mobilenet.base, mobilenet.top),
    "inception_v3": Architecture(inception.base, inception.top, input_size=(299, 299)),
    "inception_v3_torchvision": Architecture(
        partial(inception.base, torchvision=True), partial(inception.top, torchvision=True), input_size=(299, 299)
    ),
    "xception": Architecture(xception.base, xception.top, input_size=(299, 299)),
    "convnet": Architecture(convnets.base, convnets.top, input_size=(150, 150)),
    "convnet_birds": Architecture(
        partial(convnets.base, channels=convnets.BIRDS_CATS_DOGS), convnets.top, input_size=(150, 150)
    ),
    "alexnet": Architecture(alexnet.base, alexnet.top, input_size=(227, 227)),
}


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Everything that decides a network's stages; written to JSON beside the parameters."""

    name: str = "vgg16_mini"
    """architecture in the catalogue, or the absolute path of a Python file that defines one as `NETWORK`"""
    classes: int = 1000
    """number of classes"""
    head: Head | Literal["top", "none"] = "top"
    """the architecture's own top, none, or a head"""
    base_end: str | None = None
    """last stage of the base that is kept; None: all of it"""
    width: float | None = None
    """factor on the number of channels; None: the architecture's"""
    input_size: tuple[int, int] | None = None
    """(height, width); None: the architecture's"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """compute dtype; parameters are float32"""

    @property
    def size(self) -> tuple[int, int]:
        """Input size (height, width)."""
        return self.input_size or architecture(self.name).input_size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a batch of one image."""
        return (1, *self.size, 3)

    def chain(self) -> Chain:
        """The network; raises `UserError` for an unknown name or stage, or an input that is too small."""
        arch = architecture(self.name)
        width = arch.width if self.width is None else self.width
        dtype = jnp.dtype(self.dtype)
        base = Chain(arch.base(width=width, dtype=dtype)).slice(stop=self.base_end).stages
        if self.head == "none":
            chain = Chain(base)
        elif self.head == "top":
            chain = Chain((*base, *arch.top(self.classes, width=width, dtype=dtype)))
        else:
            chain = Chain((*base, *self.head.stages(self.classes, dtype)))
        smallest = min(chain.slice(stop=base[-1][0]).shapes(self.shape)[base[-1][0]][1:3])
        if smallest < 1:
            raise UserError(f"input size {self.size} is too small for {self.name!r}: its last map would be empty")
        return chain

    def base_names(self) -> tuple[str, ...]:
        """Names of the stages below the head."""
        stages = Chain(architecture(self.name).base(width=1.0)).slice(stop=self.base_end)
        return stages.names


def architecture(name: str) -> Architecture:
    """The catalogue's entry, or what the user's file defines; `UserError` lists the names there are."""
    if own.is_file(name):
        found = own.defined_in(name)
        if not isinstance(found, Architecture):
            raise UserError(f"{own.ATTRIBUTE} of {name} is {type(found).__name__}; it must be an Architecture")
        return found
    if name not in ARCHITECTURES:
        raise UserError(
            f"unknown network {name!r}; there are: {', '.join(ARCHITECTURES)}, or a Python file of your own"
        )
    return ARCHITECTURES[name]


def build(
    name: str,
    *,
    classes: int = 1000,
    key: PRNGKeyArray | None = None,
    head: Head | Literal["top", "none"] | None = "top",
    base_end: str | None = None,
    width: float | None = None,
    input_size: tuple[int, int] | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> tuple[Chain, dict[str, Any]]:
    """A network of the catalogue and fresh float32 parameters for it (`key` defaults to `jax.random.key(0)`).

    `head` is `"top"` (the architecture's own dense top), `None` (the base alone, any input size) or a `Head`.

    >>> chain, params = build("vgg16_mini", classes=10, head=Head(kind="cam"), input_size=(64, 96))
    >>> chain.shapes((2, 64, 96, 3))["block5_conv3"]
    (2, 4, 6, 64)
    """
    spec = NetworkSpec(
        name=name,
        classes=classes,
        head="none" if head is None else head,
        base_end=base_end,
        width=width,
        input_size=input_size,
        dtype=dtype,
    )
    chain = spec.chain()
    key = jax.random.key(0) if key is None else key
    return chain, fresh_params(chain, key, spec.shape)


def fresh_params(
    chain: Chain, key: PRNGKeyArray, shape: tuple[int, ...], *, without: Collection[str] = ()
) -> dict[str, Any]:
    """`chain.init` in one compiled program, except for the stages named in `without`."""

    def fresh(key):
        return {name: values for name, values in chain.init(key, shape).items() if name not in without}

    # XLA takes half a minute to optimise the random numbers of VGG16 for a CPU, and they are drawn once.
    return jax.jit(fresh, compiler_options={"xla_backend_optimization_level": 1})(key)
