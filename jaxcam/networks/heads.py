"""What stands on a base: the stages that turn the last maps into class scores."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcam.errors import UserError
from jaxcam.networks.layers import (
    GLOROT_UNIFORM,
    BinaryLogits,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
)

Stages = tuple[tuple[str, nn.Module], ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    """A description of a head that can be written to JSON.

    `cam`: a 3x3 convolution to the classes (`conv_last`) and global average pooling (`gap`); its maps are the class
    activation maps. `dense`: pooled or flattened maps, hidden dense layers with dropout, `predictions`; its kernels
    start as Keras' do (glorot_uniform).
    """

    kind: Literal["cam", "dense"] = "cam"
    """cam: convolution to the classes, then the mean; dense: dense layers on flattened or pooled maps"""
    relu: bool = False
    """cam only: ReLU after the convolution, as the article has it (such a head can die)"""
    pool: Literal["flatten", "average"] = "average"
    """dense only: what comes before the dense layers"""
    hidden: tuple[int, ...] = ()
    """dense only: widths of the hidden layers"""
    dropout: float = 0.0
    """dense only: share of the values that training drops"""
    dropout_place: Literal["before", "after"] = "after"
    """dense only: before the hidden layers, or after them"""
    output: Literal["softmax", "sigmoid"] = "softmax"
    """dense only: a logit a class; or one unit for two classes, the second one's log-odds (sigmoid)"""

    def stages(self, classes: int, dtype: DTypeLike = jnp.float32) -> Stages:
        """The head's stages for that many classes; `UserError` for a sigmoid that they do not fit."""
        sigmoid = self.output == "sigmoid"
        if sigmoid and (self.kind != "dense" or classes != 2):
            raise UserError(
                f"head.output is sigmoid, which stands for two classes in a dense head; got {classes} classes in a "
                f"{self.kind} head; give --network.head.output softmax"
            )
        if self.kind == "cam":
            return (("conv_last", Conv(classes, relu=self.relu, dtype=dtype)), ("gap", GlobalAveragePool()))
        first = ("flatten", Flatten()) if self.pool == "flatten" else ("gap", GlobalAveragePool())
        inner: Stages = tuple(
            (f"dense_{i}", dense(n, relu=True, dtype=dtype)) for i, n in enumerate(self.hidden, start=1)
        )
        if self.dropout:
            drop = ("dropout", Dropout(self.dropout))
            inner = (drop, *inner) if self.dropout_place == "before" else (*inner, drop)
        logits = (("logits", BinaryLogits()),) if sigmoid else ()
        return (first, *inner, ("predictions", dense(1 if sigmoid else classes, dtype=dtype)), *logits)


def dense(features: int, *, relu: bool = False, dtype: DTypeLike = jnp.float32) -> Dense:
    """A dense layer that starts as Keras' does."""
    return Dense(features, relu=relu, dtype=dtype, kernel_init=GLOROT_UNIFORM)
