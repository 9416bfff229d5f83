"""The attribution methods as a table: what each computes in the program of a batch, and what belongs to its maps.

Every method gets the same `Scene` and gives raw maps float32 (n, t, h, w), or (n, h, w) where the class plays no part.
The methods are written independently of each other; in one program XLA merges the forward pass they share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from jaxcam.attribution.perturbation.forwards import blurred
from jaxcam.attribution.perturbation.occlusion import grid_for, occluded_logits
from jaxcam.attribution.targets import Targets
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps.options import MethodOptions
from jaxcam.maps.targets import Score

Family = Literal["layer", "input", "perturbation"]
Grid = Literal["stage", "pool", "input", "other"]


@dataclass(frozen=True)
class Scene:
    """One batch inside the program: everything that a method may look at."""

    classifier: Classifier
    """network and class names; its parameters are names and shapes only"""
    params: Mapping[str, Any]
    images: UInt8[Array, "n h w 3"]
    targets: Targets
    """(n, t) class numbers, or a function of the logits that gives (n, t) scores"""
    options: MethodOptions
    key: PRNGKeyArray
    """the same for every batch of a set: what a method draws does not depend on where an image stands"""
    colour: Float[Array, " 3"]
    """RGB 0..255 that stands for nothing there"""
    score: Score = "logit"
    references: UInt8[Array, "r h w 3"] | None = None
    """pictures of the set"""

    @property
    def inputs(self) -> Float[Array, "n h w 3"]:
        """The images as the network takes them."""
        return self.classifier.preprocessing.normalise(self.images)

    def fn(self, inputs: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """Logits of normalised images."""
        return self.classifier.chain.apply(self.params, inputs)

    def activations(self, stage: str) -> Float[Array, "n h w c"]:
        """What a stage gives for the batch."""
        return self.classifier.chain.apply(self.params, self.inputs, stop=stage)

    def head(self, stage: str) -> Callable[[Array], Array]:
        """What follows a stage, as a function to logits."""
        return lambda values: self.classifier.chain.apply(self.params, values, start=stage)

    @cached_property
    def occluded(self) -> tuple[Float[Array, "n k"], Float[Array, "n gh gw k"]]:
        """Logits of the images, and with each window hidden: computed once for everything that comes from them."""
        grid = grid_for(self.inputs, self.options.window, self.options.stride)
        return occluded_logits(self.fn, self.inputs, grid, self.fill)

    @property
    def fill(self) -> Float[Array, "..."]:
        """What stands for nothing there, as the network takes it: a colour (3,), or with `blur` images (n, h, w, 3)."""
        if self.options.fill == "blur":
            return blurred(self.inputs, max(1.0, min(self.images.shape[1:3]) / 10))
        return self.classifier.preprocessing.normalise(self.colour[None, None, None])[0, 0, 0]

    @property
    def baselines(self) -> Float[Array, "n h w 3"]:
        """`fill` as whole images."""
        return jnp.broadcast_to(self.fill, self.images.shape)


@dataclass(frozen=True)
class Facts:
    """What a cost depends on."""

    targets: int
    """maps an image"""
    size: tuple[int, int]
    """network's input"""
    channels: int
    """of the stage; 0 where there is none"""
    options: MethodOptions


@dataclass(frozen=True, kw_only=True)
class Method:
    """One attribution method."""

    name: str
    family: Family
    about: str
    """one line: what its maps say, and whose idea it is"""
    compute: Callable[[Scene, str], Any]
    """(scene, stage) -> raw maps, before the ReLU that `relu` speaks of; with `numbers` a pair of maps and these"""
    forwards: Callable[[Facts], float]
    """cost of an image in forward passes, beyond the one that all methods share"""
    grid: Grid
    """where the maps' positions are: the stage's, the pooled stage's, the input's, or a grid of the method's own"""
    relu: bool = False
    """maps are stored after a ReLU; flags look at them before it"""
    signed: bool = True
    """values below zero mean something"""
    at_stage: bool = False
    """the maps depend on a stage"""
    per_class: bool = True
    """the maps depend on the class"""
    classes_only: bool = False
    """takes class numbers, no differences or probabilities"""
    numbers: tuple[str, ...] = ()
    """what comes with the maps, one value (n, t) a map: `error`, `fit`, ..."""
    reduce: Literal["none", "sum", "max"] = "none"
    """how the values of the input's channels become one"""
    options: tuple[str, ...] = ()
    """fields of `MethodOptions` that change the numbers"""

    def signed_for(self, options: MethodOptions) -> bool:
        """Whether the stored maps have a sign."""
        if self.reduce == "none" or options.reduce == "auto":
            return self.signed
        return options.reduce == "sum"


def reduced(method_default: Literal["sum", "max"], scene: Scene, values: Float[Array, "n t h w c"]) -> Array:
    """One value a position from the values of its channels."""
    from jaxcam.attribution import channel_max_abs, channel_sum

    kind = method_default if scene.options.reduce == "auto" else scene.options.reduce
    return channel_sum(values) if kind == "sum" else channel_max_abs(values)


def method(name: str) -> Method:
    """The table's entry; `UserError` lists the names there are."""
    from jaxcam.maps.method_table import TABLE

    if name not in TABLE:
        raise UserError(f"unknown method {name!r}; there are: {', '.join(TABLE)}")
    return TABLE[name]
