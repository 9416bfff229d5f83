"""Depthwise convolutions: every channel is convolved with a kernel of its own.

XLA's CPU kernels take them position by position: with a sum of shifted products instead MobileNet's forward pass is
five times as fast, the gradient of its images nearly twice (jaxlib 0.10, `bench/convolutions.py`). So on CPUs they are
written as that sum; accelerators get the convolution (`jaxcam.networks.convolution` chooses).
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

LARGEST = 49
"""taps of the largest kernel that is worth a sum"""


def fits(kernel: Array) -> bool:
    """Whether the sum is worth it for a kernel."""
    return math.prod(kernel.shape[:2]) <= LARGEST


def summed(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw 1 c"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "n oh ow c"]:
    """The convolution as a sum of shifted products."""
    # Half precision is summed in float32 and rounded once, as a convolution is.
    dtype = jnp.dtype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x.dtype
    edges = ((0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0))
    padded = lax.pad(x.astype(dtype), jnp.zeros((), dtype), edges)
    kernel = kernel.astype(dtype)
    height, width = (
        (size - taps) // stride + 1
        for size, taps, stride in zip(padded.shape[1:3], kernel.shape[:2], strides, strict=True)
    )
    total = jnp.zeros((x.shape[0], height, width, x.shape[3]), dtype)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            last = (row + (height - 1) * strides[0] + 1, column + (width - 1) * strides[1] + 1)
            window = lax.slice(padded, (0, row, column, 0), (x.shape[0], *last, x.shape[3]), (1, *strides, 1))
            total = total + window * kernel[row, column, 0]
    return total.astype(x.dtype)
