"""All files alike, and a part of a set with even groups."""

import numpy as np
import pytest
from PIL import Image

from jaxcam.commands.data_reencode import balance, reencode
from jaxcam.data.folder import load_folder
from jaxcam.data.manifest import read_manifest
from jaxcam.errors import UserError


def picture(seed: int, size: tuple[int, int] = (40, 60)) -> Image.Image:
    grid = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(grid).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def leaking(tmp_path):
    """Cats are small JPEG files with a camera's name, dogs large PNG files."""
    root = tmp_path / "set"
    for name in ("cat", "dog"):
        (root / name / "deep").mkdir(parents=True)
    exif = Image.Exif()
    exif[271] = "Camera"
    for number in range(3):
        picture(number).save(root / "cat" / f"{number}.jpg", quality=20, exif=exif)
        picture(number, (80, 120)).save(root / "dog" / "deep" / f"{number}.png")
    (root / "dog" / "broken.png").write_bytes((root / "dog" / "deep" / "0.png").read_bytes()[:200])
    return root


def test_files_tell_nothing_any_more(leaking, tmp_path, capsys):
    out = tmp_path / "alike"
    reencode(str(leaking), out=out, size=(32, 48), quality=70, quiet=True)
    assert "6 pictures at 32x48" in capsys.readouterr().out
    written = load_folder(out)
    assert written.counts() == {"cat": 3, "dog": 3}
    assert "deep-0.jpg" in {path.split("/")[1] for path in written.paths}
    tables = set()
    for row in range(len(written)):
        with Image.open(written.file(row)) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (48, 32), "RGB")
            assert not image.getexif()
            tables.add(str(image.quantization))
    assert len(tables) == 1
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    reencode(str(leaking), out=out, size=(32, 48), quality=70, quiet=True)
    assert before == {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    with pytest.raises(UserError, match="another settings"):
        reencode(str(leaking), out=out, size=(32, 48), quality=60, quiet=True)


def test_cut_to_the_middle_and_to_the_object(leaking, tmp_path):
    reencode(str(leaking), out=tmp_path / "middle", size=(20, 30), format="png", centre=0.5, quiet=True)
    whole = np.asarray(Image.open(leaking / "dog" / "deep" / "1.png")).astype(float)
    found = np.asarray(Image.open(tmp_path / "middle" / "dog" / "deep-1.png")).astype(float)
    wanted = whole[20:60, 30:90].reshape(20, 2, 30, 2, 3).mean((1, 3))
    assert np.abs(found - wanted).mean() < 4
    mask = np.zeros((80, 120), np.uint8)
    mask[20:60, 40:80] = 255
    (tmp_path / "masks" / "dog" / "deep").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks" / "dog" / "deep" / "1.png")
    reencode(str(leaking), out=tmp_path / "object", size=(24, 24), format="png", masks=tmp_path / "masks", quiet=True)
    assert [file.name for file in (tmp_path / "object").rglob("*.png")] == ["deep-1.png"]
    cut = np.asarray(Image.open(tmp_path / "object" / "dog" / "deep-1.png")).astype(float)
    wanted = whole[16:64, 36:84].reshape(24, 2, 24, 2, 3).mean((1, 3))
    assert np.abs(cut - wanted).mean() < 4


@pytest.mark.parametrize("options", [{"size": (0, 4)}, {"quality": 0}, {"centre": 0.0}, {"centre": 1.5}])
def test_values_that_cannot_be_are_told(leaking, tmp_path, options):
    with pytest.raises(UserError, match="--size"):
        reencode(str(leaking), out=tmp_path / "x", quiet=True, **options)
    with pytest.raises(UserError, match="lies in the pictures"):
        reencode(str(leaking), out=leaking / "x", quiet=True)


def test_balanced_groups(leaking, tmp_path, capsys):
    lines = ["path,group", "cat/0.jpg,day", "cat/1.jpg,day", "cat/2.jpg,night"]
    lines += ["dog/deep/0.png,day", "dog/deep/1.png,night", "dog/deep/2.png,night"]
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    balance(str(leaking), groups=tmp_path / "groups.csv", out=tmp_path / "even.csv")
    assert "4 of " in capsys.readouterr().out
    kept = read_manifest(tmp_path / "even.csv")
    assert sorted(kept.labels) == ["cat", "cat", "dog", "dog"]
    (tmp_path / "groups.csv").write_text("\n".join([*lines[:3], *lines[4:]]))
    with pytest.raises(UserError, match="class 'cat' has no picture in the group 'night'"):
        balance(str(leaking), groups=tmp_path / "groups.csv", out=tmp_path / "even.csv")
