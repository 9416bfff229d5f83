"""Large pictures: reduced in bands, within a known amount of memory; and broken ones that must not slip through."""

import io
import threading

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from jaxcam.data import decode as decoding
from jaxcam.data import image_files
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.preprocessing import Preprocessing


def scene(width, height):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 31) * 90 + 120, np.cos(y / 23) * 80 + 110, (x + y) * 200 / (width + height)]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8))


@pytest.fixture
def everything_is_large(monkeypatch):
    for module in (decoding, image_files):
        monkeypatch.setattr(module, "LARGE", 1000)
    monkeypatch.setattr(image_files, "_BAND", 5000)


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
def test_large_pictures_are_reduced(tmp_path, orientation, fit, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image, path = scene(431, 307), tmp_path / f"x.{kind}"
    image.save(path, exif=exif.tobytes(), **({"lossless": True} if kind == "webp" else {}))
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    size = (40, 30)
    whole = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    expected = ImageOps.fit(upright, size[::-1], Image.Resampling.BILINEAR) if fit == "crop" else whole
    difference = np.abs(decode(path, Preprocessing(size=size, fit=fit)).astype(int) - np.asarray(expected))
    assert difference.max() > 0  # it was reduced
    assert difference.mean() < 1
    assert difference.max() < 8
    nearest = upright.resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(decode(path, Preprocessing(size=size, resize="nearest")), np.asarray(nearest))


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK", "P", "L", "1", "I;16", "F", "I"])
@pytest.mark.parametrize("resize", ["bilinear", "nearest"])
def test_large_pictures_of_every_mode(tmp_path, mode, resize, monkeypatch):
    image = scene(300, 200)
    if mode in ("I;16", "I", "F"):
        levels = np.asarray(image.convert("L")).astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        image = Image.fromarray(levels * (257 if mode != "F" else 1))
    else:
        image = image.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(scene(300, 200).getchannel(0))
    path = tmp_path / ("x.tif" if mode in ("CMYK", "F", "I") else "x.png")
    image.save(path)
    settings = Preprocessing(size=(25, 30), resize=resize)
    reduced = decode(path, settings).astype(int)
    for module in (decoding, image_files):
        monkeypatch.setattr(module, "LARGE", 10**9)
    whole = decode(path, settings)
    assert np.abs(reduced - whole).mean() < (0.01 if resize == "nearest" else 2)


def test_who_needs_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_MEMORY", 1 << 20)
    path = tmp_path / "x.webp"
    scene(400, 300).save(path)
    with pytest.raises(UnreadableImage, match="400x300 WEBP takes 2 MiB to decode, over the limit of 1"):
        decode(path, Preprocessing(size=(10, 10)))
    small = tmp_path / "y.webp"
    scene(40, 30).save(small)
    assert decode(small, Preprocessing(size=(10, 10))).shape == (10, 10, 3)


def test_who_finds_no_room_waits():
    room, order = image_files._Room(100), []
    inside, leave = threading.Event(), threading.Event()

    def first():
        with room.taken(80):
            inside.set()
            leave.wait(10)
            order.append("first")

    def second():
        with room.taken(50):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    with room.taken(20):
        assert order == []
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def test_room_is_free_after_a_failure(tmp_path):
    buffer = io.BytesIO()
    scene(64, 48).save(buffer, "PNG")
    free = image_files._ROOM._free
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:-600])
    for _ in range(5):
        with pytest.raises(UnreadableImage):
            decode(tmp_path / "cut.png", Preprocessing(size=(10, 10)))
    assert image_files._ROOM._free == free


def test_asking_for_the_orientation_does_not_hide_a_failure(tmp_path):
    """Pillow decodes a PNG to find its EXIF block; a second attempt after a failure gives pixels without an error."""
    buffer = io.BytesIO()
    scene(64, 48).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 0xFF  # in the compressed pixels
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x.png", Preprocessing(size=(10, 10)))


def test_cut_files_are_told_from_other_files(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(UnreadableImage, match="starts like a PNG file, but is cut off or damaged"):
        decode(tmp_path / "x.png", Preprocessing(size=(10, 10)))
    (tmp_path / "x.bmp").write_text("bikes and their history")
    with pytest.raises(UnreadableImage, match="no JPEG"):
        decode(tmp_path / "x.bmp", Preprocessing(size=(10, 10)))
