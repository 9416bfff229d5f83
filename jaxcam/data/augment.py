"""Augmentation on the device: one bilinear warp and one colour matrix an image, keyed, inside the train step."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Num, PRNGKeyArray

from jaxcam.data.colour import adjust, colour_matrix
from jaxcam.data.exchange import exchange
from jaxcam.data.warp import FILLS, affine_matrix, warp
from jaxcam.errors import UserError

Factor = float | tuple[float, float]
"""a number f: factors from 1 - f to 1 + f; a pair: factors from the first to the second"""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Ranges that each image's variation is drawn from, evenly; by default nothing is changed.

    The parameters mean what they mean in Keras' `ImageDataGenerator`, with the order rotation, shift, shear, zoom,
    flips, and the image's centre as the fixed point.

    Raises `UserError` for a range that nothing can be drawn from.
    """

    rotation: float = 0.0
    """degrees to either side"""
    width_shift: float = 0.0
    """to either side; below 1 a share of the width, from 1 on pixels"""
    height_shift: float = 0.0
    """up or down; below 1 a share of the height, from 1 on pixels"""
    shear: float = 0.0
    """shear angle in degrees to either side"""
    zoom: Factor = 0.0
    """1 - zoom to 1 + zoom, or from LOW to HIGH, for each axis on its own; above 1 shows more, as in Keras"""
    horizontal_flip: bool = False
    """mirror half of the images"""
    vertical_flip: bool = False
    """turn half of the images upside down"""
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
    """what stands outside of the image: its border, fill-value, its mirror image, or itself again"""
    fill_value: float = 0.0
    """value outside of the image for the fill mode constant, 0 to 255"""
    brightness: Factor = 0.0
    """1 - brightness to 1 + brightness, or from LOW to HIGH, times the pixels"""
    contrast: Factor = 0.0
    """1 - contrast to 1 + contrast, or from LOW to HIGH, times the distance from the image's mean grey"""
    saturation: Factor = 0.0
    """1 - saturation to 1 + saturation, or from LOW to HIGH, times the distance from grey"""
    hue: float = 0.0
    """degrees to either side that the colours are turned around grey"""
    backgrounds: float = 0.0
    """share of the pictures whose object is put before another picture's background; needs --data.masks"""

    def __post_init__(self) -> None:
        limits = {"rotation": math.inf, "width_shift": math.inf, "height_shift": math.inf, "shear": 90, "hue": math.inf}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value < limit:
                most = "" if limit == math.inf else f" and below {limit}"
                raise UserError(f"augment.{name} is {value}; it must be at least 0{most}")
        for name in ("zoom", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) and len(value) != 2:
                raise UserError(f"augment.{name} is {value}; give one number, or the lowest and the highest factor")
            low, high = bounds(value)
            if not 0 <= low <= high < math.inf or (name == "zoom" and low == 0):
                least = "above 0" if name == "zoom" else "at least 0"
                raise UserError(f"augment.{name} is {value}: factors from {low} to {high}; they must rise from {least}")
        if not 0 <= self.backgrounds <= 1:
            raise UserError(f"augment.backgrounds is {self.backgrounds}; it is a share of the pictures, 0 to 1")
        if self.fill not in FILLS or not 0 <= self.fill_value <= 255:
            raise UserError(
                f"augment.fill is {self.fill!r} with the value {self.fill_value}; "
                f"give one of {', '.join(FILLS)} and a value in 0..255"
            )

    @property
    def warps(self) -> bool:
        """Whether pixels move to places between pixels."""
        moved = (self.rotation, self.width_shift, self.height_shift, self.shear)
        return any(moved) or bounds(self.zoom) != (1, 1)

    @property
    def colours(self) -> bool:
        """Whether values change where they stand."""
        return self.hue != 0 or any(bounds(f) != (1, 1) for f in (self.brightness, self.contrast, self.saturation))

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.warps or self.colours or self.horizontal_flip or self.vertical_flip or self.backgrounds > 0


class Place(NamedTuple):
    """Where an image is seen from; every field is one number an image."""

    rotation: Array
    """degrees"""
    right: Array
    """columns that the view moves to the right"""
    down: Array
    """rows that the view moves down"""
    shear: Array
    """degrees"""
    wide: Array
    """factor on the columns that are shown"""
    tall: Array
    """factor on the rows that are shown"""
    mirrored: Array
    """whether left and right are exchanged"""
    upside_down: Array
    """whether top and bottom are exchanged"""


class Light(NamedTuple):
    """How an image's values change; every field is one number an image."""

    brightness: Array
    contrast: Array
    saturation: Array
    hue: Array
    """degrees"""


