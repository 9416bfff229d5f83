"""Masks from empty scenes, pasting, and swapped training folders, on drawn scenes and on the real pictures."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import shared
from PIL import Image
from scipy import ndimage

from jaxcam.data import composites, scenes
from jaxcam.errors import UserError

SMALL = (96, 160)


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))


def through_jpeg(image: np.ndarray, quality: int = 85) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("composites") / "scenes"
    scenes.write_scenes(folder, train_per_class=3, valid_per_class=1, size=SMALL)
    return folder


# --- masks ---


@pytest.mark.parametrize("place", range(len(scenes.PLACES)))
def test_mask_is_exact_before_a_lossless_scene(place):
    empty = scenes.empty_scene(place)
    image, mask = scenes.render(0, place, np.random.default_rng(3))
    derived = composites.mask_from_background(image, empty)
    np.testing.assert_array_equal(derived, (image != empty).any(axis=-1))
    assert overlap(derived, mask) > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_mask_survives_jpeg_residue(seed):
    empty = scenes.empty_scene(1)
    image, mask = scenes.render(1, 1, np.random.default_rng(seed))
    residue = through_jpeg(empty)
    assert (residue == empty).all(axis=-1).mean() < 0.5
    derived = composites.mask_from_background(image, residue)
    assert overlap(derived, mask) > 0.85
    assert not composites.mask_from_background(empty, residue).any()


def test_small_specks_are_dropped_and_second_figures_kept():
    rng = np.random.default_rng(0)
    empty = rng.integers(60, 190, (100, 120, 3), dtype=np.uint8)
    image = empty + rng.integers(1, 20, empty.shape, dtype=np.uint8)
    for rows, columns in (
        (slice(20, 50), slice(20, 40)),
        (slice(60, 80), slice(70, 85)),
        (slice(5, 12), slice(100, 107)),
    ):
        image[rows, columns] = 255
    image[90, 10] = 255
    mask = composites.mask_from_background(image, empty)
    _, count = ndimage.label(mask)
    assert count == 2
    assert mask[30, 30]
    assert mask[70, 75]
    assert not mask[8, 103]
    assert not mask[90, 10]


def test_mask_reaches_the_border_of_the_picture():
    empty = np.random.default_rng(1).integers(60, 190, (80, 80, 3), dtype=np.uint8)
    image = empty + np.uint8(10)
    image[50:, 30:60] = 255
    mask = composites.mask_from_background(image, empty)
    assert mask[79, 31:59].all()
    assert mask.mean() == pytest.approx(30 * 30 / 6400, abs=0.01)


def test_threshold_counts():
    empty = np.random.default_rng(1).integers(60, 90, (60, 60, 3), dtype=np.uint8)
    image = empty + np.uint8(1)
    image[20:40, 20:40] += 40
    assert composites.mask_from_background(image, empty).any()
    assert not composites.mask_from_background(image, empty, threshold=41).any()


def test_sizes_must_agree():
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="background"):
        composites.mask_from_background(small, large)
    with pytest.raises(ValueError, match="differ in size"):
        composites.paste(small, np.ones((4, 4), np.bool_), large)
    with pytest.raises(ValueError, match="differ in size"):
        composites.paste(small, np.ones((5, 4), np.bool_), small)


# --- backgrounds ---


def test_find_background():
    empty = [scenes.empty_scene(place) for place in range(4)]
    for place in range(4):
        image, _ = scenes.render(place % 2, place, np.random.default_rng(place))
        assert composites.find_background(image, empty) == place
        assert composites.find_background(through_jpeg(image), empty) == place
    odd = [np.zeros((10, 10, 3), np.uint8), *empty]
    assert composites.find_background(empty[2], odd) == 3


def test_find_background_says_when_there_is_none():
    empty = [scenes.empty_scene(place) for place in (0, 1)]
    noise = np.random.default_rng(0).integers(0, 255, empty[0].shape, dtype=np.uint8)
    with pytest.raises(UserError, match="best of 2"):
        composites.find_background(noise, empty)
    with pytest.raises(UserError, match="none was given"):
        composites.find_background(noise, [])


# --- pasting ---


def test_paste_takes_the_figure_and_nothing_else():
    image, mask = scenes.render(0, 0, np.random.default_rng(5))
    station = scenes.empty_scene(1)
    hard = composites.paste(image, mask, station, feather=False)
    np.testing.assert_array_equal(hard[mask], image[mask])
    np.testing.assert_array_equal(hard[~mask], station[~mask])
    soft = composites.paste(image, mask, station)
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)))
    np.testing.assert_array_equal(soft[inside], image[inside])
    np.testing.assert_array_equal(soft[~mask], station[~mask])
    rim = mask & ~inside
    low, high = np.minimum(image, station)[rim], np.maximum(image, station)[rim]
    assert ((soft[rim] >= low) & (soft[rim] <= high)).all()
    assert (soft[rim] != hard[rim]).mean() > 0.5


def test_paste_is_near_the_true_picture():
    image, mask = scenes.render(1, 0, np.random.default_rng(6))
    truth, _ = scenes.render(1, 1, np.random.default_rng(6))
    made = composites.paste(image, mask, scenes.empty_scene(1))
    error = np.abs(made.astype(int) - truth).mean(axis=-1)
    assert error.mean() < 0.6
    assert (error > 25).mean() < 0.01


# --- swapped folders ---


@pytest.mark.parametrize("with_masks", [False, True])
def test_swapped_folder_of_the_drawn_leak(drawn, tmp_path, with_masks):
    train, masks = drawn / "SeveralBackgrounds/Train", drawn / "Masks/SeveralBackgrounds/Train"
    before = digests(drawn)
    out = tmp_path / "swapped"
    count = composites.write_swapped(
        train, out, backgrounds=drawn / "BackgroundOnly", masks=masks if with_masks else None
    )
    assert count == 12
    assert set(digests(out)) == {
        ".swapped.json",
        *(f"{name}/{i:02d}.png" for name in ("Ada", "Bo") for i in (1, 2, 3)),
        *(f"Ada/{i:02d}-before-station.png" for i in (1, 2, 3)),
        *(f"Bo/{i:02d}-before-house.png" for i in (1, 2, 3)),
    }
    empty = [scenes.empty_scene(place, size=SMALL) for place in (0, 1)]
    for name, place in (("Ada", 1), ("Bo", 0)):
        np.testing.assert_array_equal(pixels(out / name / "02.png"), pixels(train / name / "02.png"))
        swapped = pixels(out / name / f"02-before-{('house', 'station')[place]}.png")
        assert composites.find_background(swapped, empty) == place
        mask = pixels(masks / name / "02.png")[..., 0] > 0
        assert overlap(composites.mask_from_background(swapped, empty[place]), mask) > 0.85
    assert digests(drawn) == before
    assert [path.name for path in tmp_path.iterdir()] == ["swapped"]
    first = digests(out)
    assert composites.write_swapped(train, out, backgrounds=drawn / "BackgroundOnly", masks=masks) == 12
    assert digests(out) == first


def test_figures_moved_before_one_background_keep_it(drawn, tmp_path):
    train = drawn / "OneBackground/Train"
    files = [drawn / "BackgroundOnly/NoClass/house.png"]
    count = composites.write_swapped(train, tmp_path / "out", backgrounds=files, moved=3, seed=5)
    assert count == 6 * (1 + 3)
    empty = scenes.empty_scene(0, size=SMALL)
    places = set()
    for path in sorted((tmp_path / "out").glob("*/*-moved-*-before-house.png")):
        moved = pixels(path)
        mask = composites.mask_from_background(moved, empty)
        assert 0.002 < mask.mean() < 0.4
        places.add(tuple(np.argwhere(mask).mean(0).round().astype(int).tolist()))
    assert len(places) == 18
    again = composites.write_swapped(train, tmp_path / "again", backgrounds=files, moved=3, seed=5)
    assert again == count
    assert digests(tmp_path / "again") == digests(tmp_path / "out")


def test_a_moved_figure_stays_mostly_inside_and_fits():
    image, mask = np.full((60, 100, 3), 200, np.uint8), np.zeros((60, 100), bool)
    mask[10:40, 20:40] = True
    for seed in range(20):
        pixels_, where = composites.move(image, mask, np.random.default_rng(seed))
        assert where.any()
        assert pixels_[where].mean() > 150
        assert where.sum() > 0.3**2 * mask.sum()
    with pytest.raises(ValueError, match="the mask is empty"):
        composites.move(image, np.zeros_like(mask), np.random.default_rng(0))


def test_empty_scenes_are_only_kept(drawn, tmp_path):
    train = drawn / "WithBackgroundsAsClass/Train"
    files = [drawn / f"BackgroundOnly/NoClass/{name}.png" for name in ("house", "station")]
    assert composites.write_swapped(train, tmp_path / "out", backgrounds=files) == 14
    assert {path.name for path in (tmp_path / "out/ZBackground").iterdir()} == {"house.png", "station.png"}


def test_user_mistakes(drawn, tmp_path):
    train, empty = drawn / "SeveralBackgrounds/Train", drawn / "BackgroundOnly/NoClass"
    out = tmp_path / "out"
    with pytest.raises(UserError, match="no folder"):
        composites.write_swapped(tmp_path / "absent", out, backgrounds=empty)
    with pytest.raises(UserError, match=r"found 1 background\(s\)"):
        composites.write_swapped(train, out, backgrounds=[empty / "house.png"])
    with pytest.raises(UserError, match="same name"):
        composites.write_swapped(train, out, backgrounds=[empty / "house.png", empty / "house.png"])
    with pytest.raises(UserError, match="holds no pictures"):
        composites.write_swapped(train / "Ada", out, backgrounds=empty)
    with pytest.raises(UserError, match="lie in each other"):
        composites.write_swapped(train, train / "swapped", backgrounds=empty)
    assert not out.exists()
    assert not (train / "swapped").exists()
    with pytest.raises(UserError, match="there is no mask"):
        composites.write_swapped(train, out, backgrounds=empty, masks=tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        composites.write_swapped(train, tmp_path / "full", backgrounds=empty)


def test_bad_pictures_are_named(drawn, tmp_path):
    empty = drawn / "BackgroundOnly/NoClass"
    bad = tmp_path / "train" / "Ada"
    bad.mkdir(parents=True)
    (bad / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(UserError, match=r"cannot read.*broken\.png"):
        composites.write_swapped(tmp_path / "train", tmp_path / "out", backgrounds=empty)
    (bad / "broken.png").unlink()
    noise = np.random.default_rng(0).integers(0, 255, (*SMALL, 3), dtype=np.uint8)
    Image.fromarray(noise).save(bad / "noise.png")
    with pytest.raises(UserError, match=r"noise\.png: the picture was not taken before"):
        composites.write_swapped(tmp_path / "train", tmp_path / "out2", backgrounds=empty)
    Image.fromarray(noise).save(bad / "noise.bmp")
    with pytest.raises(UserError, match="differ only in their suffix"):
        composites.write_swapped(tmp_path / "train", tmp_path / "out3", backgrounds=empty)


def test_links_out_of_the_folder_are_refused(drawn, tmp_path):
    train, empty = drawn / "SeveralBackgrounds/Train", drawn / "BackgroundOnly/NoClass"
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    composites.write_swapped(train, out, backgrounds=empty)
    for path in (out / "Ada").iterdir():
        path.unlink()
    (out / "Ada").rmdir()
    (out / "Ada").symlink_to(elsewhere)
    with pytest.raises(UserError, match="points outside"):
        composites.write_swapped(train, out, backgrounds=empty)
    assert not list(elsewhere.iterdir())


# --- the real pictures ---


def real() -> tuple[Path, list[np.ndarray]]:
    folder = shared() / "bart-vs-homer"
    return folder, [pixels(folder / "BackgroundOnly/NoClass" / name) for name in ("house.png", "nuclear.jpg")]


@pytest.mark.parametrize(
    ("group", "place"),
    [
        ("InFrontOfHouse/Train/Bart", 0),
        ("InFrontOfHouse/Valid/Homer", 0),
        ("SeveralBackgrounds/Train/Homer", 1),
        ("InFrontOfNuclear/Bart", 1),
        ("InvertedBackgrounds/Homer", 0),
    ],
)
def test_real_masks_have_the_known_areas(group, place):
    folder, empty = real()
    areas = []
    for path in sorted((folder / group).glob("*.png")):
        image = pixels(path)
        assert composites.find_background(image, empty) == place
        areas.append(composites.mask_from_background(image, empty[place]).mean())
    assert min(areas) >= 0.004
    assert max(areas) <= 0.15
    assert 0.045 <= np.median(areas) <= 0.08


@pytest.mark.parametrize("name", ["11", "18", "23"])
def test_real_masks_agree_before_both_scenes(name):
    folder, empty = real()
    rough = composites.mask_from_background(pixels(folder / f"SeveralBackgrounds/Valid/Homer/h{name}.png"), empty[1])
    exact = composites.mask_from_background(pixels(folder / f"InvertedBackgrounds/Homer/{name}.png"), empty[0])
    assert overlap(rough, exact) > 0.85


def test_real_leak_swapped(tmp_path):
    folder, empty = real()
    out = tmp_path / "out"
    count = composites.write_swapped(
        folder / "SeveralBackgrounds/Valid", out, backgrounds=folder / "BackgroundOnly/NoClass"
    )
    assert count == 16
    for name, scene, place in (("Bart", "nuclear", 1), ("Homer", "house", 0)):
        swapped = sorted((out / name).glob(f"*-before-{scene}.png"))
        assert len(swapped) == 4
        for path in swapped:
            image = pixels(path)
            assert composites.find_background(image, empty) == place
            assert 0.003 < composites.mask_from_background(image, empty[place]).mean() < 0.15
