"""Pictures and planted copies of them, for tests and `bench/scan.py`."""

import io

import numpy as np
from PIL import Image

PLANTS = ("recompressed", "resized", "cropped", "mirrored")


def plant(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A copy of an RGB picture as people make them."""
    width, height = image.size
    if kind == "recompressed":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(30, 91)))
        return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    if kind == "resized":
        factor = rng.uniform(0.5, 2)
        filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        return image.resize((round(width * factor), round(height * factor)), filters[rng.integers(3)])
    if kind == "cropped":
        left, top = round(0.02 * width * rng.uniform()), round(0.02 * height * rng.uniform())
        box = (left, top, left + round(0.98 * width), top + round(0.98 * height))
        return image.crop(box)
    if kind == "cropped on all sides":
        return image.crop((round(0.02 * width), round(0.02 * height), round(0.98 * width), round(0.98 * height)))
    if kind == "mirrored":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if kind == "turned":
        return image.transpose(Image.Transpose.ROTATE_90)
    raise ValueError(f"unknown kind {kind!r}")
