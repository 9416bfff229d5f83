"""Xception (Chollet, 2017) as a chain: separable convolutions in residual blocks, with Keras' names."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Dense, GlobalAveragePool
from jaxcam.networks.normalised import BatchNorm, ConvNorm, Kernel, WindowPool
from jaxcam.networks.vgg import scaled


class SeparableConvNorm(nn.Module):
    """Depthwise 3x3, pointwise 1x1, batch norm; parameters `depthwise`, `pointwise` and `norm`."""

    features: int
    relu: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n h w f"]:
        x = Kernel(x.shape[-1], depthwise=True, dtype=self.dtype, name="depthwise")(x)
        x = Kernel(self.features, (1, 1), dtype=self.dtype, name="pointwise")(x)
        x = BatchNorm(dtype=self.dtype, name="norm")(x)
        return nn.relu(x) if self.relu else x


class Block(nn.Module):
    """Separable convolutions, each after a ReLU, beside a shortcut; a pooled block halves the map.

    Parameters: `sepconv1`, ... and, in a pooled block, `shortcut`.
    """

    features: tuple[int, ...]
    pooled: bool = True
    relu_first: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow f"]:
        shortcut = x
        if self.pooled:
            shortcut = ConvNorm(
                self.features[-1], (1, 1), (2, 2), activation="none", dtype=self.dtype, name="shortcut"
            )(x)
        for number, features in enumerate(self.features, start=1):
            x = nn.relu(x) if number > 1 or self.relu_first else x
            x = SeparableConvNorm(features, dtype=self.dtype, name=f"sepconv{number}")(x)
        if self.pooled:
            x = WindowPool("max", padding="SAME")(x)
        return x + shortcut


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`block1_conv1_act`, `block1_conv2_act`, `block2` to `block13`, `block14_sepconv1_act`, `block14_sepconv2_act`."""

    def block(*features: int, pooled: bool = True, relu_first: bool = True) -> Block:
        return Block(tuple(scaled(each, width) for each in features), pooled, relu_first, dtype)

    def separable(features: int) -> SeparableConvNorm:
        return SeparableConvNorm(scaled(features, width), relu=True, dtype=dtype)

    return (
        ("block1_conv1_act", ConvNorm(scaled(32, width), strides=(2, 2), padding="VALID", dtype=dtype)),
        ("block1_conv2_act", ConvNorm(scaled(64, width), padding="VALID", dtype=dtype)),
        ("block2", block(128, 128, relu_first=False)),
        ("block3", block(256, 256)),
        ("block4", block(728, 728)),
        *((f"block{number}", block(728, 728, 728, pooled=False)) for number in range(5, 13)),
        ("block13", block(728, 1024)),
        ("block14_sepconv1_act", separable(1536)),
        ("block14_sepconv2_act", separable(2048)),
    )


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """Global average pooling `avg_pool` and `predictions`."""
    return (("avg_pool", GlobalAveragePool()), ("predictions", Dense(classes, dtype=dtype)))
