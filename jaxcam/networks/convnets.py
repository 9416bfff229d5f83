"""Small convolutional networks to train from scratch, as the seeds use them."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Conv, Dense, Flatten, MaxPool
from jaxcam.networks.vgg import scaled

CHANNELS = (32, 64, 128, 128)


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """Unpadded 3x3 convolutions 32-64-128-128, each followed by a 2x2 pool (Chollet 2017, section 5.2)."""
    stages: list = []
    for i, channels in enumerate(CHANNELS, start=1):
        stages.append((f"conv{i}", Conv(scaled(channels, width), padding="VALID", dtype=dtype)))
        stages.append((f"pool{i}", MaxPool()))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`flatten`, a dense layer of 512 and `predictions`."""
    return (
        ("flatten", Flatten()),
        ("dense_1", Dense(scaled(512, width), relu=True, dtype=dtype)),
        ("predictions", Dense(classes, dtype=dtype)),
    )
