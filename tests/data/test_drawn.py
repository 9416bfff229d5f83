"""The drawn classification set: every class, balance, repeatability, and that the labels mean what they say."""

import numpy as np
import pytest
from PIL import Image

from jaxcam.data import drawn
from jaxcam.errors import UserError


def pictures(name: str, count: int, size: int = 64) -> np.ndarray:
    label = drawn.CLASS_NAMES.index(name)
    return np.stack([drawn.draw(label, np.random.default_rng([5, i]), size=size) for i in range(count)])


def test_class_names_are_folder_names():
    assert 64 <= len(drawn.CLASS_NAMES) <= 128
    assert len(set(drawn.CLASS_NAMES)) == len(drawn.CLASS_NAMES)
    assert all(name.replace("_", "").isalnum() for name in drawn.CLASS_NAMES)


@pytest.mark.parametrize("name", drawn.CLASS_NAMES)
def test_every_class_draws_varied_pictures(name):
    first, second = pictures(name, 2, size=48).astype(int)
    assert first.shape == (48, 48, 3)
    assert first.std() > 3
    assert np.abs(first - second).mean() > 3


def test_drawing_adds_something_to_the_background():
    label = drawn.CLASS_NAMES.index("star")
    star = drawn.draw(label, np.random.default_rng(1)).astype(int)
    heart = drawn.draw(drawn.CLASS_NAMES.index("heart"), np.random.default_rng(1)).astype(int)
    changed = np.abs(star - heart).max(axis=-1) > 60
    assert 0.005 < changed.mean() < 0.6


@pytest.mark.parametrize("label", [-1, len(drawn.CLASS_NAMES)])
def test_unknown_label(label):
    with pytest.raises(ValueError, match=r"not in 0\.\."):
        drawn.draw(label, np.random.default_rng(0))


@pytest.mark.parametrize(("name", "main", "others"), [("red_disc", 0, (1, 2)), ("blue_disc", 2, (0,))])
def test_coloured_discs_have_their_colour(name, main, others):
    for picture in pictures(name, 12).astype(int):
        lead = np.min([picture[..., main] - picture[..., other] for other in others], axis=0)
        assert (lead > 60).mean() > 0.06


def test_stripes_run_as_named():
    for name, across in (("stripes_level", 0), ("stripes_upright", 1)):
        steps = [np.abs(np.diff(pictures(name, 10).astype(int), axis=1 + axis)).mean() for axis in (0, 1)]
        assert steps[across] > 1.5 * steps[1 - across]


def test_set_is_balanced_and_repeatable():
    images, labels = drawn.draw_set(2 * len(drawn.CLASS_NAMES), 3, size=24)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    assert np.bincount(labels).tolist() == [2] * len(drawn.CLASS_NAMES)
    again, fewer_labels = drawn.draw_set(40, 3, size=24)
    np.testing.assert_array_equal(again, images[:40])
    np.testing.assert_array_equal(fewer_labels, labels[:40])
    other, _ = drawn.draw_set(40, 4, size=24)
    assert np.abs(other.astype(int) - again).mean() > 10


def test_workers_change_nothing():
    one, labels = drawn.draw_set(520, 9, size=16)
    two, same_labels = drawn.draw_set(520, 9, size=16, workers=2)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(labels, same_labels)


def test_empty_set():
    images, labels = drawn.draw_set(0, 1, size=16)
    assert images.shape == (0, 16, 16, 3)
    assert labels.shape == (0,)


def test_write_folder_completes_what_is_missing(tmp_path):
    folder = tmp_path / "set"
    assert drawn.write_folder(folder, 6, 2, size=16, valid_count=3) == 9
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert len(files) == 9
    assert sum(file.startswith("Valid/") for file in files) == 3
    images, labels = drawn.draw_set(9, 2, size=16)
    path = folder / "Train" / drawn.CLASS_NAMES[labels[4]] / "000004.png"
    np.testing.assert_array_equal(np.array(Image.open(path)), images[4])
    content = path.read_bytes()
    path.unlink()
    assert drawn.write_folder(folder, 6, 2, size=16, valid_count=3) == 9
    assert path.read_bytes() == content
    assert not list(folder.rglob("*.part"))


def test_write_folder_does_not_mix_sets(tmp_path):
    drawn.write_folder(tmp_path / "set", 2, 2, size=16)
    with pytest.raises(UserError, match="another seed"):
        drawn.write_folder(tmp_path / "set", 2, 3, size=16)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        drawn.write_folder(tmp_path / "other", 2, 2, size=16)
