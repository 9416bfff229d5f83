"""The contact sheet of an image's variants, and the command that writes it."""

import jax
import numpy as np
import pytest
from PIL import Image

from jaxcam.cli import main
from jaxcam.data.augment import Augment, augment
from jaxcam.data.variants import contact_sheet, variants

CONFIG = """
from jaxcam.config import Config, Phase
from jaxcam.data.augment import Augment
from jaxcam.preprocessing import Preprocessing


def get_config():
    return Config(
        phases=(Phase(), Phase(augment=Augment(rotation=30, zoom=(0.8, 1.0), horizontal_flip=True))),
        preprocessing=Preprocessing.named("raw", size=(24, 32)),
    )
"""


def test_variants_are_what_training_draws_and_the_words_say_what():
    image = np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    config = Augment(horizontal_flip=True)
    pictures, words = variants(config, image, 6, seed=3)
    batch = np.broadcast_to(image, (6, *image.shape))
    np.testing.assert_array_equal(pictures, augment(config, jax.random.key(3), jax.numpy.asarray(batch)))
    for picture, lines in zip(pictures, words, strict=True):
        assert lines == (("mirrored",) if (picture == image[:, ::-1]).all() else ())
    assert {len(lines) for lines in words} == {0, 1}


def test_the_sheet_shows_every_picture_at_its_place():
    pictures = np.stack([np.full((200, 130, 3), value, np.uint8) for value in (10, 60, 110, 160, 210)])
    sheet = contact_sheet(pictures, (("original",), *((f"turn {i}",) for i in range(4))), columns=3)
    assert sheet.shape[1] == 3 * 138 + 8
    for place, value in enumerate((10, 60, 110, 160, 210)):
        top, left = 8 + place // 3 * (200 + 14 + 16), 8 + place % 3 * 138
        assert (sheet[top : top + 200, left : left + 130] == value).all()
    with pytest.raises(ValueError, match="each needs one"):
        contact_sheet(pictures, ())


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "varied.py").write_text(CONFIG)
    for folder in ("train/a", "train/b", "valid/a", "valid/b"):
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        for name in ("broken", "good"):
            Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "pictures" / folder / f"{name}.png")
    broken = tmp_path / "pictures" / "train" / "a" / "broken.png"
    broken.write_bytes(broken.read_bytes()[:60])

    command = ["data", "augmentations", "varied.py", "--count", "5"]
    assert main([*command, "--data.folder", "pictures", "--out", "sheets/a.png"]) == 0
    assert "5 variants of phase 1" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "sheets" / "a.png"))
    assert (sheet == (200, 30, 30)).all(-1).mean() > 0.1
    assert main([*command, "--image", "pictures/valid/a/good.png"]) == 0
    assert (tmp_path / "augmentations.png").is_file()

    for wrong, words in (
        (["--phase", "0", "--image", "x.png"], "phase 0 of varied.py varies nothing (phases that do: 1)"),
        ([], "give --image FILE"),
        (["--image", str(broken)], "cannot be read"),
        (["--image", "pictures/valid/a/good.png", "--out", "sheet.txt"], "must end in .png"),
        (["--phases.1.augment.zoom", "0.9", "0.4"], "must rise from above 0"),
    ):
        assert main([*command, *wrong]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
