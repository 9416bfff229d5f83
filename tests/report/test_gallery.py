"""Which pictures are shown, and the pictures and maps themselves."""

import base64
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fake_run import make_run, write_maps
from PIL import Image

from jaxcam.data.decode import UnreadableImage
from jaxcam.maps import render
from jaxcam.report import gather, means, pictures
from jaxcam.report.gallery import choose, chosen, shares


def decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


def split_of(wrong, right, unreadable=0):
    """A split with a number of pictures of each kind; the later, the more confident."""
    total = wrong + right + unreadable
    share = np.linspace(0.6, 0.9, total)
    predicted = ["a"] * (wrong + right) + [""] * unreadable
    return gather.Split(
        name="valid",
        classes=("a", "b"),
        paths=tuple(f"{row}.png" for row in range(total)),
        label_names=("b",) * wrong + ("a",) * (right + unreadable),
        predicted_names=tuple(predicted),
        probabilities=np.stack([share, 1 - share], axis=1),
        flags=("",) * total,
    )


def test_all_pictures_where_there_is_room():
    rows, words = choose(split_of(2, 3, 1), 120)
    assert rows.tolist() == [1, 0, 2, 3, 4]
    assert words == "all 5 readable pictures, 2 of them wrong"


def test_wrong_ones_first_then_a_seeded_sample():
    split = split_of(5, 50)
    rows, words = choose(split, 12)
    assert rows[:5].tolist() == [4, 3, 2, 1, 0]
    assert len(set(rows.tolist())) == 12
    assert rows[5:].tolist() == sorted(rows[5:].tolist())
    assert words == "12 of 55 readable pictures: all 5 wrong ones and a random sample of 7 of the others (seed 0)"
    assert choose(split, 12)[0].tolist() == rows.tolist()
    assert choose(split, 12, seed=1)[0].tolist() != rows.tolist()


def test_too_many_wrong_ones():
    rows, words = choose(split_of(30, 5), 10)
    assert rows.tolist() == list(range(29, 19, -1))
    assert words == "10 of 35 readable pictures: the 10 most confident of 30 wrong ones"


def test_pictures_behind_a_finding_come_first():
    rows, words = choose(split_of(30, 50), 10, wanted=[60, 3, 3, 61])
    assert rows[:3].tolist() == [60, 3, 61]
    assert len(set(rows.tolist())) == 10
    assert words == ("10 of 80 readable pictures, 3 of them behind a finding: the 7 most confident of 30 wrong ones")
    one = chosen([split_of(0, 50, 2)], 5, [("valid", 51), ("valid", 7)])[0]
    assert 7 in one.rows
    assert len(one.rows) == 5
    assert one.rows.tolist() == sorted(one.rows.tolist())
    assert len(one.unreadable) == 2


@pytest.mark.parametrize(
    ("counts", "limit", "given"),
    [([8, 1000, 300], 500, [8, 246, 246]), ([5, 5], 500, [5, 5]), ([], 5, []), ([9, 9, 9], 10, [3, 3, 4])],
)
def test_splits_share_the_page(counts, limit, given):
    assert shares(counts, limit) == given


def test_no_readable_picture():
    rows, words = choose(split_of(0, 0, 3), 10)
    assert rows.tolist() == []
    assert words == "all 0 readable pictures, 0 of them wrong"


@pytest.mark.parametrize("path", ["../a.png", "/etc/a.png", "b/../../a.png"])
def test_no_file_outside_the_picture_folder(tmp_path, path):
    split = replace(split_of(0, 1), paths=(path,), root=tmp_path)
    assert split.file(0) is None
    assert replace(split, paths=("b/a.png",)).file(0) == tmp_path / "b" / "a.png"


def test_thumbnails_shrink_and_never_grow():
    image = np.zeros((30, 60, 3), np.uint8)
    image[:, 30:] = 200, 30, 30
    small = decoded(pictures.thumbnail(image, 20))
    assert small.shape == (10, 20, 3)
    assert small[5, 3].max() < 30
    assert small[5, 17, 0] > 150
    assert decoded(pictures.thumbnail(image, 400)).shape == (30, 60, 3)
    assert pictures.thumbnail(image, 20) == pictures.thumbnail(image, 20)
    assert pictures.thumbnail(image, 20, "jpeg").startswith("data:image/jpeg;base64,")