def bounds(factor: Factor) -> tuple[float, float]:
    """The lowest and the highest factor of a range.

    >>> bounds(0.25), bounds((0.5, 1.0))
    ((0.75, 1.25), (0.5, 1.0))
    """
    return (1 - factor, 1 + factor) if isinstance(factor, (int, float)) else (factor[0], factor[1])


def factor(value: Factor, share: Array) -> Array:
    """The factor that stands at `share` (-1 to 1) of the range."""
    if isinstance(value, (int, float)):
        return 1.0 + value * share
    return (value[0] + value[1]) / 2 + (value[1] - value[0]) / 2 * share


def place(config: Augment, key: PRNGKeyArray, size: tuple[int, int]) -> Place:
    """Draw where one image of `size` (height, width) is seen from."""
    share = jax.random.uniform(key, (7,), minval=-1.0, maxval=1.0)
    right, down = (
        shift * length if shift < 1 else shift
        for shift, length in ((config.width_shift, size[1]), (config.height_shift, size[0]))
    )
    return Place(
        rotation=-config.rotation * share[0],
        right=right * share[2],
        down=down * share[1],
        shear=config.shear * share[3],
        wide=factor(config.zoom, share[5]),
        tall=factor(config.zoom, share[4]),
        mirrored=(share[6] > 0) & config.horizontal_flip,
        upside_down=jax.random.bernoulli(jax.random.fold_in(key, 1)) & config.vertical_flip,
    )


def light(config: Augment, key: PRNGKeyArray) -> Light:
    """Draw how one image's values change."""
    share = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
    return Light(
        brightness=factor(config.brightness, share[2]),
        contrast=factor(config.contrast, share[3]),
        saturation=factor(config.saturation, share[1]),
        hue=config.hue * share[0],
    )


def draws(config: Augment, key: PRNGKeyArray, count: int, size: tuple[int, int]) -> tuple[Place, Light]:
    """What `augment` draws with this key for a batch of `count` images; every field is (count,)."""
    geometry, colour = (jax.random.split(part, count) for part in jax.random.split(key))
    return jax.vmap(lambda k: place(config, k, size))(geometry), jax.vmap(lambda k: light(config, k))(colour)


def matrix_of(drawn: Place) -> Float32[Array, "2 3"]:
    """Matrix that takes an output position (row, column, 1) from the centre to the input position it shows."""
    return affine_matrix(
        rotation=drawn.rotation,
        shift=(drawn.right, drawn.down),
        shear=drawn.shear,
        zoom=(drawn.wide, drawn.tall),
        flip=(drawn.mirrored, drawn.upside_down),
    )


def affine(config: Augment, key: PRNGKeyArray, size: tuple[int, int]) -> Float32[Array, "2 3"]:
    """`matrix_of` one draw."""
    return matrix_of(place(config, key, size))


def augment(config: Augment, key: PRNGKeyArray, images: Num[Array, "n h w 3"]) -> Float32[Array, "n h w 3"]:
    """Vary each image by its own draw; values on the scale 0..255 in, float32 on that scale out.

    An image's variation depends on the key, on its place in the batch and on the batch's size, so that a batch that
    is split over several devices is varied as on one. Nothing active changes nothing, bit for bit; flips alone move
    values and never mix them. `backgrounds` takes `uint8` images marked with masks (`jaxcam.data.backgrounds`).
    """
    if not config.active:
        return images.astype(jnp.float32)
    if config.backgrounds:
        images = exchange(config.backgrounds, jax.random.fold_in(key, 2), images)

    def vary(image: Num[Array, "h w 3"], seen: Place, lit: Light) -> Float32[Array, "h w 3"]:
        pixels = image
        if config.warps:
            pixels = warp(image, matrix_of(seen), fill=config.fill, fill_value=config.fill_value)
        else:
            pixels = jnp.where(seen.mirrored, pixels[:, ::-1], pixels) if config.horizontal_flip else pixels
            pixels = jnp.where(seen.upside_down, pixels[::-1], pixels) if config.vertical_flip else pixels
        if config.colours:
            matrix = colour_matrix(brightness=lit.brightness, saturation=lit.saturation, hue=lit.hue)
            contrast = lit.contrast if bounds(config.contrast) != (1, 1) else None
            pixels = adjust(pixels, matrix, contrast, reference=image)
        return pixels.astype(jnp.float32)

    return jax.vmap(vary)(images, *draws(config, key, images.shape[0], (images.shape[1], images.shape[2])))
