"""Perceptual hashes: the coarse structure of a thumbnail as a unit vector, in all eight turns and mirrorings.

A picture's hash are the 63 lowest cosine coefficients of its grey thumbnail (8 across, 8 down, without the mean),
scaled to length 1: the numbers whose signs are the well-known 64-bit pHash, kept whole because their angle tells more
than the signs. Mirroring changes signs, turning by a quarter swaps rows and columns; so one hash gives all eight.
"""

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

COEFFICIENTS = 8
VIEWS = {
    "as it is": (False, False, False),
    "mirrored": (False, False, True),
    "upside down": (False, True, False),
    "turned by 180": (False, True, True),
    "turned and mirrored": (True, False, False),
    "turned by 90": (True, False, True),
    "turned by 270": (True, True, False),
    "turned and mirrored otherwise": (True, True, True),
}
"""name -> (rows and columns swapped, then flipped down, then flipped across)"""
_FLAT = 2.0
"""grey levels of spread below which a thumbnail has no structure to compare"""


def hashes(luma: UInt8[np.ndarray, "n 64 64"]) -> Float32[np.ndarray, "n 63"]:
    """The hash of every thumbnail; zero for one without structure, so that it is like no other."""
    size = luma.shape[1]
    waves = np.cos(np.pi / size * (np.arange(size) + 0.5) * np.arange(COEFFICIENTS)[:, None])
    waves *= np.sqrt(np.where(np.arange(COEFFICIENTS) == 0, 1, 2) / size)[:, None]
    waves = waves.astype(np.float32)
    found = np.empty((len(luma), COEFFICIENTS**2 - 1), np.float32)
    for start in range(0, len(luma), 1024):
        part = luma[start : start + 1024].astype(np.float32)
        spectrum = (waves @ part @ waves.T).reshape(len(part), COEFFICIENTS**2)[:, 1:]
        length = np.linalg.norm(spectrum, axis=1, keepdims=True)
        flat = part.std(axis=(1, 2)) < _FLAT
        found[start : start + 1024] = np.where(flat[:, None], 0, spectrum / np.maximum(length, 1e-6))
    return found


def turned_hashes(values: Float32[np.ndarray, "n 63"], view: str) -> Float32[np.ndarray, "n 63"]:
    """The hashes of the same pictures in another of `VIEWS`."""
    swapped, down, across = VIEWS[view]
    spectrum = np.concatenate([np.zeros((len(values), 1), np.float32), values], axis=1)
    spectrum = spectrum.reshape(-1, COEFFICIENTS, COEFFICIENTS)
    if swapped:
        spectrum = spectrum.swapaxes(1, 2)
    signs = (-1.0) ** np.arange(COEFFICIENTS, dtype=np.float32)
    if down:
        spectrum = spectrum * signs[:, None]
    if across:
        spectrum = spectrum * signs
    return np.ascontiguousarray(spectrum.reshape(len(values), COEFFICIENTS**2)[:, 1:], np.float32)


def turned(pictures: Shaped[np.ndarray, "n s s ..."], view: str) -> Shaped[np.ndarray, "n s s ..."]:
    """Square pictures in another of `VIEWS`."""
    swapped, down, across = VIEWS[view]
    if swapped:
        pictures = pictures.swapaxes(1, 2)
    if down:
        pictures = pictures[:, ::-1]
    return pictures[:, :, ::-1] if across else pictures
