"""Augmentation on the device: one bilinear warp an image, keyed, inside the train step."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, PRNGKeyArray, UInt8


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Ranges that each image's variation is drawn from; all zero changes nothing.

    The parameters mean what they mean in Keras' `ImageDataGenerator`; outside the image the nearest pixel is repeated.
    """

    rotation: float = 0.0
    """degrees to either side"""
    width_shift: float = 0.0
    """share of the width to either side"""
    height_shift: float = 0.0
    """share of the height to either side"""
    shear: float = 0.0
    """shear angle in degrees to either side"""
    zoom: float = 0.0
    """1 - zoom to 1 + zoom, for each axis on its own"""
    horizontal_flip: bool = False
    """mirror half of the images"""
    brightness: float = 0.0
    """1 - brightness to 1 + brightness, times the pixels"""
    saturation: float = 0.0
    """1 - saturation to 1 + saturation, times the distance from grey"""
    hue: float = 0.0
    """degrees to either side that the colours are turned around grey"""

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self != Augment()


def affine(config: Augment, key: PRNGKeyArray, size: tuple[int, int]) -> Float32[Array, "2 3"]:
    """Matrix that takes an output position (row, column, 1) to the input position it shows.

    Positions are measured from the image's centre. Composed as in Keras: rotation, shift, shear, zoom.
    """
    height, width = size
    draw = jax.random.uniform(key, (7,), minval=-1.0, maxval=1.0)
    angle = jnp.deg2rad(config.rotation) * draw[0]
    down, right = config.height_shift * height * draw[1], config.width_shift * width * draw[2]
    slant = jnp.deg2rad(config.shear) * draw[3]
    tall, wide = 1 + config.zoom * draw[4], 1 + config.zoom * draw[5]
    mirror = jnp.where(jnp.logical_and(config.horizontal_flip, draw[6] > 0), -1.0, 1.0)
    zero, one = jnp.zeros(()), jnp.ones(())
    rotation = jnp.stack([jnp.cos(angle), -jnp.sin(angle), zero, jnp.sin(angle), jnp.cos(angle), zero, zero, zero, one])
    shift = jnp.stack([one, zero, down, zero, one, right, zero, zero, one])
    shear = jnp.stack([one, -jnp.sin(slant), zero, zero, jnp.cos(slant), zero, zero, zero, one])
    zoom = jnp.stack([tall, zero, zero, zero, wide * mirror, zero, zero, zero, one])
    parts = [part.reshape(3, 3) for part in (rotation, shift, shear, zoom)]
    return (parts[0] @ parts[1] @ parts[2] @ parts[3])[:2]


def warp(image: Float32[Array, "h w c"], matrix: Float32[Array, "2 3"]) -> Float32[Array, "h w c"]:
    """The image seen through `matrix`, bilinear, the nearest pixel outside."""
    height, width, channels = image.shape
    centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2], jnp.float32)
    along = [jnp.arange(length, dtype=jnp.float32) for length in (height, width)]
    rows, columns = jnp.meshgrid(along[0] - centre[0], along[1] - centre[1], indexing="ij")
    places = jnp.stack([rows, columns, jnp.ones_like(rows)])
    y, x = jnp.einsum("ij,jhw->ihw", matrix, places) + centre[:, None, None]
    y, x = jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)
    down, across = (y - jnp.floor(y))[..., None], (x - jnp.floor(x))[..., None]
    top, left = jnp.floor(y).astype(jnp.int32), jnp.floor(x).astype(jnp.int32)
    bottom, right = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)
    pixels = image.reshape(height * width, channels)
    upper = pixels[top * width + left] * (1 - across) + pixels[top * width + right] * across
    lower = pixels[bottom * width + left] * (1 - across) + pixels[bottom * width + right] * across
    return upper * (1 - down) + lower * down


def colour_matrix(config: Augment, key: PRNGKeyArray) -> Float32[Array, "3 3"]:
    """Matrix that takes RGB to RGB: a turn around the grey axis, a stretch away from it, and a factor on everything."""
    draw = jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0)
    angle = jnp.deg2rad(config.hue) * draw[0]
    grey, same = jnp.full((3, 3), 1 / 3), jnp.eye(3)
    across = jnp.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / jnp.sqrt(3.0)
    turn = jnp.cos(angle) * same + jnp.sin(angle) * across + (1 - jnp.cos(angle)) * grey
    stretch = (1 + config.saturation * draw[1]) * (same - grey) + grey
    return (1 + config.brightness * draw[2]) * stretch @ turn


def augment(config: Augment, key: PRNGKeyArray, images: UInt8[Array, "n h w 3"]) -> Float32[Array, "n h w 3"]:
    """Vary each image by its own draw; float32 on the scale 0..255."""
    geometry, light = jax.random.split(key)
    pixels = images.astype(jnp.float32)
    count, height, width, _ = pixels.shape
    if any(
        (config.rotation, config.width_shift, config.height_shift, config.shear, config.zoom, config.horizontal_flip)
    ):
        keys = jax.random.split(geometry, count)
        pixels = jax.vmap(lambda image, k: warp(image, affine(config, k, (height, width))))(pixels, keys)
    if config.brightness or config.saturation or config.hue:
        matrices = jax.vmap(lambda k: colour_matrix(config, k))(jax.random.split(light, count))
        pixels = jnp.clip(jnp.einsum("nhwc,ndc->nhwd", pixels, matrices), 0, 255)
    return pixels