def test_heat_lies_where_the_map_is_hot():
    values = np.zeros((4, 8), np.float16)
    values[0, 6] = 3
    picture = decoded(pictures.heat(values, low=0.0, high=3.0))
    assert picture.shape == (40, 80, 3)
    assert np.unravel_index(picture.sum(2).argmax(), (40, 80)) == pytest.approx((5, 65), abs=5)
    assert picture[30:, :40].max() < 40
    signed = decoded(pictures.heat(-values, low=-3.0, high=3.0))
    assert signed[30, 10].min() > 235  # nothing is white
    assert signed[4, 65, 2] > signed[4, 65, 0] + 50  # against the class is blue
    values[3, 0] = np.nan
    assert pictures.heat(values, low=0.0, high=3.0).startswith("data:")


@pytest.mark.parametrize(
    ("row", "column", "words"), [(0, 0, "upper left"), (4, 4, "centre"), (8, 4, "lower centre"), (3, 8, "middle right")]
)
def test_places_in_words(row, column, words):
    values = np.zeros((9, 9), np.float32)
    assert pictures.hottest_place(values) == "nowhere"
    values[row, column] = 1
    assert pictures.hottest_place(values) == words


def test_pictures_are_upright_and_in_proportion(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :50] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left half comes to the top
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    image = pictures.open_picture(path, longest=50)
    assert image.shape == (50, 20, 3)
    assert image[:20].min() > 200
    assert image[30:].max() < 50
    assert pictures.open_picture(path, longest=500).shape == (100, 40, 3)
    with pytest.raises(UnreadableImage):
        pictures.open_picture(tmp_path / "none.jpg", longest=50)


def test_a_cropping_network_gets_the_part_it_saw(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 255
    path = tmp_path / "wide.png"
    Image.fromarray(pixels).save(path)
    image = pictures.open_picture(path, longest=40, crop_to=(24, 24))
    assert image.shape == (40, 40, 3)
    assert image.min() == 255
    assert pictures.open_picture(path, longest=40, crop_to=(20, 40)).shape == (20, 40, 3)


@pytest.mark.parametrize(("targets", "method"), [("all", "cam"), ("predicted", "grad_cam")])
def test_mean_maps_are_means_of_maps_with_sum_one(tmp_path, targets, method):
    run = make_run(tmp_path / "run", targets=targets, methods=(method,), unreadable=3)
    dead = 7
    run.maps[method][dead] = -1
    shutil.rmtree(run.folder / "maps")
    write_maps(run, "valid", targets)
    (split,) = gather.read_run(run.folder).splits
    found = means.mean_maps(split.store, method, run.readable, split.labels)
    for label in (0, 1):
        parts = []
        for row in run.readable:
            values = run.maps[method][row].astype(float)
            values = np.maximum(values[label] if targets == "all" else values, 0)
            if run.labels[row] == label and row != dead:
                parts.append(values / values.sum())
        np.testing.assert_allclose(found[0][label], np.sum(parts, axis=0), rtol=1e-6)
        assert found[1][label] == len(parts) == 5


def test_mean_rows_of_a_run(tmp_path):
    folder = make_run(tmp_path / "run", unreadable=3).folder
    run = gather.read_run(folder)
    rows = means.mean_rows(run, run.splits[0])
    assert [(row.method, row.rows, row.hidden) for row in rows] == [("grad_cam", 11, 0), ("cam", 11, 0)]
    assert [(item.name, item.count, item.dead) for item in rows[0].classes] == [("cat", 5, 0), ("dog", 6, 0)]
    assert rows[0].high == max(item.peak for item in rows[0].classes)
    photo = decoded(rows[0].classes[1].photo)
    assert photo.shape == (24, 36, 3)
    assert abs(photo[20, 30].astype(int) - [190, 90, 200 - 12 * np.arange(6, 12).mean()]).max() < 12


def test_the_mean_map_has_the_colours_of_its_scale(tmp_path):
    folder = make_run(tmp_path / "run", methods=("grad_cam",)).folder
    run = gather.read_run(folder)
    row = means.mean_rows(run, run.splits[0])[0]
    hottest = max(row.classes, key=lambda item: item.peak)
    picture = decoded(hottest.heat).astype(int)
    brightest = picture.reshape(-1, 3)[picture.sum(2).argmax()]
    assert np.abs(brightest - render.colour_table("inferno")[-1]).max() < 60
