"""ResNet50 (He et al., 2016) as a chain of residual blocks, named after the Keras layers whose output they give.

Two versions that are trained apart: Keras' is the paper's, torchvision's ("v1.5") halves the map in the 3x3 convolution
instead of the 1x1 one before it, and has convolutions without bias and another epsilon.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Dense, GlobalAveragePool
from jaxcam.networks.normalised import ConvNorm, WindowPool
from jaxcam.networks.vgg import scaled

BLOCKS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
"""(blocks, channels, stride of the first block) of conv2 to conv5"""
EPSILON = {False: 1.001e-5, True: 1e-5}
"""of batch norm: Keras', torchvision's"""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the parameters `0` (shortcut), `1`, `2`, `3` as in Keras."""

    features: int
    stride: int = 1
    project: bool = False
    torchvision: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow f"]:
        late = self.torchvision
        options: dict[str, Any] = {"bias": not late, "epsilon": EPSILON[late], "dtype": self.dtype}
        strides = (self.stride, self.stride)
        shortcut = x.astype(self.dtype)
        if self.project:
            shortcut = ConvNorm(4 * self.features, (1, 1), strides, activation="none", name="0", **options)(x)
        x = ConvNorm(self.features, (1, 1), (1, 1) if late else strides, name="1", **options)(x)
        # Padded alike on all sides, where SAME would put what a stride of two needs below and to the right.
        halving: dict[str, Any] = {"strides": strides, "padding": ((1, 1), (1, 1))} if late else {}
        x = ConvNorm(self.features, (3, 3), name="2", **halving, **options)(x)
        x = ConvNorm(4 * self.features, (1, 1), activation="none", name="3", **options)(x)
        return nn.relu(shortcut + x)


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32, torchvision: bool = False) -> Stages:
    """`conv1_relu`, `pool1_pool`, `conv2_block1_out` to `conv5_block3_out`."""
    # Keras pads the pool with zeros, which after a ReLU cannot be told from nothing.
    first = ConvNorm(
        scaled(64, width),
        (7, 7),
        (2, 2),
        ((3, 3), (3, 3)),
        bias=not torchvision,
        epsilon=EPSILON[torchvision],
        dtype=dtype,
    )
    stages: list = [("conv1_relu", first), ("pool1_pool", WindowPool("max", padding=((1, 1), (1, 1))))]
    for level, (blocks, features, stride) in enumerate(BLOCKS, start=2):
        for block in range(1, blocks + 1):
            part = Bottleneck(scaled(features, width), stride if block == 1 else 1, block == 1, torchvision, dtype)
            stages.append((f"conv{level}_block{block}_out", part))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """Global average pooling `avg_pool` and `predictions`."""
    return (("avg_pool", GlobalAveragePool()), ("predictions", Dense(classes, dtype=dtype)))
