"""Drawn house numbers, and drawn sets of chosen classes."""

import numpy as np
import pytest

from jaxcam.data.drawn import write_folder
from jaxcam.data.drawn_numbers import draw_number, write_numbers
from jaxcam.data.folder import load_split
from jaxcam.errors import UserError


def test_a_number_depends_on_the_generator_alone():
    first, again, other = (draw_number("7", np.random.default_rng(seed), size=40) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == ((40, 40, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    # The same plate without a digit has one colour less: it varies less.
    plates = [draw_number(None, np.random.default_rng(seed)).std((0, 1)).mean() for seed in range(8)]
    numbers = [draw_number("8", np.random.default_rng(seed)).std((0, 1)).mean() for seed in range(8)]
    assert np.mean(numbers) > 2 * np.mean(plates)
    with pytest.raises(ValueError, match="no digit"):
        draw_number("x", np.random.default_rng(0))


def test_folders_of_chosen_classes(tmp_path):
    assert write_numbers(tmp_path / "numbers", 6, 0, valid_count=3, classes=("0", "7", "9")) == 9
    train = load_split(tmp_path / "numbers", "train")
    assert train.counts() == {"0": 2, "7": 2, "9": 2}
    assert write_folder(tmp_path / "pets", 4, 0, size=32, valid_count=2, classes=("cat", "dog")) == 6
    assert load_split(tmp_path / "pets", "valid").counts() == {"cat": 1, "dog": 1}
    with pytest.raises(UserError, match="another classes"):
        write_folder(tmp_path / "pets", 4, 0, size=32, valid_count=2, classes=("cat", "bird"))
    with pytest.raises(UserError, match="no drawn class cow"):
        write_folder(tmp_path / "more", 4, 0, classes=("cat", "cow"))
    with pytest.raises(UserError, match="named twice"):
        write_numbers(tmp_path / "more", 4, 0, classes=("1", "1"))
