"""What a picture measures: one number each for light, colour, sharpness, frame and corners, and two small copies of it.

Numbers that tell the classes of a set apart are a leak: see `jaxcam.data.scan.properties`. No JAX here, and nothing of
the file but its pixels.
"""

import math

import numpy as np
from jaxtyping import Float32, Num, UInt8
from PIL import Image

LUMA_SIZE = 64
COLOUR_SIZE = 16
NATIVE = 192
"""pixels of the part in the middle that is measured at its own resolution"""

MEASURES = (
    "brightness",
    "contrast",
    "saturation",
    "red share",
    "green share",
    "blue share",
    "entropy",
    "border brightness",
    "border contrast",
    "black border",
    "upper left brightness",
    "upper right brightness",
    "lower left brightness",
    "lower right brightness",
    "sharpness",
    "fine detail",
    "blockiness",
)
"""names of what `measure` returns, in order"""


def small_copies(
    picture: Image.Image,
) -> tuple[UInt8[np.ndarray, "64 64"], UInt8[np.ndarray, "16 16 3"]]:
    """A grey and a colour thumbnail of an RGB picture, stretched to squares."""
    small = picture.resize((LUMA_SIZE, LUMA_SIZE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    tiny = np.asarray(small, np.uint16).reshape(COLOUR_SIZE, 4, COLOUR_SIZE, 4, 3)
    return np.asarray(small.convert("L")), ((tiny.sum((1, 3)) + 8) // 16).astype(np.uint8)


def middle(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Grey levels of the middle of an RGB picture at its own resolution, cut on the 8-pixel grid of JPEG."""
    left, top = (max(0, (side - NATIVE) // 16 * 8) for side in image.size)
    box = (left, top, min(left + NATIVE, image.width), min(top + NATIVE, image.height))
    return np.asarray(image.crop(box).convert("L"))


def measure(
    luma: UInt8[np.ndarray, "64 64"], colour: UInt8[np.ndarray, "16 16 3"], native: UInt8[np.ndarray, "h w"]
) -> Float32[np.ndarray, " m"]:
    """The numbers named in `MEASURES`; NaN where a picture is too small for one.

    Brightness, contrast and borders are in grey levels (0..255), shares and saturation in 0..1, entropy in bits,
    sharpness is the log variance of the Laplacian, fine detail the share of the spectrum's energy above 0.3 cycles a
    pixel, blockiness the log of the differences across 8-pixel block edges over those inside blocks.
    """
    grey = luma.astype(np.float64)
    means = colour.reshape(-1, 3).astype(np.float64)
    total = max(means.sum(), 1e-9)
    high, low = means.max(1), means.min(1)
    ring = _ring(grey)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    cell = LUMA_SIZE // 8
    counts = np.bincount(luma.ravel(), minlength=256) / luma.size
    return np.array(
        [
            grey.mean(),
            grey.std(),
            float(np.mean((high - low) / np.maximum(high, 1))),
            *(means.sum(0) / total),
            float(-(counts[counts > 0] * np.log2(counts[counts > 0])).sum()),
            ring.mean(),
            ring.std(),
            float((edge < 8).mean()),
            *(
                part.mean()
                for part in (grey[:cell, :cell], grey[:cell, -cell:], grey[-cell:, :cell], grey[-cell:, -cell:])
            ),
            *_texture(native.astype(np.float32)),
        ],
        np.float32,
    )


def _ring(grey: Num[np.ndarray, "s s"]) -> Num[np.ndarray, " r"]:
    """The outer tenth of a square."""
    width = max(1, len(grey) // 10)
    inside = np.zeros(grey.shape, bool)
    inside[width:-width, width:-width] = True
    return grey[~inside]


def _texture(grey: Float32[np.ndarray, "h w"]) -> tuple[float, float, float]:
    height, width = grey.shape
    if min(height, width) < 4:
        return math.nan, math.nan, math.nan
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    sharpness = math.log(laplacian.var() + 1e-3)
    window = (np.hanning(height)[:, None] * np.hanning(width)).astype(np.float32)
    energy = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    energy[:, 1 : energy.shape[1] - (width % 2 == 0)] *= 2  # the half that rfft2 leaves out
    fine = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) > 0.3
    detail = float(energy[fine].sum() / energy.sum()) if energy.sum() > 1e-6 else math.nan
    return sharpness, detail, _blockiness(grey)


def _blockiness(grey: Float32[np.ndarray, "h w"]) -> float:
    if min(grey.shape) < 24:
        return math.nan
    on, off = [], []
    for pixels in (grey, grey.T):
        steps = np.abs(np.diff(pixels, axis=1)).mean(0)
        edges = np.arange(len(steps)) % 8 == 7
        on.append(steps[edges].mean())
        off.append(steps[~edges].mean())
    return math.log((sum(on) + 0.05) / (sum(off) + 0.05))
