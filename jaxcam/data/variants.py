"""A contact sheet of one image's variants, each with what was drawn for it."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxcam.data.augment import Augment, Light, Place, augment, draws

_PAPER, _INK = (250, 250, 248), (40, 40, 40)
_FONT, _LINE, _MARGIN = 11, 14, 8


def variants(
    config: Augment, image: UInt8[np.ndarray, "h w 3"], count: int, *, seed: int = 0
) -> tuple[UInt8[np.ndarray, "n h w 3"], tuple[tuple[str, ...], ...]]:
    """`count` variants of an image as training draws them, rounded to `uint8`, and what was drawn for each in words."""
    config = replace(config, backgrounds=0.0)  # it takes several pictures, and their masks
    key = jax.random.key(seed)
    batch = jnp.broadcast_to(jnp.asarray(image), (count, *image.shape))
    pixels = jax.jit(lambda images: augment(config, key, images))(batch)
    place, light = jax.tree.map(np.asarray, draws(config, key, count, (image.shape[0], image.shape[1])))
    words = tuple(
        in_words(config, Place(*(field[i] for field in place)), Light(*(field[i] for field in light)))
        for i in range(count)
    )
    return np.rint(np.asarray(pixels)).astype(np.uint8), words


def in_words(config: Augment, place: Place, light: Light) -> tuple[str, ...]:
    """What was drawn for one image, only what the config varies; a line each."""
    flips = [name for name, done in (("mirrored", place.mirrored), ("upside down", place.upside_down)) if done]
    lines = {
        f"turn {place.rotation:+.1f}°": config.rotation,
        f"shift {place.right:+.1f}, {place.down:+.1f} px": config.width_shift or config.height_shift,
        f"shear {place.shear:+.1f}°": config.shear,
        f"zoom {place.wide:.2f} x {place.tall:.2f}": config.zoom,
        ", ".join(flips): flips,
        f"brightness {light.brightness:.2f}": config.brightness,
        f"contrast {light.contrast:.2f}": config.contrast,
        f"saturation {light.saturation:.2f}": config.saturation,
        f"hue {light.hue:+.1f}°": config.hue,
    }
    return tuple(line for line, varied in lines.items() if varied)


def contact_sheet(
    pictures: UInt8[np.ndarray, "n h w 3"], captions: tuple[tuple[str, ...], ...], *, columns: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures in rows, with their captions below, on light paper; small pictures are enlarged by whole factors."""
    count, height, width, _ = pictures.shape
    if len(captions) != count or not count:
        raise ValueError(f"got {len(captions)} captions for {count} pictures; each needs one")
    factor = max(1, 128 // width)
    height, width = height * factor, width * factor
    if columns is None:
        most = min(count, max(1, math.ceil(1.5 * math.sqrt(count * height / width))))
        columns = min(range(max(1, most // 2 + 1), most + 1), key=lambda each: (-count % each, -each))
    rows = -(-count // columns)
    wide = max(width, 120) + _MARGIN
    tall = height + _LINE * max(map(len, captions)) + 2 * _MARGIN
    sheet = Image.new("RGB", (columns * wide + _MARGIN, rows * tall + _MARGIN), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for place, (picture, lines) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _MARGIN + place % columns * wide, _MARGIN + place // columns * tall
        large = np.repeat(np.repeat(picture, factor, 0), factor, 1)
        sheet.paste(Image.fromarray(large), (left, top))
        for number, line in enumerate(lines):
            pen.text((left, top + height + 2 + _LINE * number), line, fill=_INK, font=font)
    return np.asarray(sheet)
