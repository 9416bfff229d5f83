"""Convolutions with batch norm, and pools other than 2x2: the parts of the residual and inception families."""

import math
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32

from jaxcam.networks.convolution import convolution

Padding = str | Sequence[tuple[int, int]]
Activation = Literal["relu", "relu6", "none"]


def activate(x: Float[Array, "..."], activation: Activation) -> Float[Array, "..."]:
    """ReLU, ReLU capped at 6, or nothing."""
    if activation == "none":
        return x
    return nn.relu(x) if activation == "relu" else jnp.minimum(nn.relu(x), jnp.asarray(6, x.dtype))


class BatchNorm(nn.Module):
    """Batch norm (Ioffe and Szegedy, 2015) with Keras' names and defaults; also a stage of its own.

    The running statistics `moving_mean` and `moving_variance` are parameters beside `gamma` and `beta`. They normalise,
    and do not move, unless `rows` is given, as `Chain.apply_training` does for the stages that a phase trains: then the
    mean and the variance of these rows of the batch normalise (over all devices), and what the running statistics
    become is put into the collection `statistics`: `momentum` times the old plus the rest times the batch's, whose
    variance is divided by n as in Keras, not by n - 1 as in torch. Sums are in float32 whatever the compute dtype.
    """

    epsilon: float = 1e-3
    scale: bool = True
    dtype: DTypeLike = jnp.float32
    momentum: float = 0.99

    @nn.compact
    def __call__(
        self, x: Float[Array, "n ... c"], *, train: bool = False, rows: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n ... c"]:
        shape = (x.shape[-1],)
        gamma = self.param("gamma", nn.initializers.ones, shape) if self.scale else jnp.ones(shape)
        beta = self.param("beta", nn.initializers.zeros, shape)
        mean = lax.stop_gradient(self.param("moving_mean", nn.initializers.zeros, shape))
        variance = lax.stop_gradient(self.param("moving_variance", nn.initializers.ones, shape))
        if rows is not None:
            values = x.astype(jnp.float32)
            batch_mean, batch_variance = moments(values, rows)
            for name, old, new in (("moving_mean", mean, batch_mean), ("moving_variance", variance, batch_variance)):
                moved = self.momentum * old + (1 - self.momentum) * lax.stop_gradient(new)
                # A batch of which nothing could be read says nothing.
                self.put_variable("statistics", name, jnp.where(rows.any(), moved, old))
            factor = lax.rsqrt(batch_variance + self.epsilon) * gamma
            return ((values - batch_mean) * factor + beta).astype(self.dtype)
        factor = lax.rsqrt(variance + self.epsilon) * gamma
        offset = beta - mean * factor
        return x * factor.astype(self.dtype) + offset.astype(self.dtype)


def moments(x: Float32[Array, "n ... c"], rows: Bool[Array, " n"]) -> tuple[Float32[Array, " c"], Float32[Array, " c"]]:
    """Mean and variance (divided by n) of each channel over the marked rows and all positions; zeros without any."""
    axes = tuple(range(x.ndim - 1))
    marked = rows.reshape(-1, *(1 for _ in x.shape[1:]))
    count = jnp.maximum(rows.sum(), 1).astype(x.dtype) * math.prod(x.shape[1:-1])
    mean = jnp.where(marked, x, 0).sum(axes) / count
    # Not the mean of the squares less the square of the mean: in float32 that cancels where the mean is large.
    return mean, jnp.where(marked, jnp.square(x - mean), 0).sum(axes) / count


class Kernel(nn.Module):
    """A convolution's kernel and, if asked, bias; `depthwise` convolves every channel by itself."""

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    depthwise: bool = False
    bias: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n oh ow f"]:
        shape = (*self.kernel_size, 1 if self.depthwise else x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(self.dtype)
        x = x.astype(self.dtype)
        groups = x.shape[-1] if self.depthwise else 1
        x = convolution(x, kernel, self.strides, self.padding, groups=groups)
        if self.bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return x


class ConvNorm(nn.Module):
    """Convolution, batch norm, activation; parameters `conv` and `norm`."""

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    depthwise: bool = False
    bias: bool = False
    activation: Activation = "relu"
    epsilon: float = 1e-3
    scale: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow f"]:
        x = Kernel(
            self.features,
            self.kernel_size,
            self.strides,
            self.padding,
            self.depthwise,
            self.bias,
            self.dtype,
            name="conv",
        )(x)
        x = BatchNorm(self.epsilon, self.scale, self.dtype, name="norm")(x)
        return activate(x, self.activation)


def window_pool(
    x: Float[Array, "n h w c"], kind: Literal["max", "mean"], window: int, stride: int, padding: Padding
) -> Float[Array, "n oh ow c"]:
    """Max or mean over square windows; the mean counts only what lies inside the image."""
    size, strides = (window, window), (stride, stride)
    if kind == "max":
        return nn.max_pool(x, size, strides, padding)
    # Not nn.avg_pool: it divides by float32 counts whatever the maps' type.
    total = nn.pool(x, 0.0, lax.add, size, strides, padding)
    return total / nn.pool(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0, lax.add, size, strides, padding)


class WindowPool(nn.Module):
    """`window_pool` as a stage."""

    kind: Literal["max", "mean"]
    window: int = 3
    stride: int = 2
    padding: Padding = "VALID"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow c"]:
        return window_pool(x, self.kind, self.window, self.stride, self.padding)
