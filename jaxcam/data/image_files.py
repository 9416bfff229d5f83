"""Files that nobody vouches for: opened, refused or read as RGB, within a known amount of memory.

No JAX here: the processes of `jaxcam data scan` import this module alone. Nothing changes Pillow's settings or Python's
warning filters, so that any number of threads may read; together they hold at most `MAX_MEMORY`.
"""

import ctypes
import io
import math
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Pillow's names of the formats that are tried; a file's suffix plays no part"""
MAX_PIXELS = 89_478_485
"""larger pictures are refused (the size over which Pillow warns of a decompression bomb)"""
MAX_MEMORY = 448 * 2**20
"""bytes that decoding may take, in all threads together; a picture that alone needs more is refused"""
LARGE = 2**24
"""pixels from which on a picture is converted in bands, and reduced on the way where a smaller one is wanted"""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""what turns the pixels of an EXIF orientation upright"""
NO_IMAGE = "no JPEG, PNG, WebP, BMP, GIF or TIFF image"
_EXIF_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, OSError, struct.error, Warning)
_REASON_LENGTH = 120
_BAND = 2**21
_TRIMMED = 2**25

Image.init()  # registers the formats now, not from several threads at the first picture


class UnreadableImage(Exception):
    """A file that is not a picture, or a broken, refused or unsupported one; `reason` is one short line."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@contextmanager
def opened(path: str | os.PathLike | bytes) -> Iterator[Image.Image]:
    """Open a picture without reading its pixels; whatever goes wrong, here or in the caller's block, is wrapped."""
    with wrapped():
        if not isinstance(path, bytes) and not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableImage("not a regular file")  # opening a named pipe would wait for ever
        if not (len(path) if isinstance(path, bytes) else os.stat(path).st_size):
            raise UnreadableImage("empty file")
        with (
            io.BytesIO(path) if isinstance(path, bytes) else open(path, "rb") as file,
            _identified(file) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{image.width}x{image.height}, over the limit of {MAX_PIXELS} pixels")
            yield image


def _identified(file: Any) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if kind := format_by_start(file.read(16)):
            raise UnreadableImage(f"starts like a {kind} file, but is cut off or damaged") from None
        raise


def format_by_start(head: bytes) -> str:
    """The format whose files start like these bytes; empty for none that is read."""
    starts = {
        b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF",
        b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
    }  # fmt: skip
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "BMP"
    return next((kind for start, kind in starts.items() if head.startswith(start)), "")


def probe(path: str | os.PathLike | bytes) -> tuple[int, int, str]:
    """Width, height and format by the header alone, before any EXIF orientation; cheap (about 0.2 ms).

    Raises `UnreadableImage`. A file that passes may still fail in `decode`.
    """
    with opened(path) as image:
        return image.width, image.height, "JPEG" if image.format == "MPO" else str(image.format)


@contextmanager
def wrapped() -> Iterator[None]:
    """Turn every exception into `UnreadableImage`: what Pillow raises for hostile bytes is not enumerable."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error)) from error


def _reason(error: Exception) -> str:
    """One short line for an exception from Pillow or the file system, without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return NO_IMAGE
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"over the limit of {MAX_PIXELS} pixels"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split()) or type(error).__name__
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 3] + "..."


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a loaded picture, 1 to 8; 1 where there is none, or where the EXIF block is broken."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _EXIF_ERRORS:
        return 1
    return int(value) if value in TURNS else 1


def header_orientation(image: Image.Image) -> int:
    """The EXIF orientation as far as the header tells it: that of a JPEG; 1 for the others.

    Asking for another format's orientation decodes the pixels, and a failure of that would go unnoticed.
    """
    return orientation(image) if image.format in ("JPEG", "MPO") else 1


class _Room:
    """Bytes that are free for decoding; who needs more than is left waits for the others."""

    def __init__(self, total: int):
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, need: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= need)
            self._free -= need
        try:
            yield
        finally:
            if need > _TRIMMED:
                _give_back()
            with self._changed:
                self._free += need
                self._changed.notify_all()


_ROOM = _Room(MAX_MEMORY)


