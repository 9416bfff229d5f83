"""3x3 convolutions with 4 multiplications where the definition has 9: F(2x2, 3x3) of Winograd (1980).

Each 2x2 block of outputs comes from a 4x4 tile of inputs: both the tile and the kernel are brought to 16 values by
sums, multiplied channel by channel, which is 16 matrix products for all tiles, and brought back by sums (Lavin and
Gray, 2016, "Fast Algorithms for Convolutional Neural Networks"). The factors are 1 and 1/2, so float32 results are as
exact as those of a direct convolution (tests/networks/test_winograd.py); larger tiles save more and lose a decimal.

On CPUs, where wide layers are bound by their multiplications, VGG16's forward pass takes two thirds of the time
(`bench/convolutions.py`); ResNet50, most of whose work is in 1x1 convolutions, gains nothing. To everything but the
compiler for CPUs `convolution_3x3` is the convolution.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from jaxcam.networks.turns import in_turns, rows_for

NARROWEST = 64
"""channels; with fewer there is nothing to win"""
CHANNELS = 64 * 128
"""inputs times outputs: with fewer, the sums take longer than what they save, but for the kernel's gradient"""
WORTH_FLOPS, WORTH_KERNEL_FLOPS = 5e8, 4e9
"""less work, by definition: the kernel's sums, or the half second to compile them, take longer than what they save"""
TOGETHER = 128
"""tiles at least that are multiplied together, for each product reads the kernel's sums"""
BYTES = 2**23
"""of tiles, before and after the products, that are made at a time"""
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
Pads = tuple[tuple[int, int], tuple[int, int]]
Arrays = Sequence[Array]


def fits(kernel: Array | np.ndarray, strides: Sequence[int], padding: Sequence[tuple[int, int]]) -> bool:
    """Whether a convolution is one for `convolution_3x3`: 3x3, step 1, many channels, at most float32."""
    *size, inputs, outputs = kernel.shape
    inside = all(0 <= pad <= 2 for pads in padding for pad in pads)
    few = min(inputs, outputs) < NARROWEST or jnp.finfo(kernel.dtype).bits > 32
    return size == [3, 3] and tuple(strides) == (1, 1) and inside and not few


def convolution_3x3(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "3 3 c f"],
    padding: Sequence[tuple[int, int]],
    *,
    shared: bool = False,
) -> Float[Array, "n oh ow f"]:
    """The convolution with step 1; every side is padded by 0, 1 or 2 zeros.

    `shared` says that the program has more convolutions with this kernel: XLA then makes its sums once for all.
    """
    return forward.bind(x, kernel, padding=tuple((int(low), int(high)) for low, high in padding), shared=shared)


def plain(x: Array, kernel: Array, *, padding: Pads, shared: bool = False) -> Array:
    """By definition."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def plain_slope(x: Array, slope: Array, *, padding: Pads, shared: bool = False) -> Array:
    """By definition: the kernel's gradient for the gradient `slope` of the result."""
    shape = jax.ShapeDtypeStruct((3, 3, x.shape[3], slope.shape[3]), x.dtype)
    (found,) = jax.linear_transpose(lambda kernel: plain(x, kernel, padding=padding), shape)(slope)
    return found


def input_sums(four: Arrays) -> Arrays:
    """Of the rows (or columns) of a tile."""
    first, second, third, fourth = four
    return first - third, second + third, third - second, second - fourth


def kernel_sums(three: Arrays) -> Arrays:
    """Of the rows (or columns) of a kernel."""
    first, second, third = three
    middle = (first + third) * 0.5
    return first, middle + second * 0.5, middle - second * 0.5, third


def output_sums(four: Arrays) -> Arrays:
    """From four products back to two outputs."""
    first, second, third, fourth = four
    return first + (second + third), (second - third) - fourth


def output_spread(two: Arrays) -> Arrays:
    """The transpose of `output_sums`."""
    first, second = two
    return first, first + second, first - second, -second


def kernel_gathered(four: Arrays) -> Arrays:
    """The transpose of `kernel_sums`."""
    first, second, third, fourth = four
    middle = (second + third) * 0.5
    return first + middle, (second - third) * 0.5, middle + fourth


def both_axes(sums: Callable[[Arrays], Arrays], grid: Sequence[Arrays]) -> list[Arrays]:
    """The sums over the rows and over the columns of a grid of arrays."""
    columns = [sums(column) for column in zip(*grid, strict=True)]
    return [sums(row) for row in zip(*columns, strict=True)]


