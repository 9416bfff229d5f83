"""The stages that chains are made of: NHWC, HWIO kernels, float32 parameters, any compute dtype."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcam.networks.convolution import convolution

Initializer = nn.initializers.Initializer
GLOROT_UNIFORM = nn.initializers.glorot_uniform()
"""Keras' default; one object, for stages that are made alike must be equal."""


def max_pool_2x2(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """2x2 max pooling with stride 2 from four strided slices; an odd last row or column is dropped.

    Not `reduce_window`: its gradient is 8 to 10 times slower on CPU and has no deterministic form on GPU. At ties the
    gradient is shared instead of going to the first element; Grad-CAM's weights do not change.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    top = jnp.maximum(x[:, 0:height:2, 0:width:2], x[:, 0:height:2, 1:width:2])
    bottom = jnp.maximum(x[:, 1:height:2, 0:width:2], x[:, 1:height:2, 1:width:2])
    return jnp.maximum(top, bottom)


def fresh_kernel(relu: bool) -> Initializer:
    """How a kernel starts that nothing else is asked of: variance 2 / inputs before a ReLU, else 1 / inputs."""
    return nn.initializers.he_normal() if relu else nn.initializers.lecun_normal()


class Conv(nn.Module):
    """Convolution with bias and, by default, ReLU."""

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str | Sequence[tuple[int, int]] = "SAME"
    relu: bool = True
    dtype: DTypeLike = jnp.float32
    kernel_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow f"]:
        init = self.kernel_init or fresh_kernel(self.relu)
        kernel = self.param("kernel", init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        x = convolution(x, kernel, self.strides, self.padding)
        x = x + bias.astype(self.dtype)
        return nn.relu(x) if self.relu else x


class Dense(nn.Module):
    """Dense layer with bias and, if asked, ReLU."""

    features: int
    relu: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n i"], *, train: bool = False) -> Float[Array, "n f"]:
        init = self.kernel_init or fresh_kernel(self.relu)
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = x.astype(self.dtype) @ kernel.astype(self.dtype) + bias.astype(self.dtype)
        return nn.relu(x) if self.relu else x


class MaxPool(nn.Module):
    """2x2 max pooling, stride 2."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow c"]:
        return max_pool_2x2(x)


class Flatten(nn.Module):
    """Rows of all values in (h, w, c) order."""

    @nn.compact
    def __call__(self, x: Float[Array, "n ..."], *, train: bool = False) -> Float[Array, "n i"]:
        return x.reshape(x.shape[0], -1)


class GlobalAveragePool(nn.Module):
    """Mean over positions, summed in float32."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n c"]:
        return x.astype(jnp.float32).mean((1, 2))


class Dropout(nn.Module):
    """Dropout at training time; at other times the identity."""

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "n ..."], *, train: bool = False) -> Float[Array, "n ..."]:
        return nn.Dropout(self.rate, deterministic=not train)(x)


class BinaryLogits(nn.Module):
    """One number z an image as the logits (-z/2, z/2) of two classes.

    Their softmax is (1 - sigmoid(z), sigmoid(z)) and their cross-entropy the binary one of a sigmoid unit, gradients
    included, so that whatever works on k logits works on a network with one sigmoid unit.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "n 1"], *, train: bool = False) -> Float[Array, "n 2"]:
        return jnp.concatenate([-x, x], axis=1) * 0.5
