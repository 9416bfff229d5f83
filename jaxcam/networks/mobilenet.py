"""MobileNet v1 (Howard et al., 2017) as a chain; each stage is named after the Keras layer whose output it gives."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Dense, Dropout, GlobalAveragePool
from jaxcam.networks.normalised import ConvNorm
from jaxcam.networks.vgg import scaled

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""(channels, stride) of the depthwise blocks 1 to 13"""


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """`conv1_relu`, `conv_dw_1_relu`, `conv_pw_1_relu` to `conv_pw_13_relu`; `width` is Keras' alpha."""

    def stage(features: int, stride: int, **options) -> ConvNorm:
        # Keras pads below and to the right before a stride of two.
        padding = ((0, 1), (0, 1)) if stride == 2 else "SAME"
        return ConvNorm(features, strides=(stride, stride), padding=padding, activation="relu6", dtype=dtype, **options)

    channels = scaled(32, width)
    # The first convolution is the exception: padded as TensorFlow's SAME does.
    first = ConvNorm(channels, strides=(2, 2), padding="SAME", activation="relu6", dtype=dtype)
    stages: list = [("conv1_relu", first)]
    for number, (features, stride) in enumerate(BLOCKS, start=1):
        stages.append((f"conv_dw_{number}_relu", stage(channels, stride, depthwise=True)))
        channels = scaled(features, width)
        stages.append((f"conv_pw_{number}_relu", stage(channels, 1, kernel_size=(1, 1))))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32) -> Stages:
    """Global average pooling, dropout .001 and `conv_preds`, a dense layer that Keras writes as a convolution."""
    return (
        ("global_average_pooling2d", GlobalAveragePool()),
        ("dropout", Dropout(1e-3)),
        ("conv_preds", Dense(classes, dtype=dtype)),
    )
