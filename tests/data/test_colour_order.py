"""Exchanged colours: learnt, found, not suspected without need; and what else is odd about a picture."""

import json

import numpy as np
import pytest
from conftest import shared

from jaxcam.data import colour_order
from jaxcam.data.colour_order import ColourOrder, learn, learn_from
from jaxcam.data.doubts import doubts
from jaxcam.data.sets import load_set
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing


def landscapes(count, seed=0):
    """Blue above, green or brown below, an orange thing: colours that tell the order."""
    generator = np.random.default_rng(seed)
    pictures = np.empty((count, 24, 24, 3))
    pictures[:, :12] = generator.uniform((60, 110, 170), (120, 170, 255), (count, 1, 1, 3))
    pictures[:, 12:] = generator.uniform((80, 90, 20), (160, 150, 70), (count, 1, 1, 3))
    pictures[:, 8:14, 9:15] = generator.uniform((190, 90, 0), (255, 140, 40), (count, 1, 1, 3))
    return (pictures + generator.normal(0, 6, pictures.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def order():
    return learn(landscapes(40))


def test_exchanged_pictures_are_found_and_others_left_alone(order):
    others = landscapes(60, seed=1)
    assert order.right == 1
    assert not order.suspected(others).any()
    assert order.suspected(others[..., ::-1]).mean() > 0.9
    assert all(order.suspected(one[None, ..., ::-1])[0] for one in others[:3])
    np.testing.assert_allclose(order.scores(others), -order.scores(others[..., ::-1]), atol=1e-12)


def test_pictures_unlike_any_training_picture_are_not_suspected(order):
    """Exchanged they would have to look usual; these look unusual both ways."""
    noise = np.random.default_rng(2).integers(0, 256, (20, 24, 24, 3), dtype=np.uint8)
    night = np.zeros((20, 24, 24, 3), np.uint8)
    night[..., 2] = 255
    for pictures in (noise, night, night[..., ::-1]):
        assert not order.suspected(pictures).any()


@pytest.mark.parametrize("pictures", [landscapes(10), np.repeat(landscapes(40)[..., :1], 3, 3), landscapes(40)[:0]])
def test_too_few_or_grey_pictures_teach_nothing(pictures):
    assert learn(pictures) is None


def test_colours_without_order_teach_nothing():
    assert learn(np.random.default_rng(0).integers(0, 256, (60, 24, 24, 3), dtype=np.uint8)) is None


def test_sizes_and_numbers_do_not_matter(order):
    assert order.suspected(landscapes(1)[:0]).shape == (0,)
    large = np.repeat(np.repeat(landscapes(3), 20, 1), 21, 2)
    np.testing.assert_allclose(order.scores(large), order.scores(landscapes(3)), atol=0.5)
    assert order.scores(np.zeros((2, 1, 1, 3), np.uint8)).tolist() == [0, 0]


def test_it_is_kept_beside_the_classifier(order, tmp_path):
    assert ColourOrder.read(tmp_path) is None
    order.write(tmp_path)
    again = ColourOrder.read(tmp_path)
    pictures = landscapes(5, seed=3)
    np.testing.assert_allclose(again.scores(pictures), order.scores(pictures))
    assert (again.threshold, again.likeness, again.images) == (order.threshold, order.likeness, order.images)
    text = json.loads((tmp_path / "colours.json").read_text())
    for broken in ({**text, "weights": [1, 2]}, {**text, "threshold": float("nan")}, {"weights": 1}, [1]):
        (tmp_path / "colours.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match="delete it"):
            ColourOrder.read(tmp_path)


def test_doubts_in_words(order):
    fine, exchanged = landscapes(1, seed=4)[0], landscapes(1, seed=4)[0][..., ::-1]
    blank, divided = np.full((24, 24, 3), 77, np.uint8), (fine / 255).astype(np.uint8)
    divided[0, 0] = 1
    blank[3, 3] = 78
    logits = np.zeros((5, 2), np.float32)
    logits[4] = np.nan
    found = doubts(np.stack([fine, exchanged, blank, divided, fine]), order, logits)
    assert found[0] == ()
    assert "red and blue look exchanged" in found[1][0]
    assert found[2] == ("the picture is blank (all of it about RGB (77, 77, 77)); the answer means nothing",)
    assert found[3] == ("no value is above 1 of 255: it looks divided by 255 before it became uint8",)
    assert found[4] == ("the classifier's logits are NaN or infinite; the answer means nothing",)
    assert doubts(np.stack([fine, exchanged])) == ((), ())
    assert doubts(np.zeros((0, 4, 4, 3), np.uint8), order) == ()


def test_real_photographs():
    """What the module's description says, on the pictures it was measured on."""
    folder, settings = shared() / "cats-dogs-small", Preprocessing(size=(96, 96))
    order = learn_from(load_set(folder / "train"), settings)
    assert order.images == 280
    valid = load_set(folder / "val")
    pictures = np.stack([valid.decode(row, settings) for row in range(0, len(valid), 2)])
    alone = np.array([(order.suspected(p[None])[0], order.suspected(p[None, ..., ::-1])[0]) for p in pictures])
    assert alone[:, 0].mean() <= 0.02
    assert alone[:, 1].mean() >= 0.3
    series = pictures.reshape(-1, 10, 96, 96, 3)
    assert not np.concatenate([order.suspected(part) for part in series]).any()
    assert np.concatenate([order.suspected(part[..., ::-1]) for part in series]).mean() >= 0.65


def test_a_sample_of_a_set_with_broken_pictures(tmp_path):
    from PIL import Image

    (tmp_path / "a").mkdir()
    for number, picture in enumerate(landscapes(30)):
        Image.fromarray(picture).save(tmp_path / "a" / f"{number:02d}.png")
    whole = (tmp_path / "a" / "00.png").read_bytes()
    (tmp_path / "a" / "00.png").write_bytes(whole[: len(whole) // 2])
    images, settings = load_set(tmp_path, class_names=("a",)), Preprocessing(size=(24, 24))
    assert learn_from(images, settings).images == 29
    assert learn_from(images.subset(range(20)), settings) is None
    assert colour_order.SAMPLE == 300
