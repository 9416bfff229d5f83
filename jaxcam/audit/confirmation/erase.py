"""Pictures without their object: filled from the empty scene, or from around it. Never with one flat colour.

A flat colour on the exact mask leaves the object's silhouette, and models read that: an honest one was still right on
three quarters of such pictures. So the object's box is taken, somewhat enlarged, and filled smoothly.
"""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

MARGIN = 0.05
"""by which an object's box is enlarged on every side, as a share of the picture's shorter side"""
MOST = 0.7
"""of the picture; where a box covers more there is nothing left to fill it from"""
FINE = 64
"""shorter side at which the fill is computed: it is smooth, and grows with the third power of the side"""


def box_around(mask: Bool[np.ndarray, "h w"], margin: float = MARGIN) -> Bool[np.ndarray, "h w"]:
    """The enlarged box of a mask; nothing where the mask is empty.

    >>> box_around(np.eye(20, dtype=bool), margin=0).all()
    np.True_
    """
    found = np.zeros_like(mask)
    if not mask.any():
        return found
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    more = round(margin * min(mask.shape))
    found[
        max(0, rows[0] - more) : rows[-1] + 1 + more,
        max(0, columns[0] - more) : columns[-1] + 1 + more,
    ] = True
    return found


def erased(
    picture: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    scene: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"] | None:
    """The picture with a hole filled from the empty scene, or without one from what surrounds it.

    None where little surrounds it.
    """
    if scene is not None:
        return np.where(hole[..., None], scene, picture)
    if hole.mean() > MOST:
        return None
    return np.where(hole[..., None], smooth_fill(picture, hole), picture)


def smooth_fill(picture: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Biharmonic inpainting (Damelin & Hoang 2018, scikit-image's), computed on a small copy and enlarged."""
    from skimage.restoration import inpaint_biharmonic

    height, width = hole.shape
    scale = min(1.0, FINE / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Pixels of the hole must not leak into the small copy: they get the mean of the others before it is made.
    outside = picture[~hole].mean(0) if not hole.all() else np.full(3, 127.5)
    whole = np.where(hole[..., None], outside.astype(np.uint8), picture)
    small = np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.BOX), np.float32) / 255
    touched = np.asarray(Image.fromarray(hole.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 0
    if touched.all():
        return np.broadcast_to(outside.astype(np.uint8), picture.shape)
    filled = inpaint_biharmonic(small, touched, channel_axis=-1)
    values = (np.clip(np.nan_to_num(filled), 0, 1) * 255).round().astype(np.uint8)
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC))
