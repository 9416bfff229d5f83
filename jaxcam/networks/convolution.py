"""Convolutions in the form that is fast on each platform; the numbers are the same.

CPUs get depthwise convolutions as sums of shifted products, and wide 3x3 ones with fewer multiplications. What reads
programs operation by operation (relevance, incremental occlusion) asks for plain convolutions with `one_operation`, and
evaluates them with `evaluated`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcam.networks import depthwise, winograd

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_ONE_OPERATION = jax.make_user_context(default_value=False)
"""Part of jit's cache keys: what was traced in a fast form is traced again."""


def one_operation() -> AbstractContextManager[None]:
    """Within it, functions are traced with `conv_general_dilated` whatever the platform."""
    return _ONE_OPERATION(True)


def convolution(
    x: Float[Array | np.ndarray, "n h w c"],
    kernel: Float[Array | np.ndarray, "kh kw i f"],
    strides: Sequence[int] = (1, 1),
    padding: str | Sequence[tuple[int, int]] = "SAME",
    *,
    groups: int = 1,
    shared: bool = False,
) -> Float[Array, "n oh ow f"]:
    """Convolution of NHWC images with an HWIO kernel; `groups` is 1, or the channels for a depthwise one.

    `shared` says that the program has more convolutions with this kernel: what can be made once for all of them, is.

    >>> convolution(jnp.ones((1, 3, 3, 2)), jnp.ones((3, 3, 1, 2)), groups=2)[0, :, :, 1].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    if not (_ONE_OPERATION.value or tells_devices(x) or tells_devices(kernel)):
        if groups == 1 and winograd.fits(kernel, strides, padding):
            return winograd.convolution_3x3(x, kernel, padding, shared=shared)
        if groups == x.shape[3] == kernel.shape[3] and jax.default_backend() == "cpu" and depthwise.fits(kernel):
            return depthwise.summed(x, kernel, strides, padding)
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=DIMENSIONS, feature_group_count=groups
    )


def tells_devices(x: Array) -> bool:
    """Whether the type of `x` says how it lies on several devices.

    So it is with explicit sharding and inside `shard_map` with its check; the rearranging would have to keep it.
    """
    kind = jax.typeof(x)
    return any(kind.sharding.spec) or bool(getattr(getattr(kind, "mat", None), "varying", ()))


def evaluated(params: Mapping[str, Any], x: Any, kernel: Any, padding: Any = None) -> Array | None:
    """What `conv_general_dilated` with these parameters gives, where there is a faster form; else None.

    `padding` stands in place of the parameters' own.
    """
    numbers, padding = params["dimension_numbers"], params["padding"] if padding is None else padding
    plain = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec) == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    undilated = plain and all(step == 1 for name in ("lhs_dilation", "rhs_dilation") for step in params[name])
    usual = params["batch_group_count"] == 1 and params["preferred_element_type"] in (None, x.dtype)
    if not (undilated and usual and params["precision"] is None and x.dtype == kernel.dtype):
        return None
    groups, strides = params["feature_group_count"], params["window_strides"]
    if groups == x.shape[3] == kernel.shape[3] > 1 or (groups == 1 and winograd.fits(kernel, strides, padding)):
        return convolution(x, kernel, strides, padding, groups=groups, shared=True)
    return None
