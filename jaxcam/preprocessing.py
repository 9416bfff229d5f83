"""How pictures become numbers: resizing on the host, normalising on the device."""

from dataclasses import dataclass, replace
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float32, Shaped, UInt8

from jaxcam.errors import UserError

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """A classifier's contract with its input; images enter as `uint8` RGB.

    On the host an image is resized to `size`; on the device it becomes `(x[order] * scale - mean) / std`, with `mean`
    and `std` in the order of `channels`.
    """

    size: tuple[int, int] = (224, 224)
    """(height, width) that pictures are resized to"""
    resize: Literal["bilinear", "nearest", "bicubic"] = "bilinear"
    """filter of the resize (Pillow's, antialiased when shrinking, except nearest)"""
    fit: Literal["stretch", "crop"] = "stretch"
    """stretch to the size, or scale the shorter side and cut out the centre"""
    channels: Literal["rgb", "bgr"] = "rgb"
    """order in which the network takes the colours"""
    scale: float = 1.0
    """factor on 0..255 before the mean is subtracted"""
    mean: Triple = (0.0, 0.0, 0.0)
    """subtracted after scaling, in the order of `channels`"""
    std: Triple = (1.0, 1.0, 1.0)
    """divided by, in the order of `channels`"""

    @classmethod
    def named(cls, name: str, **changes) -> "Preprocessing":
        """One of the conventions `keras`, `torchvision`, `raw`, `unit`, `tf`; `changes` replace fields.

        >>> Preprocessing.named("keras").channels
        'bgr'
        """
        if name not in CONVENTIONS:
            raise UserError(f"unknown preprocessing {name!r}; there are: {', '.join(CONVENTIONS)}")
        return replace(CONVENTIONS[name], **changes)

    def normalise(self, images: Shaped[Array, "n h w 3"] | UInt8[Array, "n h w 3"]) -> Float32[Array, "n h w 3"]:
        """The network's input for `uint8` images (or float images on the same 0..255 scale)."""
        x = images.astype(jnp.float32)
        if self.channels == "bgr":
            x = x[..., ::-1]
        return (x * self.scale - jnp.asarray(self.mean, jnp.float32)) / jnp.asarray(self.std, jnp.float32)


CONVENTIONS = {
    # Keras' VGG and ResNet weights come from Caffe: BGR, mean colour of ImageNet, no scaling.
    "keras": Preprocessing(channels="bgr", mean=(103.939, 116.779, 123.68)),
    "torchvision": Preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "raw": Preprocessing(),
    "unit": Preprocessing(scale=1 / 255),
    "tf": Preprocessing(scale=1 / 127.5, mean=(1.0, 1.0, 1.0)),
}
