"""What stands on a base: the stages that turn the last maps into class scores."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcam.networks.layers import Conv, Dense, Dropout, Flatten, GlobalAveragePool

Stages = tuple[tuple[str, nn.Module], ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    """A description of a head that can be written to JSON.

    `cam`: a 3x3 convolution to the classes (`conv_last`) and global average pooling (`gap`); its maps are the class
    activation maps. `dense`: pooled or flattened maps, hidden dense layers with dropout, `predictions`.
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
    """dense only: dropout before `predictions`"""

    def stages(self, classes: int, dtype: DTypeLike = jnp.float32) -> Stages:
        """The head's stages for that many classes."""
        if self.kind == "cam":
            return (("conv_last", Conv(classes, relu=self.relu, dtype=dtype)), ("gap", GlobalAveragePool()))
        first = ("flatten", Flatten()) if self.pool == "flatten" else ("gap", GlobalAveragePool())
        hidden = tuple((f"dense_{i}", Dense(n, relu=True, dtype=dtype)) for i, n in enumerate(self.hidden, start=1))
        dropout = (("dropout", Dropout(self.dropout)),) if self.dropout else ()
        return (first, *hidden, *dropout, ("predictions", Dense(classes, dtype=dtype)))
