"""AlexNet with batch norm, as it is commonly written in Keras for pictures of 227x227.

After Krizhevsky, Sutskever and Hinton (2012): five convolutions, the first of 96 filters of 11x11 with stride 4,
overlapping 3x3 pools with stride 2, two dense layers of 4096 with dropout. Batch norm (Ioffe and Szegedy, 2015) stands
after each convolution's ReLU in place of the local response normalisation; nothing is split over two devices.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcam.networks.heads import Stages, dense
from jaxcam.networks.layers import GLOROT_UNIFORM, Conv, Dropout, Flatten
from jaxcam.networks.normalised import BatchNorm, WindowPool
from jaxcam.networks.vgg import scaled

CONVOLUTIONS = (
    (96, 11, 4, "VALID"),
    (256, 5, 1, "SAME"),
    (384, 3, 1, "SAME"),
    (384, 3, 1, "SAME"),
    (256, 3, 1, "SAME"),
)
"""filters, kernel, stride, padding"""
POOLED = (1, 2, 5)
"""convolutions that a pool follows"""
RATE = 0.5


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`conv1`, `norm1`, `pool1` to `pool5`: 6x6 maps of 227x227 pixels; 67 pixels are the least."""
    stages: list = []
    for i, (filters, kernel, stride, padding) in enumerate(CONVOLUTIONS, start=1):
        shape = (scaled(filters, width), (kernel, kernel), (stride, stride))
        stages.append((f"conv{i}", Conv(*shape, padding=padding, dtype=dtype, kernel_init=GLOROT_UNIFORM)))
        stages.append((f"norm{i}", BatchNorm(dtype=dtype)))
        if i in POOLED:
            stages.append((f"pool{i}", WindowPool("max", window=3, stride=2)))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`flatten`, two dense layers of 4096, each followed by dropout of a half, and `predictions`."""
    stages: list = [("flatten", Flatten())]
    for i in (1, 2):
        stages.append((f"dense_{i}", dense(scaled(4096, width), relu=True, dtype=dtype)))
        stages.append((f"dropout_{i}", Dropout(RATE)))
    return (*stages, ("predictions", dense(classes, dtype=dtype)))
