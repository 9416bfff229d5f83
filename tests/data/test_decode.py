"""Decoding: every mode and format, orientation, damage, and the promise of equality with Pillow's own resize."""

import io
import os
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import shared
from PIL import ExifTags, Image, ImageOps

from jaxcam.data.decode import MAX_PIXELS, UnreadableImage, decode, probe, to_pixels
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

SIZE = (20, 32)


def settings(size=SIZE, **changes):
    return Preprocessing(size=size, **changes)


def scene(width=64, height=40, seed=0):
    """A picture without symmetry: smooth colours, a red patch at the upper left, some noise."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / width, y * 255 / height, (x + y) * 127 / (width + height)], -1)
    pixels += np.random.default_rng(seed).normal(0, 8, pixels.shape)
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(folder, image, name, **options):
    path = folder / name
    image.save(path, **options)
    return path


def reference(image, size=SIZE, resample=Image.Resampling.BILINEAR):
    return np.asarray(image.convert("RGB").resize(size[::-1], resample))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width, height, depth=1, colour=0):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.gif", "a.tif", "a.mpo", "deflate.tif", "progressive.jpg"]
)
def test_every_format_equals_pillow(tmp_path, name):
    options = {"deflate.tif": {"compression": "tiff_deflate"}, "progressive.jpg": {"progressive": True}}.get(name, {})
    path = saved(tmp_path, scene(), name, **options)
    with Image.open(path) as image:
        np.testing.assert_array_equal(decode(path, settings()), reference(image))


def test_the_suffix_does_not_matter(tmp_path):
    png = saved(tmp_path, scene(), "picture.png")
    renamed = png.rename(tmp_path / "picture.jpg")
    assert probe(renamed) == (64, 40, "PNG")
    np.testing.assert_array_equal(decode(renamed, settings()), reference(scene()))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LAB", "YCbCr"])
def test_modes_that_pillow_converts(tmp_path, mode):
    image = Image.fromarray(np.asarray(scene()), "RGB")
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    path = saved(tmp_path, image, "picture.tif" if mode in ("CMYK", "LAB", "YCbCr") else "picture.png")
    with Image.open(path) as stored:
        assert stored.mode == mode
        np.testing.assert_array_equal(decode(path, settings()), reference(stored))


def test_cmyk_jpeg(tmp_path):
    path = saved(tmp_path, scene().convert("CMYK"), "picture.jpg", quality=95)
    assert np.abs(decode(path, settings()).astype(int) - reference(scene())).mean() < 3


@pytest.mark.parametrize("name", ["picture.png", "picture.webp", "picture.tif"])
def test_constant_alpha_is_dropped_exactly(tmp_path, name):
    image = scene()
    image.putalpha(255)
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, image, name, **options)
    np.testing.assert_array_equal(decode(path, settings()), reference(scene()))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P bytes", "P index", "RGB colour", "L level"])
def test_transparent_parts_are_white(tmp_path, mode):
    image = Image.new("RGBA", (64, 40), (10, 10, 10, 255))
    image.paste((10, 10, 10, 0), (0, 0, 32, 40))
    options = {}
    if mode == "LA":
        image = image.convert("LA")
    elif mode == "PA":
        image = image.convert("PA")
    elif mode.startswith("P "):
        alpha = np.asarray(image.getchannel("A"))
        image = Image.fromarray((alpha == 0).astype(np.uint8))
        image.putpalette([10, 10, 10, 200, 0, 0])
        options = {"transparency": 1 if mode == "P index" else bytes([255, 0])}
    elif mode == "RGB colour":
        image = Image.new("RGB", (64, 40), (10, 10, 10))
        image.paste((1, 2, 3), (0, 0, 32, 40))
        options = {"transparency": (1, 2, 3)}
    elif mode == "L level":
        image = Image.new("L", (64, 40), 10)
        image.paste(7, (0, 0, 32, 40))
        options = {"transparency": 7}
    path = saved(tmp_path, image, "picture.tif" if mode == "PA" else "picture.png", **options)
    pixels = decode(path, settings(resize="nearest"))
    np.testing.assert_array_equal(pixels[:, :16], 255)
    np.testing.assert_array_equal(pixels[:, 16:], 10)


def test_premultiplied_alpha(tmp_path):
    """A TIFF may say that its colours are multiplied by alpha already."""
    path = saved(tmp_path, Image.new("RGBA", (8, 8), (0, 20, 40, 51)), "picture.tif")
    unassociated, associated = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    data = path.read_bytes()
    assert data.count(unassociated) == 1
    path.write_bytes(data.replace(unassociated, associated))
    np.testing.assert_array_equal(decode(path, settings((2, 2)))[0, 0], [204, 224, 244])


def test_half_transparent_is_blended_with_white(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (8, 8), (0, 100, 200, 51)), "picture.png")
    np.testing.assert_array_equal(decode(path, settings((2, 2)))[0, 0], [204, 224, 244])


@pytest.mark.parametrize("name", ["picture.png", "picture.tif", "big_endian.tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path, name):
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (4, 1))
    path = tmp_path / name
    if name == "big_endian.tif":
        Image.frombytes("I;16B", (256, 4), ramp.astype(">u2").tobytes()).save(path)
    else:
        Image.fromarray(ramp).save(path)
    with Image.open(path) as stored:
        assert stored.mode == ("I;16B" if name == "big_endian.tif" else "I;16")
    expected = np.repeat(np.round(ramp / 257).astype(np.uint8)[..., None], 3, -1)
    np.testing.assert_array_equal(decode(path, settings((4, 256))), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([[0, 0.5, 1]]), [0, 128, 255]),
        (np.float32([[0, 127.6, 255]]), [0, 128, 255]),
        (np.float32([[0, 257, 65535]]), [0, 1, 255]),
        (np.int32([[0, 1, 255]]), [0, 1, 255]),
        (np.int32([[0, 257, 65535]]), [0, 1, 255]),
    ],
)
def test_32_bit_grey_takes_the_smallest_white_that_holds_it(tmp_path, values, expected):
    path = saved(tmp_path, Image.fromarray(values), "picture.tif")
    np.testing.assert_array_equal(decode(path, settings((1, 3)))[0, :, 0], expected)


@pytest.mark.parametrize("values", [np.float32([[-1, 0]]), np.float32([[0, np.nan]]), np.int32([[0, 70000]])])
def test_32_bit_grey_of_unknown_range_is_refused(tmp_path, values):
    path = saved(tmp_path, Image.fromarray(values), "picture.tif")
    with pytest.raises(UnreadableImage, match="grey levels"):
        decode(path, settings())


def test_first_frame_of_an_animation(tmp_path):
    frames = [scene(seed=seed).quantize(32) for seed in range(3)]
    path = saved(tmp_path, frames[0], "picture.gif", save_all=True, append_images=frames[1:])
    with Image.open(path) as first:
        np.testing.assert_array_equal(decode(path, settings()), reference(first))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "packed.tif"])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_orientation(tmp_path, name, orientation, fit):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"packed.tif": {"compression": "tiff_lzw"}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path, scene(), name, exif=exif.tobytes(), **options)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert upright.size == ((64, 40) if orientation < 5 else (40, 64))
    fitted = ImageOps.fit(upright, SIZE[::-1], Image.Resampling.BILINEAR) if fit == "crop" else upright
    np.testing.assert_array_equal(decode(path, settings(fit=fit)), reference(fitted))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_large_jpegs_are_reduced_while_decoding(tmp_path, orientation, fit):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # 1001 x 759 at 1/8 has a last column and row that are covered only in part.
    path = saved(tmp_path, scene(1001, 759), "picture.jpg", exif=exif.tobytes(), quality=95)
    size = (21, 30)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    if fit == "crop":
        expected = ImageOps.fit(upright, size[::-1], Image.Resampling.BILINEAR)
    else:
        expected = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    difference = np.abs(decode(path, settings(size, fit=fit)).astype(int) - np.asarray(expected))
    assert difference.max() > 0  # it was reduced
    assert difference.mean() < 0.6
    assert difference.max() < 16  # at the edge of the red patch; one pixel off gives 100 and more
    exact = reference(upright, size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(decode(path, settings(size, resize="nearest")), exact)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_exif_does_not_lose_the_picture(tmp_path):
    path = saved(tmp_path, scene(), "picture.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 30)
    assert decode(path, settings()).shape == (*SIZE, 3)


@pytest.mark.parametrize("resize", ["bilinear", "nearest", "bicubic"])
def test_filters_and_crop(tmp_path, resize):
    path = saved(tmp_path, scene(101, 67), "picture.png")
    resample = Image.Resampling[resize.upper()]
    np.testing.assert_array_equal(decode(path, settings(resize=resize)), reference(scene(101, 67), resample=resample))
    cropped = ImageOps.fit(scene(101, 67), (24, 24), resample)
    np.testing.assert_array_equal(decode(path, settings((24, 24), resize=resize, fit="crop")), np.asarray(cropped))


def test_nearest_at_the_size_of_the_article(tmp_path):
    path = saved(tmp_path, scene(800, 450), "picture.png")
    expected = reference(scene(800, 450), (360, 640), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(decode(path, settings((360, 640), resize="nearest")), expected)


@pytest.mark.parametrize("shape", [(1, 1), (5000, 1), (1, 5000)])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_extreme_shapes(tmp_path, shape, fit):
    path = saved(tmp_path, Image.new("RGB", shape, (1, 2, 3)), "picture.png")
    np.testing.assert_array_equal(decode(path, settings(fit=fit)), np.broadcast_to(np.uint8([1, 2, 3]), (*SIZE, 3)))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif"])
@pytest.mark.parametrize("part", [0.3, 0.7])
def test_truncated(tmp_path, name, part):
    path = saved(tmp_path, scene(200, 150), name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UnreadableImage) as caught:
        decode(path, settings())
    assert 0 < len(caught.value.reason) <= 120
    assert "\n" not in caught.value.reason
    assert str(tmp_path) not in caught.value.reason


def test_what_is_no_image(tmp_path):
    text = tmp_path / "picture.jpg"
    text.write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "vector.svg").write_text("<svg/>")
    for name, reason in {
        "picture.jpg": "no JPEG",
        "empty.png": "empty file",
        "folder.png": "not a regular file",
        "pipe.png": "not a regular file",
        "vector.svg": "no JPEG",
        "missing.png": "No such file",
    }.items():
        for function in (probe, lambda path: decode(path, settings())):
            with pytest.raises(UnreadableImage, match=reason):
                function(tmp_path / name)


def test_formats_beyond_the_list_are_refused(tmp_path):
    path = saved(tmp_path, scene(), "picture.ppm")
    with pytest.raises(UnreadableImage, match="no JPEG"):
        probe(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9500, 30000])
def test_decompression_bomb(tmp_path, side):
    """9500 squared is where Pillow only warns, 30000 squared where it refuses; the file has a few kilobytes."""
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(bytes(side // 8 + 1)) for _ in range(side)) + rows.flush()
    path = tmp_path / "picture.png"
    path.write_bytes(png_header(side, side) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    assert side * side > MAX_PIXELS
    for function in (probe, lambda path: decode(path, settings())):
        with pytest.raises(UnreadableImage, match="over the limit of 89478485 pixels"):
            function(path)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells what it skips in a broken file
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "TIFF lzw"])
def test_mutated_bytes_decode_or_are_refused(tmp_path, kind):
    options = {"compression": "tiff_lzw"} if kind == "TIFF lzw" else {}
    image = scene(90, 60)
    original = encoded(image.quantize(16) if kind == "GIF" else image, kind.split()[0], **options)
    generator = np.random.default_rng(7)
    path = tmp_path / "picture"
    reasons = []
    for round_ in range(100):
        data = bytearray(original)
        # Half of the rounds hit the header, where sizes, offsets and counts stand.
        reach = min(len(data), 200) if round_ % 2 else len(data)
        for position in generator.integers(0, reach, generator.integers(1, 12)):
            data[position] = generator.integers(256)
        if round_ % 10 == 0:
            data = data[: generator.integers(1, len(data))]
        path.write_bytes(data)
        try:
            pixels = decode(path, settings())
        except UnreadableImage as error:
            reasons.append(error.reason)
        else:
            assert pixels.shape == (*SIZE, 3)
            assert pixels.dtype == np.uint8
    assert reasons
    assert all(0 < len(reason) <= 120 for reason in reasons)


def test_threads_give_the_same_pixels(tmp_path):
    paths = []
    for number in range(24):
        image = scene(200 + number, 150, seed=number)
        paths.append(saved(tmp_path, image, f"{number}.{('jpg', 'png', 'gif', 'webp', 'tif')[number % 5]}"))
    alone = [decode(path, settings()) for path in paths]
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: decode(path, settings()), paths * 4))
    np.testing.assert_array_equal(np.stack(together), np.stack(alone * 4))
    assert threading.active_count() == before


def test_to_pixels_takes_files_images_and_arrays(tmp_path):
    path = saved(tmp_path, scene(), "picture.png")
    expected = reference(scene())
    for images in (path, str(path), scene(), [path], [scene()], [np.asarray(scene())], np.asarray(scene())[None]):
        np.testing.assert_array_equal(to_pixels(images, settings()), expected[None])
    mixed = to_pixels([path, scene(), np.asarray(scene())], settings())
    np.testing.assert_array_equal(mixed, np.stack([expected] * 3))
    assert to_pixels([], settings()).shape == (0, *SIZE, 3)
    one = np.asarray(scene())
    for images in (one, one.astype(np.float64), [one.astype(np.int64)], np.dstack([one, np.full(one.shape[:2], 255)])):
        np.testing.assert_array_equal(to_pixels(images, settings()), expected[None])
    np.testing.assert_array_equal(to_pixels(one / 255, settings(), value_range=(0, 1)), expected[None])
    grey = one[..., 0]
    for images in ([grey], [grey[..., None]], grey[None, ..., None]):
        np.testing.assert_array_equal(to_pixels(images, settings()), reference(Image.fromarray(grey))[None])


def test_to_pixels_names_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"missing\.png: No such file"):
        to_pixels([tmp_path / "missing.png"], settings())
    for wrong in (np.zeros((2, 3, 8, 8), np.uint8), np.zeros((9, 8, 8), np.uint8), np.zeros(9, np.uint8), ["a", 1], 7):
        with pytest.raises(UserError, match=r"uint8 arrays|No such file|pictures are \(h, w, 3\)"):
            to_pixels(wrong, settings())
    with pytest.raises(
        UserError, match=r"image 1: got a float64 array with values 0 to 0.998: it looks divided by 255"
    ):
        to_pixels([scene(), np.asarray(scene()) / 255.5], settings())


def test_real_pictures_with_constant_alpha():
    path = shared() / "bart-vs-homer" / "InFrontOfHouse" / "Valid" / "Bart"
    for file in sorted(path.iterdir()):
        with Image.open(file) as image:
            assert image.mode == "RGBA"
            expected = reference(image, (360, 640), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(decode(file, settings((360, 640), resize="nearest")), expected)
