"""Small convolutional networks to train from scratch, as the seeds use them."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcam.networks.heads import Stages, dense
from jaxcam.networks.layers import GLOROT_UNIFORM, Conv, Flatten, MaxPool
from jaxcam.networks.vgg import scaled

CATS_DOGS = (32, 64, 128, 128)
"""Chollet 2017, section 5.2"""
BIRDS_CATS_DOGS = (32, 64, 64, 128)
"""the laboratory of "Machine Learning Engineering for Production", course 1, week 2"""


def base(*, channels: tuple[int, ...] = CATS_DOGS, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """Unpadded 3x3 convolutions, each followed by a 2x2 pool; kernels start as Keras' do (glorot_uniform)."""
    stages: list = []
    for i, count in enumerate(channels, start=1):
        conv = Conv(scaled(count, width), padding="VALID", dtype=dtype, kernel_init=GLOROT_UNIFORM)
        stages += [(f"conv{i}", conv), (f"pool{i}", MaxPool())]
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`flatten`, a dense layer of 512 and `predictions`."""
    return (
        ("flatten", Flatten()),
        ("dense_1", dense(scaled(512, width), relu=True, dtype=dtype)),
        ("predictions", dense(classes, dtype=dtype)),
    )