def _give_back() -> None:
    """Return freed memory to the system: glibc keeps what each thread has freed, and no other thread can use it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library


@contextmanager
def room(image: Image.Image, full: tuple[int, int], *, reduced: bool) -> Iterator[None]:
    """Wait until an opened picture can be decoded within `MAX_MEMORY`, and hold that room in the block.

    `full` is its size before a JPEG was asked for a reduced scale; `reduced` says that `upright_rgb` gets factors
    other than one if it is large. Raises `UnreadableImage` where the room would never do.
    """
    need = memory_needed(image, full, reduced=reduced)
    if need > MAX_MEMORY:
        width, height = full
        raise UnreadableImage(
            f"{width}x{height} {image.format} takes {need >> 20} MiB to decode, over the limit of {MAX_MEMORY >> 20}"
        )
    with _ROOM.taken(need):
        yield


def memory_needed(image: Image.Image, full: tuple[int, int], *, reduced: bool) -> int:
    """Bytes that decoding and converting an opened picture takes at most, by its header.

    Measured at 81 million pixels, in bytes a pixel: PNG, baseline JPEG, TIFF and BMP 4.1, palettes and grey 1.1, WebP
    16.1 (its decoder holds the picture four times), progressive JPEG 10.1 (all coefficients).
    """
    deep = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}.get(image.mode, 4)
    pixels = image.width * image.height
    need = pixels * deep
    if image.format == "WEBP":
        need = 16 * pixels
    elif image.format in ("JPEG", "MPO") and (image.info.get("progressive") or image.info.get("progression")):
        layers = getattr(image, "layer", [])
        largest = max((layer[1] * layer[2] for layer in layers), default=1)
        need += int(2 * full[0] * full[1] * sum(layer[1] * layer[2] for layer in layers) / largest)
    elif image.format == "TIFF" and (tags := getattr(image, "tag_v2", None)):
        rows = tags.get(278, image.height)  # rows a strip; a strip is decompressed whole
        rows = rows if isinstance(rows, int) and 0 < rows < image.height else image.height
        need += rows * image.width * deep
    plain = image.mode == "RGB"
    if pixels <= LARGE:
        return need + (4 if plain else 12) * pixels
    return need + (0 if reduced or (plain and header_orientation(image) == 1) else 4 * pixels)


def upright_rgb(image: Image.Image, factors: tuple[int, int] = (1, 1)) -> Image.Image:
    """A loaded picture as RGB, reduced by `factors` (across, down) by the mean of boxes, then turned upright.

    Alpha is laid over white; deep grey levels are scaled (see `decode`). A large picture is converted band by band, so
    that no second one of its size exists. Raises `UnreadableImage` for 32-bit grey of an unknown range.
    """
    turn = TURNS.get(orientation(image))  # after loading: Pillow turns a TIFF itself, and some tags lie at the end
    picture = _reduced(image, factors)
    return picture if turn is None else picture.transpose(turn)


def _reduced(image: Image.Image, factors: tuple[int, int]) -> Image.Image:
    white = _white(image)
    if image.width * image.height <= LARGE and factors == (1, 1):
        return _to_rgb(image, white)
    if image.mode == "RGB" and not image.has_transparency_data and factors == (1, 1):
        return image
    whole = Image.new("RGB", (math.ceil(image.width / factors[0]), math.ceil(image.height / factors[1])))
    for top, band in bands(image, factors[1]):
        part = _to_rgb(band, white)
        whole.paste(part if factors == (1, 1) else part.reduce(factors), (0, top // factors[1]))
    return whole


def bands(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """The picture from top to bottom in pieces of about two million pixels, each with its top row.

    Heights are multiples of `multiple`, but for the last one's.
    """
    height = max(1, _BAND // (image.width * multiple)) * multiple
    for top in range(0, image.height, height):
        yield top, image.crop((0, top, image.width, min(top + height, image.height)))


def _to_rgb(image: Image.Image, white: int) -> Image.Image:
    """Any of Pillow's modes as 8-bit RGB."""
    if white:
        image = _eight_bit(image, white)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    blended = image.convert("RGBA")
    alpha, colours = blended.getchannel("A"), blended.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return colours
    paper = Image.new("RGB", colours.size, "white")
    paper.paste(colours, mask=alpha)
    return paper


def _white(image: Image.Image) -> int:
    """The level that stands for white in a deep grey picture; 0 for the others."""
    if image.mode.startswith("I;16"):
        return 65535
    if image.mode not in ("I", "F"):
        return 0
    lows, highs = zip(
        *((values.min(), values.max()) for values in (np.asarray(b) for _, b in bands(image))), strict=True
    )
    low, high = float(np.min(lows)), float(np.max(highs))
    # Such a file does not say what its white is, and its own maximum would change with every picture.
    whites = [white for white in ((1, 255, 65535) if image.mode == "F" else (255, 65535)) if high <= white]
    if not (low >= 0 and whites):  # NaN fails here too
        raise UnreadableImage(f"32-bit grey levels from {low:g} to {high:g}; only 0..1, 0..255 and 0..65535 are known")
    return whites[0]


def _eight_bit(image: Image.Image, white: int) -> Image.Image:
    """Deep grey levels as 8-bit ones, rounded; Pillow's own conversion clips them."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    return Image.fromarray((values * (255 / white) + 0.5).astype(np.uint8))
