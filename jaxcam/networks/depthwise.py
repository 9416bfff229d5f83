"""Depthwise convolutions: every channel is convolved with a kernel of its own.

XLA's CPU kernels take them position by position: with a sum of shifted products instead MobileNet's forward pass is
five times as fast, the gradient of its images nearly twice (jaxlib 0.10, `bench/depthwise.py`). So on CPUs they are
written as that sum. Accelerators get the convolution. What reads programs operation by operation (relevance,
incremental occlusion) asks for the convolution and evaluates it with `evaluated`.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

LARGEST = 49
"""taps of the largest kernel that is worth a sum"""
_ONE_OPERATION = jax.make_user_context(default_value=False)
"""Part of jit's cache keys: what was traced as a sum is traced again."""


def one_operation() -> AbstractContextManager[None]:
    """Within it, functions are traced with `conv_general_dilated` whatever the platform."""
    return _ONE_OPERATION(True)


def depthwise(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw 1 c"],
    strides: Sequence[int] = (1, 1),
    padding: str | Sequence[tuple[int, int]] = "SAME",
) -> Float[Array, "n oh ow c"]:
    """Depthwise convolution with one output a channel, in the form that is fast on this platform.

    >>> depthwise(jnp.ones((1, 3, 3, 2)), jnp.ones((3, 3, 1, 2)))[0, :, :, 1].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    if jax.default_backend() == "cpu" and not _ONE_OPERATION.value and math.prod(kernel.shape[:2]) <= LARGEST:
        return _sum(x, kernel, strides, padding)
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1]
    )


def evaluated(params: Mapping[str, Any], x: Any, kernel: Any, padding: Any = None) -> Array | None:
    """What `conv_general_dilated` with these parameters gives, where `depthwise` is that; else None.

    `padding` stands in place of the parameters' own.
    """
    numbers = params["dimension_numbers"]
    plain = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec) == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    if not plain or not x.shape[3] == kernel.shape[3] == params["feature_group_count"]:
        return None
    undilated = all(step == 1 for name in ("lhs_dilation", "rhs_dilation") for step in params[name])
    if not undilated or params["batch_group_count"] != 1 or params["preferred_element_type"] not in (None, x.dtype):
        return None
    return depthwise(x, kernel, params["window_strides"], params["padding"] if padding is None else padding)


def _sum(x: Array, kernel: Array, strides: Sequence[int], padding: Sequence[tuple[int, int]]) -> Array:
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
