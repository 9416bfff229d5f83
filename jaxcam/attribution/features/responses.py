"""One channel's response for each image: the thing that a pattern is made to increase.

A response is a function `(images (n, h, w, c), channels (n,)) -> (n, positions)`. Image i is judged by channel
`channels[i]` alone, so that the patterns of many channels grow in one batch.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Float32, Int

from jaxcam.networks.chain import Chain, Params
from jaxcam.networks.layers import Conv
from jaxcam.networks.normalised import BatchNorm, ConvNorm

Response = Callable[[Array, Array], Array]
FEW_CHANNELS = 4
"""channels of images whose convolution with a kernel each is a sum over taps and channels"""


def per_position(activations: Float[Array, "n *rest"]) -> Float[Array, "n p c"]:
    """Activations (n, .., c) with one axis of positions; a stage without positions has one."""
    if activations.ndim < 2:
        raise ValueError(f"activations must be (n, .., c), got {activations.shape}")
    return activations.reshape(activations.shape[0], -1, activations.shape[-1])


def channel_response(function: Callable[[Array], Array]) -> Response:
    """The response of any JAX function from images to activations (n, h, w, c) or (n, c).

    >>> channel_response(lambda x: x)(jnp.array([[[[3.0, 5.0]]]]), jnp.array([1])).tolist()
    [[5.0]]
    """

    def response(images: Float[Array, "n *rest"], channels: Int[Array, " n"]) -> Float32[Array, "n p"]:
        values = per_position(function(images))
        return jnp.take_along_axis(values, channels[:, None, None], axis=2)[..., 0].astype(jnp.float32)

    return response


def stage_response(chain: Chain, params: Params, stage: str, *, leak: float = 0.0) -> Response:
    """The response of a chain's stage. Where it is a convolution, only the channel asked for is computed.

    The values are those of `chain.apply(params, images, stop=stage)`. With `leak` the stage's own ReLU lets that share
    of the negative values through (and of what a ReLU6 cuts off), so that a channel that is silent on noise has a
    gradient all the same; it acts on convolution stages only. `UserError` lists the stages there are.
    """
    position = chain.index(stage)
    before = chain.names[position - 1] if position else None
    module, own = chain.stages[position][1], params.get(stage, {})
    whole = channel_response(lambda x: chain.apply(params, x, start=before, stop=stage))

    def response(images: Float[Array, "n h w c"], channels: Int[Array, " n"]) -> Float32[Array, "n p"]:
        maps = images if before is None else chain.apply(params, images, stop=before)
        found = single_channel(module, own, maps, channels, leak)
        return whole(maps, channels) if found is None else found.astype(jnp.float32).reshape(len(images), -1)

    return response


def single_channel(
    module: nn.Module, params: Mapping[str, Any], maps: Array, channels: Int[Array, " n"], leak: float
) -> Float[Array, "n oh ow"] | None:
    """A convolution stage's output in one channel for each image; None where the stage is something else."""
    if type(module) is Conv:
        dtype = jnp.dtype(module.dtype)
        kernel = jnp.take(params["kernel"].astype(dtype), channels, axis=3)
        values = one_output(maps.astype(dtype), kernel, module.strides, module.padding)
        values = values + jnp.take(params["bias"].astype(dtype), channels)[:, None, None]
        return activated(values, "relu" if module.relu else "none", leak)
    if type(module) is ConvNorm:
        dtype = jnp.dtype(module.dtype)
        kernel, maps = params["conv"]["kernel"].astype(dtype), maps.astype(dtype)
        if module.depthwise:  # output channel c sees input channel c alone
            maps = jnp.take_along_axis(maps, channels[:, None, None, None], axis=3)
        values = one_output(maps, jnp.take(kernel, channels, axis=3), module.strides, module.padding)
        if module.bias:
            values = values + jnp.take(params["conv"]["bias"].astype(dtype), channels)[:, None, None]
        # The norm acts on the last axis: there every image is a channel now.
        norm = {name: jnp.take(value, channels) for name, value in params["norm"].items()}
        scaled = BatchNorm(module.epsilon, module.scale, dtype).apply({"params": norm}, jnp.moveaxis(values, 0, -1))
        return activated(jnp.moveaxis(jnp.asarray(scaled), -1, 0), module.activation, leak)
    return None


