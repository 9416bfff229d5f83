"""Cues on pictures in memory: each does what it says, where it says, and is the same every time."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxcam.data import drawn
from jaxcam.data.planted.cues import CORNERS, KINDS, Cue, cue_of, plant, put_on, random_cue
from jaxcam.data.scan.measures import MEASURES, measure, middle, small_copies
from jaxcam.errors import UserError

IN_PIXELS = [kind for kind, about in KINDS.items() if about.in_pixels]


@pytest.fixture(scope="module")
def picture():
    return drawn.draw(drawn.CLASS_NAMES.index("star"), np.random.default_rng(3), size=96)


def measured(pixels):
    image = Image.fromarray(pixels)
    luma, colour = small_copies(image)
    return dict(zip(MEASURES, measure(luma, colour, middle(image)), strict=True))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_cue_changes_pixels_or_nothing(picture, kind):
    before = picture.copy()
    planted = put_on(cue_of(kind), picture)
    assert planted.shape == picture.shape
    assert planted.dtype == np.uint8
    assert (planted != picture).any() == KINDS[kind].in_pixels
    assert np.array_equal(picture, before)
    assert not np.shares_memory(planted, picture)
    assert np.array_equal(planted, put_on(cue_of(kind), picture))


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 5), (8, 300)])
def test_odd_sizes(kind, size):
    pixels = np.full((*size, 3), 90, np.uint8)
    assert put_on(cue_of(kind), pixels).shape == pixels.shape
    for seed in range(3):
        assert put_on(random_cue(kind, np.random.default_rng(seed)), pixels).shape == pixels.shape


@pytest.mark.parametrize("place", list(CORNERS))
@pytest.mark.parametrize("kind", ["logo", "watermark"])
def test_a_mark_is_where_it_should_be(kind, place):
    pixels = np.full((200, 300, 3), 120, np.uint8)
    planted = put_on(Cue(kind=kind, place=place, size=0.12, colour=(255, 0, 0)), pixels)
    rows, columns = np.nonzero((planted != pixels).any(-1))
    assert (rows.mean() > 100) == place.startswith("lower")
    assert (columns.mean() > 150) == place.endswith("right")
    assert len(rows) < 0.2 * 200 * 300


def test_bars_lie_at_the_border_only():
    pixels = np.full((100, 80, 3), 120, np.uint8)
    planted = put_on(Cue(kind="bars", size=0.1, colour=(0, 0, 0), sides="left and right"), pixels)
    assert (planted[:, :8] == 0).all()
    assert (planted[:, -8:] == 0).all()
    assert (planted[:, 8:-8] == 120).all()


def test_jpeg_equals_pillow_and_shows_in_blockiness(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=12)
    planted = put_on(Cue(kind="jpeg", quality=12), picture)
    assert np.array_equal(planted, np.asarray(Image.open(buffer)))
    assert measured(planted)["blockiness"] > measured(picture)["blockiness"] + 0.1


def test_low_resolution_takes_detail_away(picture):
    planted = put_on(cue_of("low_resolution"), picture)
    assert measured(planted)["sharpness"] < measured(picture)["sharpness"] - 1


def test_tint_adds_and_clips():
    pixels = np.array([[[250, 100, 5]]], np.uint8)
    assert put_on(Cue(kind="tint", shift=(24, 0, -24)), pixels).tolist() == [[[255, 100, 0]]]


def test_a_background_leaves_the_middle_or_what_is_masked(picture):
    planted = put_on(cue_of("background"), picture)
    assert np.array_equal(planted[30:66, 30:66], picture[30:66, 30:66])
    assert (planted[:6] != picture[:6]).mean() > 0.5
    mask = np.zeros((96, 96), bool)
    mask[:20, :50] = True
    masked = put_on(cue_of("background"), picture, mask=mask)
    assert np.array_equal(masked[mask], picture[mask])
    assert (masked[~mask] != picture[~mask]).mean() > 0.5
    with pytest.raises(UserError, match="mask"):
        put_on(cue_of("background"), picture, mask=mask[:50])


def test_many_pictures(picture):
    pictures = np.stack([picture, picture[::-1]])
    planted = plant(pictures, "logo")
    assert planted.shape == pictures.shape
    assert np.array_equal(planted[1], put_on(cue_of("logo"), pictures[1]))
    assert plant(pictures[:0], "logo").shape == (0, 96, 96, 3)


@pytest.mark.parametrize("kind", IN_PIXELS)
def test_random_cues_differ_and_repeat(kind):
    drawn_cues = [random_cue(kind, np.random.default_rng(seed)) for seed in range(6)]
    assert len(set(drawn_cues)) > 1
    assert drawn_cues[0] == random_cue(kind, np.random.default_rng(0))
    assert all(cue.kind == kind for cue in drawn_cues)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "sticker"}, "kind"),
        ({"place": "left"}, "place"),
        ({"size": 0.0}, "size"),
        ({"quality": 0}, "quality"),
        ({"factor": 2.0}, "factor"),
        ({"text": ""}, "text"),
        ({"sides": "top"}, "sides"),
    ],
)
def test_impossible_cues(picture, change, what):
    with pytest.raises(UserError, match=what):
        put_on(Cue(**change), picture)
    with pytest.raises(UserError, match="unknown kind"):
        cue_of("sticker")
