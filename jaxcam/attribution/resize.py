"""Enlarging maps by the rules that other tools use, each exactly.

Every rule is one matrix per axis, so it runs on any device, under `jit`, `vmap` and sharding, and never goes through
an image library.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

Rule = Literal["bilinear", "nearest", "corners", "bicubic", "cubic", "imresize"]
Weights = Float[np.ndarray, "new old"]


def resize(
    maps: Float[Array, "*batch h w"], size: tuple[int, int], rule: Rule | str = "bilinear"
) -> Float32[Array, "..."]:
    """Maps (.., h, w) at another resolution (.., *size), float32.

    - `bilinear`: pixel centres at halves, the border repeated (OpenCV INTER_LINEAR, PyTorch align_corners=False)
    - `nearest`: PyTorch's and OpenCV's
    - `corners`: bilinear with the corner pixels on the corners (scipy.ndimage.zoom of order 1, align_corners=True)
    - `bicubic`: PyTorch's and OpenCV's, a = -3/4, the border repeated
    - `cubic`: a = -1/2, weights beyond the border dropped (JAX, TensorFlow, Pillow)
    - `imresize`: MATLAB's bicubic, a = -1/2, mirrored at the border; widened where it makes maps smaller

    The cubic rules overshoot: they go below the smallest and above the largest value. Only `imresize` averages when it
    makes maps smaller; the others skip, as the tools they come from do for maps.

    >>> resize(jnp.array([[0.0, 4.0]]), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    if rule not in get_args(Rule):
        raise ValueError(f"unknown rule {rule!r}; there are: {', '.join(get_args(Rule))}")
    if min(size) < 1 or min(maps.shape[-2:]) < 1:
        raise ValueError(f"maps and their new size must not be empty, got {maps.shape[-2:]} and {size}")
    rows, columns = (
        jnp.asarray(WEIGHTS[rule](old, new), jnp.float32) for old, new in zip(maps.shape[-2:], size, strict=True)
    )
    tall = jnp.einsum("Hh,...hw->...Hw", rows, maps.astype(jnp.float32), precision="highest")
    return jnp.einsum("Ww,...Hw->...HW", columns, tall, precision="highest")


def centres(old: int, new: int) -> Float[np.ndarray, " new"]:
    """Where the centres of the new pixels lie among the old ones, whose own centres are 0, 1, 2.."""
    return (np.arange(new) + 0.5) * old / new - 0.5


def tent(x: np.ndarray) -> np.ndarray:
    """Linear interpolation's kernel."""
    return np.maximum(0, 1 - np.abs(x))


def keys(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Cubic convolution (Keys, 1981); interpolates for every a."""

    def kernel(x):
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x**2 + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel


def interpolation(
    at: Float[np.ndarray, " new"], old: int, kernel: Callable[[np.ndarray], np.ndarray], radius: int, *, border: str
) -> Weights:
    """Weights of an interpolating kernel; beyond the border pixels are repeated, mirrored or dropped."""
    weights = np.zeros((len(at), old))
    first = np.floor(at).astype(int)
    for step in range(1 - radius, radius + 1):
        index = first + step
        share = kernel(at - index)
        if border == "drop":
            share = np.where((index >= 0) & (index < old), share, 0)
        if border == "mirror":
            index = np.mod(index, 2 * old)
            index = np.where(index >= old, 2 * old - 1 - index, index)
        np.add.at(weights, (np.arange(len(at)), np.clip(index, 0, old - 1)), share)
    return weights / weights.sum(1, keepdims=True)


def bilinear(old: int, new: int) -> Weights:
    return interpolation(centres(old, new), old, tent, 1, border="repeat")


def nearest(old: int, new: int) -> Weights:
    # In float32, as PyTorch counts.
    index = np.floor(np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(int)
    return np.eye(old)[np.minimum(index, old - 1)]


def corners(old: int, new: int) -> Weights:
    return interpolation(np.arange(new) * (old - 1) / max(new - 1, 1), old, tent, 1, border="repeat")


def bicubic(old: int, new: int) -> Weights:
    return interpolation(centres(old, new), old, keys(-0.75), 2, border="repeat")


def cubic(old: int, new: int) -> Weights:
    return interpolation(centres(old, new), old, keys(-0.5), 2, border="drop")


def imresize(old: int, new: int) -> Weights:
    """MATLAB widens the kernel by the factor by which it makes an axis smaller."""
    shrink = max(1.0, old / new)
    kernel = lambda x: keys(-0.5)(x / shrink)
    return interpolation(centres(old, new), old, kernel, int(np.ceil(2 * shrink)) + 1, border="mirror")


WEIGHTS: dict[str, Callable[[int, int], Weights]] = {
    "bilinear": bilinear,
    "nearest": nearest,
    "corners": corners,
    "bicubic": bicubic,
    "cubic": cubic,
    "imresize": imresize,
}
