"""What the bytes of an image file say beside its pixels: where it should end, its depth, its frames, its quality."""

import math
import os
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import ExifTags, Image

from jaxcam.data.image_files import format_by_start

SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG",
    ".png": "PNG", ".apng": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".dib": "BMP",
    ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
"""a file's ending -> the format that it promises"""
_TAIL = 65_536

# The luminance table of the JPEG standard (ITU-T T.81, table K.1); libjpeg scales it by the quality.
_STANDARD = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
     51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120,
     101, 72, 92, 95, 98, 112, 100, 103, 99]
)  # fmt: skip

_QUALITIES = np.arange(1, 101)[:, None]
_SCALES = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)
_SUMS = np.clip((_STANDARD * _SCALES + 50) // 100, 1, 255).sum(axis=1)


def problem(path: str, reason: str) -> str:
    """The kind of trouble behind a reason for which a file was refused."""
    if reason == "empty file":
        return "empty"
    if reason == "not a regular file":
        return "not a file"
    if "over the limit of" in reason:
        return "too large"
    if reason == "not enough memory":
        return "too large"
    head = _read(path, 0, 32)
    if head is None:
        return "no access"
    if not format_by_start(head):
        return "not an image"
    return "truncated" if ends_early(path) or "truncated" in reason.lower() else "broken"


def ends_early(path: str) -> bool:
    """Whether a file lacks the end that its format has; False for TIFF, which has none, and for what is no image."""
    head = _read(path, 0, 32)
    if not head:
        return False
    try:
        size = os.path.getsize(path)
    except OSError:
        return False
    tail = _read(path, max(0, size - _TAIL), _TAIL) or b""
    if head.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" not in tail
    if head.startswith(b"GIF8"):
        return b"\x3b" not in tail[-1024:]
    if head.startswith(b"RIFF") and len(head) >= 8:
        return struct.unpack("<I", head[4:8])[0] + 8 > size
    if head.startswith(b"BM") and len(head) >= 6:
        return struct.unpack("<I", head[2:6])[0] > size
    return False


def header_notes(path: str, image: Image.Image) -> list[str]:
    """What is odd by the name, the header and the end of an opened image."""
    notes = []
    found = "JPEG" if image.format == "MPO" else image.format
    suffix = os.path.splitext(path)[1].lower()
    if not suffix:
        notes.append("no extension")
    elif SUFFIXES.get(suffix) != found:
        notes.append("wrong extension")
    if _depth(path, image) > 8:
        notes.append("16-bit")
    if ends_early(path):
        notes.append("end missing")
    if image.format == "TIFF" and _tag(image, ExifTags.Base.Orientation) not in (None, 1):
        notes.append("rotated")
    return notes


def frame_notes(image: Image.Image) -> list[str]:
    """Whether the file holds more than the picture that is used; called last, for it moves on in the file."""
    try:
        several = bool(getattr(image, "is_animated", False))
    except Exception:  # later frames may be broken in any way, the first is what counts
        several = True
    if not several:
        return []
    return ["several pages"] if image.format in ("TIFF", "MPO") else ["animated"]


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> float:
    """The quality, 1 to 100, at which libjpeg makes the table that comes nearest to a file's; NaN without tables.

    Pillow gives the tables in zigzag or natural order, by version; only the sum is used here.
    """
    table = np.asarray(tables.get(0, ()), np.float64)
    if table.size != 64 or not np.isfinite(table).all():
        return math.nan
    return float(1 + np.abs(_SUMS - table.sum()).argmin())


def _depth(path: str, image: Image.Image) -> int:
    """Bits of a sample, for formats that have more than 8."""
    if image.format == "PNG":
        head = _read(path, 0, 32) or b""
        return head[24] if len(head) > 24 and head[12:16] == b"IHDR" else 8
    if image.format == "TIFF":
        bits = _tag(image, 258)
        values = bits if isinstance(bits, tuple) else (bits,)
        return max((bit for bit in values if isinstance(bit, int)), default=8)
    return 8


def _tag(image: Image.Image, number: int) -> object:
    try:
        return image.tag_v2.get(number)  # type: ignore[attr-defined]
    except Exception:  # the tags of a broken TIFF raise anything
        return None


def _read(path: str, start: int, count: int) -> bytes | None:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(count)
    except OSError:
        return None
