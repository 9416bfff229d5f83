"""Properties that tell classes apart: planted ones are found, chance is not."""

import math

import numpy as np
import pytest
from PIL import Image

from jaxcam.data.scan.measures import MEASURES, measure, middle, small_copies
from jaxcam.data.scan.properties import FEWEST, properties, thumbnail_properties
from jaxcam.data.scan.structure import jpeg_quality

NAMES = ("cat", "dog")


def only(found):
    (one,) = found
    return one


def test_a_number_that_tells_the_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    told = only(properties({"brightness": labels * 10.0 + rng.uniform(0, 5, 120)}, {}, labels, NAMES))
    assert told.accuracy == 1.0
    assert told.level == "strong"
    assert told.area == 1.0
    assert "brightness alone 100% are right" in told.words


def test_auc_equals_scikit_learns():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    values = rng.integers(0, 12, 300).astype(float) + labels  # ties
    told = only(properties({"x": values}, {}, labels, ("a", "b", "c")))
    areas = [roc_auc_score(labels == label, values) for label in range(3)]
    assert told.area == pytest.approx(max(max(area, 1 - area) for area in areas))


@pytest.mark.parametrize("each", [FEWEST, 15, 60, 400])
def test_noise_does_not_warn(each):
    rng = np.random.default_rng(each)
    labels = np.repeat([0, 1], each)
    numbers = {f"n{number}": rng.standard_normal(2 * each) for number in range(25)}
    words = {f"w{number}": rng.choice(["a", "b", "c"], 2 * each).tolist() for number in range(5)}
    found = properties(numbers, words, labels, NAMES)
    assert len(found) == 30
    assert all(one.level == "none" for one in found)
    assert all(one.low <= one.accuracy <= one.high for one in found)
    assert np.mean([one.low <= 0.5 <= one.high for one in found]) > 0.6


def test_words_and_missing_numbers():
    labels = np.repeat([0, 1], 40)
    camera = ["phone" if label else "camera" for label in labels]
    quality = np.where(labels == 1, np.nan, 90.0)
    quality[:3] = 85
    found = properties({"JPEG quality": quality}, {"camera": camera}, labels, NAMES)
    assert {one.name: one.level for one in found} == {"JPEG quality": "strong", "camera": "strong"}


def test_what_is_shown_and_not_warned_of():
    labels = np.repeat([0, 1], 40)
    told = only(properties({"modification time": labels + 0.0}, {}, labels, NAMES))
    assert told.accuracy == 1.0
    assert told.level == "none"
    assert "order" in told.words


def test_small_classes_take_no_part():
    labels = np.array([0] * 50 + [1] * (FEWEST - 1))
    assert properties({"x": labels + 0.0}, {}, labels, NAMES) == []
    assert thumbnail_properties(np.zeros((57, 16, 16, 3), np.uint8), labels, NAMES) == []
    labels = np.array([0] * 50 + [1] * 50 + [2] * 3 + [-1] * 20)
    told = only(properties({"x": np.r_[np.zeros(50), np.ones(50), np.ones(23)]}, {}, labels, ("a", "b", "c")))
    assert told.chance == 0.5
    constant = properties(
        {"x": np.ones(123), "y": np.full(123, np.nan)}, {"w": ["same"] * 123}, labels, ("a", "b", "c")
    )
    assert constant == []


def test_copies_do_not_help():
    """Each picture is there five times: who has seen one of them knows the others."""
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.integers(0, 2, 60), 5)
    values = np.repeat(rng.standard_normal(60), 5)
    groups = np.repeat(np.arange(60), 5)
    small = np.repeat(rng.integers(0, 255, (60, 16, 16, 3)).astype(np.uint8), 5, axis=0)
    assert only(properties({"x": values}, {}, labels, NAMES, groups=groups)).accuracy < 0.7
    assert all(one.accuracy < 0.7 for one in thumbnail_properties(small, labels, NAMES, groups=groups))
    assert thumbnail_properties(small, labels, NAMES)[0].accuracy == 1.0


def test_a_mark_in_a_corner_is_found():
    rng = np.random.default_rng(4)
    small = rng.integers(0, 255, (200, 16, 16, 3)).astype(np.uint8)
    labels = np.repeat([0, 1], 100)
    small[labels == 1, -1, 0] = (255, 0, 0)
    small[:, [0, 0, -1], [0, -1, -1]] = 128
    told = {one.name: one for one in thumbnail_properties(small, labels, NAMES)}
    assert told["four corners"].level == "strong"
    assert told["8x8 grey thumbnail"].level == "none"


def numbers_of(image):
    return dict(zip(MEASURES, measure(*small_copies(image), middle(image)).tolist(), strict=True))


def smooth(seed=0, size=(160, 200)):
    y, x = np.mgrid[: size[0], : size[1]]
    noise = np.random.default_rng(seed).normal(0, 6, (*size, 3))
    base = 120 + 50 * np.sin(x / 17)[..., None] + 40 * np.cos(y / 11)[..., None]
    return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))


def test_measures_mean_what_they_say(tmp_path):
    plain = numbers_of(smooth())
    assert plain["brightness"] == pytest.approx(np.asarray(smooth().convert("L")).mean(), abs=1)
    assert plain["red share"] + plain["green share"] + plain["blue share"] == pytest.approx(1, abs=1e-5)
    smooth().save(tmp_path / "low.jpg", quality=12)
    with Image.open(tmp_path / "low.jpg") as image:
        assert numbers_of(image.convert("RGB"))["blockiness"] > plain["blockiness"] + 0.5
        assert jpeg_quality(image.quantization) == pytest.approx(12, abs=1)
    enlarged = numbers_of(smooth().resize((50, 40)).resize((200, 160)))
    assert enlarged["sharpness"] < plain["sharpness"] - 2
    assert enlarged["fine detail"] < plain["fine detail"]
    framed = smooth()
    framed.paste((0, 0, 0), (0, 0, 200, 12))
    framed.paste((0, 0, 0), (0, 148, 200, 160))
    assert numbers_of(framed)["black border"] > 0.4 > 0.1 > plain["black border"]
    red = numbers_of(Image.new("RGB", (64, 64), (255, 0, 0)))
    assert red["red share"] == 1
    assert red["saturation"] == 1
    assert red["entropy"] == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 3), (23, 23), (24, 24), (7, 1000)])
def test_measures_of_odd_sizes(size):
    found = numbers_of(Image.new("RGB", size, (3, 200, 100)))
    assert all(math.isfinite(value) for name, value in found.items() if name not in MEASURES[-3:])


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95, 100])
def test_jpeg_quality(tmp_path, quality):
    smooth().save(tmp_path / "x.jpg", quality=quality)
    with Image.open(tmp_path / "x.jpg") as image:
        assert jpeg_quality(image.quantization) == pytest.approx(quality, abs=1)
    assert math.isnan(jpeg_quality({}))
    assert math.isnan(jpeg_quality({0: [1, 2]}))
