"""Patterns that excite a channel, by gradient ascent: the loop, and the book's recipe."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32, Int, Key, PRNGKeyArray

from jaxcam.attribution.features.responses import Response
from jaxcam.attribution.loops import loop_ready


class Patterns(NamedTuple):
    """One pattern a channel."""

    images: Float32[Array, "n h w 3"]
    """what was found, in the values that the response takes"""
    before: Float32[Array, " n"]
    """the channel's mean response to the start"""
    after: Float32[Array, " n"]
    """its mean response to the pattern; not above `before` where the channel could not be excited"""


Grow = Callable[[Int[Array, " m"]], Patterns]


def in_windows(grow: Grow, channels: Int[Array, " n"], at_once: int | None) -> Patterns:
    """`grow` for `at_once` channels at a time (None: all together), in one program; the order is kept."""
    count = channels.shape[0]
    size = count if at_once is None else min(max(1, at_once), max(1, count))
    if not count:
        one = jax.eval_shape(grow, jax.ShapeDtypeStruct((1,), channels.dtype))
        return jax.tree.map(lambda value: jnp.zeros((0, *value.shape[1:]), value.dtype), one)
    if size == count:
        return grow(channels)
    windows = -(-count // size)
    # Repeating the last channel, and not a short window, so that the loop's body is compiled once.
    filled = jnp.concatenate([channels, jnp.broadcast_to(channels[-1:], (windows * size - count,))])
    found = lax.map(grow, filled.reshape(windows, size))
    return jax.tree.map(lambda value: value.reshape(windows * size, *value.shape[2:])[:count], found)


def rms(values: Float32[Array, "n h w c"]) -> Float32[Array, "n 1 1 1"]:
    """Root mean square of each image's values."""
    return jnp.sqrt(jnp.mean(jnp.square(values), axis=(1, 2, 3), keepdims=True))


def channel_keys(key: PRNGKeyArray, channels: Int[Array, " n"]) -> Key[Array, " n"]:
    """A key for each channel: a channel's start does not depend on which others are asked for."""
    return jax.vmap(lambda channel: jax.random.fold_in(key, channel))(channels)


def grey_noise(key: PRNGKeyArray, channels: Int[Array, " n"], size: tuple[int, int]) -> Float32[Array, "n h w 3"]:
    """The book's start: uniform noise of 20 levels above 128, different for every channel."""
    draw = lambda own: jax.random.uniform(own, (*size, 3), jnp.float32) * 20 + 128
    return jax.vmap(draw)(channel_keys(key, channels))


def plain_patterns(
    response: Response,
    channels: Int[Array, " n"],
    *,
    key: PRNGKeyArray,
    size: tuple[int, int] = (128, 128),
    steps: int = 40,
    step_size: float = 1.0,
    at_once: int | None = None,
) -> Patterns:
    """Gradient ascent on the mean of a channel from noise, by the recipe of Chollet's book (2017, section 5.4.2).

    Start: uniform in 128..148. Every step adds `step_size` times the gradient divided by its root mean square (plus
    1e-5). There is no clipping. `response` (`stage_response`, `channel_response`) takes images with those values;
    `statistics.deprocess` makes pictures of the result. All channels grow together, `at_once` of them at a time; the
    numbers do not depend on it. Pure; for `jit`, where `size`, `steps` and `at_once` are static.

    Cost: `steps` forwards and backwards up to the stage for every channel, and two forwards.
    """

    def grow(channels: Int[Array, " m"]) -> Patterns:
        mean = lambda images: response(images, channels).mean(1)
        # In the loop the images are in the last axis: there a CPU works on several at once (`tap_sum`).
        slope = loop_ready(jax.grad(lambda images: mean(jnp.moveaxis(images, 3, 0)).sum()))

        def step(_, images):
            gradient = slope(images)
            spread = jnp.sqrt(jnp.mean(jnp.square(gradient), axis=(0, 1, 2)))
            return images + step_size * gradient / (spread + 1e-5)

        start = grey_noise(key, channels, size)
        images = jnp.moveaxis(lax.fori_loop(0, steps, step, jnp.moveaxis(start, 0, 3)), 3, 0)
        return Patterns(images, mean(start), mean(images))

    return in_windows(grow, channels, at_once)
