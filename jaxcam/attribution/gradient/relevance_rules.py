"""Rules of layer-wise relevance propagation: how a layer's relevance is shared among its inputs.

In all of them an input `i` of a layer receives `R_i = sum_j q_ij / (sum_i q_ij + b_j) R_j`; the rules differ in the
contributions `q_ij`. A denominator is moved away from zero by `stabiliser`, with its sign. What the bias `b_j` takes is
lost to the inputs; `bias=False` leaves it out of the denominator, and nothing is lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float32

from jaxcam.attribution.gradient.layers import Layer, total
from jaxcam.errors import UserError

STABILISER = 1e-9


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a rule reads: a layer, what enters it, its constants, and what leaves it (without `b`, if asked)."""

    layer: Layer
    x: Float32[Array, "..."]
    constants: Sequence[Any]
    non_negative: bool

    @property
    def upper(self) -> Float32[Array, "..."]:
        """The positive part of the input."""
        return self.x if self.non_negative else jnp.maximum(self.x, 0)

    @property
    def lower(self) -> Float32[Array, "..."] | None:
        """The negative part of the input; None if it is known to have none."""
        return None if self.non_negative else jnp.minimum(self.x, 0)


def shared(
    contributions: Callable[..., Array], inputs: Sequence[Array | None], relevance: Array, stabiliser: float
) -> Array:
    """Relevance shared by contributions that are linear in every input, added up over the inputs."""
    given = [value for value in inputs if value is not None]

    def of_given(*values):
        remaining = list(values)
        return contributions(*(None if value is None else remaining.pop(0) for value in inputs))

    return total(shares(of_given, given, relevance, stabiliser))


def shares(
    contributions: Callable[..., Array], inputs: Sequence[Array], relevance: Array, stabiliser: float = STABILISER
) -> list[Array]:
    """What each input receives of the relevance, for contributions that are linear in every input."""
    sums, pullback = jax.vjp(contributions, *inputs)
    divisor = stabilised(sums, stabiliser)
    # Nothing contributed: 0 / 0 is no share.
    cotangents = pullback(jnp.where(divisor == 0, 0, relevance / jnp.where(divisor == 0, 1, divisor)))
    return [value * cotangent for value, cotangent in zip(inputs, cotangents, strict=True)]


def stabilised(sums: Array, stabiliser: float) -> Array:
    """Values moved away from zero; zero itself counts as positive."""
    return sums + jnp.where(sums < 0, -stabiliser, stabiliser)


@dataclass(frozen=True)
class Epsilon:
    """LRP-epsilon: contributions `x_i w_ij` (Bach et al., 2015); with `epsilon=0` LRP-0."""

    epsilon: float = 1e-6
    bias: bool = True

    def __call__(self, inputs: Inputs, relevance: Array) -> Array:
        """Relevance of the layer's input."""
        plain = lambda x: inputs.layer.plain(x, inputs.constants, bias=self.bias)
        return shared(plain, [inputs.x], relevance, self.epsilon)


@dataclass(frozen=True)
class Gamma:
    """LRP-gamma: positive contributions count `1 + gamma` times (Montavon et al., 2019); 0 is LRP-0, large is z+."""

    gamma: float = 0.25
    bias: bool = True
    stabiliser: float = STABILISER

    def __call__(self, inputs: Inputs, relevance: Array) -> Array:
        """Relevance of the layer's input."""
        layer, constants = inputs.layer, inputs.constants

        def contributions(upper, lower):
            x = upper if lower is None else upper + lower
            positive, _ = layer.parts(upper, lower, constants, bias=self.bias)
            return layer.plain(x, constants, bias=self.bias) + self.gamma * positive

        return shared(contributions, [inputs.upper, inputs.lower], relevance, self.stabiliser)


@dataclass(frozen=True)
class AlphaBeta:
    """LRP-alpha-beta: positive contributions share `alpha R`, negative ones take `beta R` (Bach et al., 2015).

    `alpha - beta` must be 1. Inputs may have either sign: a contribution's sign is that of `x_i w_ij`. As defined, a
    unit without negative contributions hands on `alpha R`, and one without positive ones `-beta R`.
    """

    alpha: float = 2.0
    beta: float = 1.0
    bias: bool = True
    stabiliser: float = STABILISER

    def __post_init__(self):
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-6:
            raise UserError(f"alpha - beta must be 1 and beta at least 0, got {self.alpha} and {self.beta}")

    def __call__(self, inputs: Inputs, relevance: Array) -> Array:
        """Relevance of the layer's input."""

        def part(which):
            parts = lambda upper, lower: inputs.layer.parts(upper, lower, inputs.constants, bias=self.bias)[which]
            return shared(parts, [inputs.upper, inputs.lower], relevance, self.stabiliser)

        positive = self.alpha * part(0)
        return positive - self.beta * part(1) if self.beta else positive


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    """LRP-z+: positive contributions only (Montavon et al., 2017: deep Taylor decomposition); alpha 1 and beta 0."""

    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class ZBox:
    """LRP-zB for pixels within `low..high`: contributions `x_i w_ij - low w_ij+ - high w_ij-` (Montavon et al., 2017).

    `low` and `high` are numbers or one value a channel, in the units that enter the first layer (after normalising).
    """

    low: ArrayLike
    high: ArrayLike
    stabiliser: float = STABILISER

    def __call__(self, inputs: Inputs, relevance: Array) -> Array:
        """Relevance of the layer's input."""
        layer, constants, x = inputs.layer, inputs.constants, inputs.x
        low, high = (jnp.broadcast_to(jnp.asarray(v, jnp.float32), x.shape) for v in (self.low, self.high))

        def contributions(x, low, high):
            # parts gives A+ low as the first of (low, nothing), and A- high as the second.
            below, _ = layer.parts(low, None, constants, bias=False)
            _, above = layer.parts(high, None, constants, bias=False)
            return layer.plain(x, constants, bias=False) - below - above

        return shared(contributions, [x, low, high], relevance, self.stabiliser)


Rule = Callable[[Inputs, Array], Array]


@dataclass(frozen=True)
class Composite:
    """A rule for each layer by what it is: dense, convolution, or whatever reads the image (Montavon et al., 2019).

    The default is LRP-epsilon in dense layers and z+ in convolutions. Give `pixels=ZBox(low, high)` where the images'
    range is known.
    """

    dense: Rule = Epsilon()
    conv: Rule = ZPlus()
    pixels: Rule | None = None

    def rule(self, layer: Layer) -> Rule:
        """The layer's rule."""
        if layer.first and self.pixels is not None:
            return self.pixels
        return self.dense if layer.kind == "dense" else self.conv