def tiles(x: Array, padding: Pads) -> list[Arrays]:
    """The 4x4 values of every tile, as sums; the tiles cover the result and begin at every second position."""
    (top, _), (left, _) = padding
    rows, columns = ((size + sum(pads) - 1) // 2 for size, pads in zip(x.shape[1:3], padding, strict=True))
    edges = ((0, 0, 0), (top, 2 * rows + 2 - x.shape[1] - top, 0), (left, 2 * columns + 2 - x.shape[2] - left, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), (*edges, (0, 0, 0)))

    def corner(row: int, column: int) -> Array:
        last = (x.shape[0], row + 2 * rows - 1, column + 2 * columns - 1, x.shape[3])
        return lax.slice(x, (0, row, column, 0), last, (1, 2, 2, 1))

    return both_axes(input_sums, [[corner(row, column) for column in range(4)] for row in range(4)])


def transformed(kernel: Array) -> list[Arrays]:
    """The kernel's 16 sums, in float32."""
    kernel = kernel.astype(jnp.float32)
    return both_axes(kernel_sums, [[kernel[row, column] for column in range(3)] for row in range(3)])


def products(x: Array, sums: Sequence[Arrays], padding: Pads) -> Array:
    """The convolution of `x` with the kernel that these are the sums of."""
    height, width = (size + sum(pads) - 2 for size, pads in zip(x.shape[1:3], padding, strict=True))
    dtype, x = x.dtype, x.astype(jnp.float32)
    multiply = lambda tile, matrix: lax.dot_general(tile, matrix, (((3,), (0,)), ((), ())))
    made = [
        [multiply(*pair) for pair in zip(row, matrices, strict=True)]
        for row, matrices in zip(tiles(x, padding), sums, strict=True)
    ]
    grid = both_axes(output_sums, made)
    shape = grid[0][0].shape
    result = jnp.stack([jnp.stack(row, 3) for row in grid], 2)
    result = result.reshape(shape[0], 2 * shape[1], 2 * shape[2], shape[3])
    return result[:, :height, :width].astype(dtype)


def fast(x: Array, kernel: Array, *, padding: Pads, shared: bool) -> Array:
    """The convolution, as many images at a time as the caches hold."""
    channels = prod(kernel.shape[2:])
    if channels < CHANNELS or flops(x, channels, padding) < WORTH_FLOPS:
        return plain(x, kernel, padding=padding)
    sums = transformed(kernel if shared else kernel + zero_after(x))
    each = count_tiles(x, padding)
    rows = rows_for(64 * each * sum(kernel.shape[2:]), x.shape[0], BYTES, least=-(-TOGETHER // each))
    return in_turns(lambda part: products(part, sums, padding), x, rows=rows)


def flops(x: Array, channels: int, padding: Pads) -> float:
    """Operations by definition; none where the sizes are not known."""
    if not all(isinstance(length, int) for length in x.shape):
        return 0.0
    return 2.0 * 9 * channels * 4 * x.shape[0] * count_tiles(x, padding)


def count_tiles(x: Array, padding: Pads) -> int:
    """How many tiles one image has."""
    return prod((size + sum(pads) - 1) // 2 for size, pads in zip(x.shape[1:3], padding, strict=True))


def zero_after(x: Array) -> Array:
    """Zero in the images' dtype, but not before the images are there.

    XLA would make the sums of all layers' kernels first, as they wait for nothing, and hold them: 100 MB for VGG16.
    """
    if jax.device_count() > 1:  # then one device would have to ask another for the value
        return jnp.zeros((), x.dtype)
    bits = lax.bitcast_convert_type(x[0, 0, 0, 0].astype(jnp.float32), jnp.int32)
    return lax.clamp(0, bits, 0).astype(x.dtype)


def fast_slope(x: Array, slope: Array, *, padding: Pads, shared: bool = False) -> Array:
    """The kernel's gradient, summed over as many images at a time as the caches hold."""
    if flops(x, x.shape[3] * slope.shape[3], padding) < WORTH_KERNEL_FLOPS:
        return plain_slope(x, slope, padding=padding)
    # A sum over a batch that is split over devices is taken once, not in every turn.
    each = count_tiles(x, padding) if jax.device_count() == 1 else 0
    rows = rows_for(64 * each * (x.shape[3] + slope.shape[3]), x.shape[0], BYTES, least=-(-TOGETHER // max(1, each)))
    if rows == x.shape[0]:
        sums = slope_sums(x, slope, padding)
    else:
        zero: list[Arrays] = [[jnp.zeros((x.shape[3], slope.shape[3]), jnp.float32)] * 4] * 4

        def add(total: list[Arrays], pair: Arrays) -> tuple[list[Arrays], None]:
            return jax.tree.map(jnp.add, total, slope_sums(pair[0], pair[1], padding)), None

        sums, _ = lax.scan(add, zero, [part.reshape(-1, rows, *part.shape[1:]) for part in (x, slope)])
    return jnp.stack([jnp.stack(row) for row in both_axes(kernel_gathered, sums)]).astype(x.dtype)


def slope_sums(x: Array, slope: Array, padding: Pads) -> list[Arrays]:
    """The gradients of the kernel's sums."""
    x, slope = x.astype(jnp.float32), slope.astype(jnp.float32)
    odd = [(0, size % 2) for size in slope.shape[1:3]]
    slope = jnp.pad(slope, ((0, 0), *odd, (0, 0)))
    grid = [[slope[:, row::2, column::2] for column in range(2)] for row in range(2)]
    multiply = lambda tile, other: lax.dot_general(tile, other, (((0, 1, 2), (0, 1, 2)), ((), ())))
    return [
        [multiply(*pair) for pair in zip(row, others, strict=True)]
        for row, others in zip(tiles(x, padding), both_axes(output_spread, grid), strict=True)
    ]


def flipped(kernel: Array) -> Array:
    """The kernel that takes slopes back to the inputs."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def turned(padding: Pads) -> Pads:
    """The padding of the convolution that takes slopes back."""
    (top, bottom), (left, right) = padding
    return (2 - top, 2 - bottom), (2 - left, 2 - right)


def vmapped(function: Callable[..., Array], values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
    """`vmap` over several kernels: by definition."""
    return jax.vmap(partial(function, **params), in_axes=tuple(axes))(*values), 0


def vmapped_images(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> Any:
    """`vmap` over images with one kernel: one larger batch."""
    x, kernel = values
    if axes[1] is not None:
        return vmapped(plain, values, axes, **params)
    x = jnp.moveaxis(x, axes[0], 0)
    found = forward.bind(x.reshape(-1, *x.shape[2:]), kernel, **params)
    return found.reshape(*x.shape[:2], *found.shape[1:]), 0


def result_shape(
    x: jax.core.ShapedArray, kernel: jax.core.ShapedArray, *, padding: Pads, shared: bool
) -> jax.core.ShapedArray:
    """What the convolution gives."""
    size = (length + sum(pads) - 2 for length, pads in zip(x.shape[1:3], padding, strict=True))
    return jax.core.ShapedArray((x.shape[0], *size, kernel.shape[3]), x.dtype)


def kernel_shape(
    x: jax.core.ShapedArray, slope: jax.core.ShapedArray, *, padding: Pads, shared: bool
) -> jax.core.ShapedArray:
    """What the kernel's gradient is."""
    return jax.core.ShapedArray((3, 3, x.shape[3], slope.shape[3]), x.dtype)


forward, backward = core.Primitive("convolution_3x3"), core.Primitive("convolution_3x3_kernel")


def define(primitive: core.Primitive, shape: Callable, by_definition: Callable, by_sums: Callable) -> None:
    """What every primitive needs: its result's shape, and how it is computed."""
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("padding", "shared")))
    primitive.def_abstract_eval(shape)
    mlir.register_lowering(primitive, mlir.lower_fun(by_definition, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(by_sums, multiple_results=False), platform="cpu")


define(forward, result_shape, plain, fast)
define(backward, kernel_shape, plain_slope, fast_slope)
# Both are linear in either operand, and the transposes of each are convolutions again.
back_to_images = lambda slope, x, kernel, *, padding, shared: forward.bind(
    slope, flipped(kernel), padding=turned(padding), shared=shared
)
ad.defbilinear(forward, back_to_images, lambda slope, x, kernel, **params: backward.bind(x, slope, **params))
ad.defbilinear(
    backward,
    lambda kernel, x, slope, **params: back_to_images(slope, x, kernel, **params),
    lambda kernel, x, slope, **params: forward.bind(x, kernel, **params),
)
batching.primitive_batchers[forward] = vmapped_images
batching.primitive_batchers[backward] = partial(vmapped, plain_slope)