def one_output(
    maps: Float[Array, "n h w i"], kernels: Float[Array, "kh kw i n"], strides: tuple[int, int], padding: Any
) -> Float[Array, "n oh ow"]:
    """Convolution of each image with a kernel of its own that has one output channel.

    A product of every position with the kernel's taps, then a sum of shifted planes; of images with few channels a sum
    over taps and channels with the images in the last axis (`tap_sum`). As a convolution it would be one of n groups,
    for which there is no fast program on any device.
    """
    height, width = kernels.shape[:2]
    sides = maps.shape[1:3]
    pads = lax.padtype_to_pads(sides, (height, width), strides, padding) if isinstance(padding, str) else padding
    around = [(int(a), int(b)) for a, b in pads]
    if maps.shape[3] <= FEW_CHANNELS and maps.dtype == jnp.float32:
        last = jnp.pad(jnp.transpose(maps, (1, 2, 3, 0)), (*around, (0, 0), (0, 0)))
        return jnp.moveaxis(tap_sum(last, kernels, tuple(strides)), 2, 0)
    padded = jnp.pad(maps, ((0, 0), *around, (0, 0)))
    planes = jnp.einsum("nhwi,ytin->nhwyt", padded, kernels)
    rows = (padded.shape[1] - height) // strides[0] + 1
    columns = (padded.shape[2] - width) // strides[1] + 1
    total = jnp.zeros((len(maps), rows, columns), planes.dtype)
    for y in range(height):
        for x in range(width):
            end = y + (rows - 1) * strides[0] + 1, x + (columns - 1) * strides[1] + 1
            total += planes[:, y : end[0] : strides[0], x : end[1] : strides[1], y, x]
    return total


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def tap_sum(
    images: Float32[Array, "h w i n"], kernels: Float32[Array, "kh kw i n"], strides: tuple[int, int]
) -> Float32[Array, "oh ow n"]:
    """Convolution, without padding, of each image with a kernel of its own; the images are in the last axis.

    Every operation is one of whole rows of images, which a CPU does in its registers; the gradient is written down
    because that of a slice is a padded array, and there would be one for every tap.
    """
    total = jnp.zeros((), images.dtype)
    for y, x, window in tap_windows(images.shape, kernels.shape, strides):
        for channel in range(images.shape[2]):
            total += images[*window, channel] * kernels[y, x, channel]
    return total


def tap_windows(
    shape: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, int]
) -> list[tuple[int, int, tuple[slice, slice]]]:
    """Row and column of every tap of a kernel, and the part of the images that it meets."""
    counts = [(side - own) // stride for side, own, stride in zip(shape[:2], kernel[:2], strides, strict=True)]
    part = lambda axis, at: slice(at, at + counts[axis] * strides[axis] + 1, strides[axis])
    return [(y, x, (part(0, y), part(1, x))) for y in range(kernel[0]) for x in range(kernel[1])]


def _tap_sum_forward(images: Array, kernels: Array, strides: tuple[int, int]) -> tuple[Array, tuple[Array, Array]]:
    return tap_sum(images, kernels, strides), (images, kernels)


def _tap_sum_backward(strides: tuple[int, int], kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    images, kernels = kept
    height, width = kernels.shape[:2]
    # As far apart as the strides are, and so much around that every tap finds its part.
    sides = zip(images.shape[:2], kernels.shape[:2], slope.shape[:2], strides, strict=True)
    around = [(own - 1, side - ((count - 1) * stride + 1), stride - 1) for side, own, count, stride in sides]
    spread = lax.pad(slope, jnp.zeros((), slope.dtype), (*around, (0, 0, 0)))
    for_images = jnp.zeros((), slope.dtype)
    for y in range(height):
        for x in range(width):
            top, left = height - 1 - y, width - 1 - x
            seen = spread[top : top + images.shape[0], left : left + images.shape[1]]
            for_images += seen[:, :, None] * kernels[y, x]
    for_kernels = [
        (images[window] * slope[:, :, None]).sum((0, 1))
        for _, _, window in tap_windows(images.shape, kernels.shape, strides)
    ]
    return for_images, jnp.stack(for_kernels).reshape(kernels.shape)


tap_sum.defvjp(_tap_sum_forward, _tap_sum_backward)


def activated(values: Float[Array, "..."], activation: str, leak: float) -> Float[Array, "..."]:
    """The stage's activation, leaky where asked."""
    if activation == "none":
        return values
    top = jnp.asarray(6 if activation == "relu6" else jnp.inf, values.dtype)
    inside = jnp.clip(values, 0, top) if activation == "relu6" else nn.relu(values)
    return inside if not leak else inside + jnp.asarray(leak, values.dtype) * (values - inside)
