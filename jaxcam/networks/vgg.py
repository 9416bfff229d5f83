"""VGG16 and VGG19 (Simonyan and Zisserman, 2015) as chains with Keras' layer names."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Conv, Dense, Flatten, MaxPool

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def scaled(channels: int, width: float) -> int:
    """Number of channels of a network `width` times as wide, at least one."""
    return max(1, round(channels * width))


def base(*, depth: int = 16, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`block1_conv1` to `block5_pool`, for any input size of at least 32x32."""
    stages: list = []
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS[depth], CHANNELS, strict=True), start=1):
        for i in range(1, count + 1):
            stages.append((f"block{block}_conv{i}", Conv(scaled(channels, width), dtype=dtype)))
        stages.append((f"block{block}_pool", MaxPool()))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """The dense top `flatten`, `fc1`, `fc2`, `predictions`; gives logits, for one input size (Keras: 224x224)."""
    features = scaled(4096, width)
    return (
        ("flatten", Flatten()),
        ("fc1", Dense(features, relu=True, dtype=dtype)),
        ("fc2", Dense(features, relu=True, dtype=dtype)),
        ("predictions", Dense(classes, dtype=dtype)),
    )
