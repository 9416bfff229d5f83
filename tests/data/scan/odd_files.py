"""A folder with one file of every odd kind, and mutations of real image files; what is expected of each."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from jaxcam.data import drawn

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF")


def picture(seed: int = 0, size: int = 64) -> Image.Image:
    """A drawn picture, another one for every seed."""
    return Image.fromarray(drawn.draw(seed % len(drawn.CLASS_NAMES), np.random.default_rng(seed), size=size))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG file by hand: 16-bit colour and bombs cannot be written by Pillow."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(side: int = 12_000) -> bytes:
    """144 million pixels in a few kilobytes."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    return png(side, side, rows, depth=1)


def turned(kind: str, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = picture(3).crop((0, 0, 64, 40))
    return encoded(image, kind, exif=exif.tobytes())


def write_odd(folder: Path) -> dict[str, tuple[str, str]]:
    """One file of every odd kind in `folder`; name -> (status, note) that a scan should give it."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [picture(seed).quantize(32) for seed in range(3)]
    levels = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    deep = b"".join(b"\0" + row.astype(">u2").repeat(3).tobytes() for row in levels)
    alpha = picture(9)
    alpha.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))))
    files: dict[str, tuple[bytes, str, str]] = {
        "plain.png": (encoded(picture(1), "PNG"), "ok", ""),
        "zero.jpg": (b"", "empty", ""),
        "cut.jpg": (encoded(picture(2), "JPEG")[:-700], "truncated", ""),
        "cut.png": (encoded(picture(2), "PNG")[:-900], "truncated", ""),
        "cut.webp": (encoded(picture(2), "WEBP")[:-300], "truncated", ""),
        "cut.gif": (encoded(frames[0], "GIF")[:-300], "truncated", ""),
        "text.jpg": (b"not a picture at all", "not an image", ""),
        "data.db": (bytes(range(256)) * 4, "not an image", ""),
        "head.png": (b"\x89PNG\r\n\x1a\n" + bytes(300), "truncated", ""),
        "damaged.png": (encoded(picture(4), "PNG").replace(b"IDAT", b"IDAX"), "broken", ""),
        "really_png.jpg": (encoded(picture(5), "PNG"), "ok", "wrong extension"),
        "noextension": (encoded(picture(6), "PNG"), "ok", "no extension"),
        "animated.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "ok", "animated"),
        "animated.webp": (encoded(picture(7), "WEBP", save_all=True, append_images=[picture(8)]), "ok", "animated"),
        "pages.tif": (encoded(picture(20), "TIFF", save_all=True, append_images=[picture(8)]), "ok", "several pages"),
        "cmyk.jpg": (encoded(picture(10).convert("CMYK"), "JPEG"), "ok", "CMYK"),
        "cmyk.tif": (encoded(picture(11).convert("CMYK"), "TIFF"), "ok", "CMYK"),
        "deep_grey.png": (encoded(Image.fromarray(levels), "PNG"), "ok", "16-bit"),
        "deep_grey.tif": (encoded(Image.fromarray(levels.T.copy()), "TIFF"), "ok", "16-bit"),
        "deep_colour.png": (png(64, 64, zlib.compress(deep), depth=16, colour=2), "ok", "16-bit"),
        "alpha.png": (encoded(alpha, "PNG"), "ok", "alpha"),
        "palette.png": (encoded(picture(12).quantize(16), "PNG"), "ok", "palette"),
        "turned.jpg": (turned("JPEG"), "ok", "rotated"),
        "turned.tif": (turned("TIFF", 8), "ok", "rotated"),
        "small.png": (encoded(picture(13).resize((5, 7)), "PNG"), "ok", "tiny"),
        "long.png": (encoded(picture(14).resize((400, 40)), "PNG"), "ok", "long"),
        "huge.png": (encoded(Image.new("RGB", (4200, 4100), (9, 80, 200)), "PNG"), "ok", "huge"),
        "flat.png": (encoded(Image.new("RGB", (64, 64), (200, 10, 10)), "PNG"), "ok", "one colour"),
        "grey.jpg": (encoded(picture(15).convert("L"), "JPEG"), "ok", "grey"),
        "bomb.png": (bomb(), "too large", ""),
        "no_end.png": (encoded(picture(16), "PNG")[:-12], "ok", "end missing"),
        " spaces .png": (encoded(picture(17), "PNG"), "ok", "odd name"),
        "Twin.png": (encoded(picture(18), "PNG"), "ok", "same name"),
        "twin.png": (encoded(picture(19), "PNG"), "ok", "same name"),
        ".hidden.png": (encoded(picture(1), "PNG"), "hidden", ""),
        "Thumbs.db": (b"\xd0\xcf\x11\xe0", "hidden", ""),
        "bad\nname.png": (encoded(picture(1), "PNG"), "bad name", ""),
        os.fsdecode(b"bad\xff.png"): (encoded(picture(1), "PNG"), "bad name", ""),
    }
    expected = {}
    for name, (content, status, note) in files.items():
        (folder / name).write_bytes(content)
        expected[name] = (status, note)
    os.mkfifo(folder / "pipe.png")
    expected["pipe.png"] = ("not a file", "")
    os.symlink("plain.png", folder / "link.png")
    expected["link.png"] = ("ok", "link")
    os.symlink("nowhere.png", folder / "broken_link.png")
    expected["broken_link.png"] = ("link", "")
    os.symlink("/", folder / "to_folder")
    expected["to_folder"] = ("link", "")
    return expected


def write_mutations(folder: Path, *, seed: int, count: int) -> list[str]:
    """`count` damaged copies of JPEG, PNG, WebP, GIF and TIFF files; their names. Half are hit in their headers."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    endings = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif"}
    names = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        image = picture(int(generator.integers(1000)))
        options = {"compression": "tiff_lzw"} if kind == "TIFF" and number % 2 else {}
        data = bytearray(encoded(image.quantize(64) if kind == "GIF" else image, kind, **options))
        reach = min(len(data), 200) if number % 2 else len(data)
        for position in generator.integers(0, reach, generator.integers(1, 12)):
            data[position] = generator.integers(256)
        if number % 10 == 0:
            data = data[: generator.integers(1, len(data))]
        elif number % 10 == 1:
            data[len(data) // 2 : len(data) // 2] = generator.bytes(int(generator.integers(1, 400)))
        names.append(f"mutation{number:03d}.{endings[kind]}")
        (folder / names[-1]).write_bytes(data)
    return names
