"""Arrays as pictures: what is unmistakably RGB in 0..255 is taken, anything else is refused in one line.

A classifier normalises its input itself. Pictures that were scaled or normalised before give answers without sense and
often with high confidence, so a guess is never made: `value_range` says what the caller knows.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxcam.errors import UserError

ValueRange = tuple[float, float]
ADVICE = "give the uint8 picture; the classifier normalises itself"
_SLACK = 1e-3  # of the range: resizing in float32 overshoots by rounding


def to_uint8(array: Any, *, value_range: ValueRange | None = None, name: str = "image") -> np.ndarray:
    """An array's values as uint8 0..255; its shape stays.

    uint8 is taken as it is, other integers where they lie in 0..255, floats where they are whole numbers in 0..255.
    With `value_range` = (black, white) values of any real type are scaled from that range and rounded. Raises
    `UserError` for what looks divided by 255 (nothing above 1) or normalised (below 0), for NaN and infinity, for
    values past 255, and for fractions.
    """
    values = plain(array, name)
    if value_range is not None:
        return _scaled(values, value_range, name)
    if values.dtype == np.uint8:
        return values
    if values.size == 0:
        raise UserError(f"{name}: got an empty array of shape {values.shape}; {ADVICE}")
    got = f"{name}: got a {values.dtype} array"
    if not np.isfinite(values).all():
        raise UserError(f"{got} with NaN or infinite values; pictures have values from 0 to 255")
    low, high = float(values.min()), float(values.max())
    span = f"{got} with values {low:.4g} to {high:.4g}"
    if low < 0:
        raise UserError(
            f"{span}: below 0, so it looks normalised already; {ADVICE}, or give value_range=(black, white) if the "
            "values are only shifted and scaled alike in all channels"
        )
    if high > 255:
        raise UserError(f"{span}: above 255; give uint8, or value_range=(0, 65535) for 16-bit pictures")
    if high <= 1:
        raise UserError(f"{span}: it looks divided by 255 already; {ADVICE}, or give value_range=(0, 1)")
    rounded = np.rint(values) if values.dtype.kind == "f" else values
    if not np.array_equal(rounded, values):
        raise UserError(
            f"{span} that are no whole numbers; {ADVICE}, or give value_range=(0, 255) where 255 is white (it rounds)"
        )
    return rounded.astype(np.uint8)


def to_picture(array: Any, *, value_range: ValueRange | None = None, name: str = "image") -> Image.Image:
    """One picture (h, w, 3), RGBA (h, w, 4) or grey (h, w) and (h, w, 1) as a PIL image; raises `UserError`."""
    values = plain(array, name)
    grey = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 1)
    if not grey and not (values.ndim == 3 and values.shape[2] in (3, 4)):
        raise UserError(f"{name}: got {_shape(values)}; pictures are (h, w, 3){_hint(values, 3)}")
    if 0 in values.shape:
        raise UserError(f"{name}: got {_shape(values)}, which holds no pixel; pictures are (h, w, 3)")
    found = to_uint8(values, value_range=value_range, name=name)
    # An own copy: PIL may keep a view, and a caller may reuse his buffer.
    return Image.fromarray(np.ascontiguousarray(found[..., 0] if grey and found.ndim == 3 else found))


def pictures(array: Any, *, value_range: ValueRange | None = None) -> list[Any]:
    """The pictures of one array: (n, h, w, 3), or a single one (h, w, 3). Raises `UserError`.

    Values are checked over all pictures together: among others a black picture is no doubt.
    """
    values = plain(array, "images")
    if values.ndim == 3 and values.shape[-1] in (3, 4) and values.shape[0] not in (1, 3):
        values = values[None]
    if values.ndim != 4 or values.shape[-1] not in (1, 3, 4):
        raise UserError(f"images: got {_shape(values)}; images are RGB uint8 arrays (n, h, w, 3){_hint(values, 4)}")
    if len(values) == 0:
        return []
    if 0 in values.shape:
        raise UserError(f"images: got {_shape(values)}, which holds no pixel; images are (n, h, w, 3)")
    return list(to_uint8(values, value_range=value_range, name="images"))


def plain(array: Any, name: str) -> np.ndarray:
    """The array as NumPy's, of integers or floats; raises `UserError` for anything else."""
    try:
        values = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors on a device or with gradients
        raise UserError(f"{name}: {type(array).__name__} gives no array ({error}); give a NumPy array") from error
    if values.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        values = values.astype(np.float32)
    if values.dtype.kind not in "uif":
        wanted = "images are files, PIL images or RGB uint8 arrays"
        raise UserError(f"{name}: got {type(array).__name__} with values of type {values.dtype}; {wanted}")
    return values


def _scaled(values: np.ndarray, value_range: ValueRange, name: str) -> UInt8[np.ndarray, "..."]:
    low, high = (float(end) for end in value_range)
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(f"value_range is {value_range}; it must be two numbers, black first and white above it")
    if not np.isfinite(values).all():
        raise UserError(f"{name}: got a {values.dtype} array with NaN or infinite values")
    if values.size and (values.min() < low - _SLACK * (high - low) or values.max() > high + _SLACK * (high - low)):
        raise UserError(
            f"{name}: got values {float(values.min()):.4g} to {float(values.max()):.4g}, outside of "
            f"value_range=({low:g}, {high:g})"
        )
    if values.size and (low, high) == (0.0, 255.0) and values.dtype.kind == "f" and 0 < values.max() <= 1:
        raise UserError(
            f"{name}: got values up to {float(values.max()):.4g} with value_range=(0, 255): all of it would be black; "
            "value_range=(0, 1)?"
        )
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _shape(values: np.ndarray) -> str:
    return f"a {values.dtype} array of shape {values.shape}"


def _hint(values: np.ndarray, dimensions: int) -> str:
    if values.ndim in (3, dimensions) and values.shape[-3] in (1, 3, 4):
        order = "0, 2, 3, 1" if values.ndim == 4 else "1, 2, 0"
        return f" with the channels last: give x.transpose({order})"
    return ", not normalised yet"
