"""The offline scenes: figures and masks, fixed backgrounds, and the layout and repeatability of the written set."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxcam.data import scenes
from jaxcam.data.composites import find_background
from jaxcam.errors import UserError

SMALL = (96, 160)
OPTIONS = {"train_per_class": 3, "valid_per_class": 2, "size": SMALL}


def pixels(path) -> np.ndarray:
    return np.array(Image.open(path))


def digests(folder) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "set"
    count = scenes.write_scenes(folder, **OPTIONS)
    return folder, count


@pytest.mark.parametrize("figure", range(len(scenes.FIGURES)))
def test_figures_cover_4_to_14_percent(figure):
    masks = [scenes.render(figure, 0, np.random.default_rng(seed), size=SMALL)[1] for seed in range(25)]
    areas = np.array([mask.mean() for mask in masks])
    assert areas.min() > 0.035
    assert areas.max() < 0.145
    assert areas.std() > 0.01
    centres = np.array([ndimage.center_of_mass(mask) for mask in masks]) / SMALL
    assert centres[:, 1].std() > 0.1


def test_the_scene_is_untouched_away_from_the_figure():
    for place in range(len(scenes.PLACES)):
        image, mask = scenes.render(1, place, np.random.default_rng(4))
        assert image.shape == (192, 320, 3)
        rim = ndimage.binary_dilation(mask, iterations=2)
        np.testing.assert_array_equal(image[~rim], scenes.empty_scene(place)[~rim])
        assert (image[mask] != scenes.empty_scene(place)[mask]).any(axis=-1).mean() > 0.98


def test_the_figure_depends_on_the_generator_alone():
    first, mask = scenes.render(0, 0, np.random.default_rng(8), size=SMALL)
    second, same = scenes.render(0, 1, np.random.default_rng(8), size=SMALL)
    _, other = scenes.render(0, 0, np.random.default_rng(9), size=SMALL)
    np.testing.assert_array_equal(mask, same)
    inside = ndimage.binary_erosion(mask, np.ones((3, 3)))
    assert (first[inside] == second[inside]).mean() > 0.98  # all but thin gaps, where the scene shines through
    assert (mask != other).mean() > 0.02


def test_figures_can_be_told_apart_by_their_clothes():
    colours, labels = [], []
    for figure in (0, 1):
        for seed in range(20):
            image, mask = scenes.render(figure, seed % 2, np.random.default_rng([figure, seed]), size=SMALL)
            colours.append(image[mask].mean(axis=0))
            labels.append(figure)
    points, labels = np.array(colours), np.array(labels)
    means = np.stack([points[labels == figure].mean(axis=0) for figure in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - means, axis=-1).argmin(axis=1)
    assert (nearest == labels).mean() >= 0.95


def test_the_two_scenes_differ_in_brightness():
    house, station = (scenes.empty_scene(place).mean() for place in (0, 1))
    assert house - station > 35


def test_no_figure_and_jitter():
    image, mask = scenes.render(None, 1, np.random.default_rng(0), size=SMALL)
    np.testing.assert_array_equal(image, scenes.empty_scene(1, size=SMALL))
    assert not mask.any()
    shaken, _ = scenes.render(None, 1, np.random.default_rng(0), size=SMALL, background_jitter=0.05)
    assert (shaken != image).mean() > 0.2
    assert abs(float(shaken.mean()) - float(image.mean())) < 20


def test_unknown_numbers():
    with pytest.raises(ValueError, match="figure 2"):
        scenes.render(2, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="place 9"):
        scenes.render(0, 9, np.random.default_rng(0))


def test_layout(written):
    folder, count = written
    names = set(digests(folder))
    expected = {"scenes.json"}
    for group in ("OneBackground", "SeveralBackgrounds", "WithBackgroundsAsClass"):
        expected |= {f"{group}/Train/{name}/{i:02d}.png" for name in ("Ada", "Bo") for i in (1, 2, 3)}
        expected |= {f"{group}/Valid/{name}/{i:02d}.png" for name in ("Ada", "Bo") for i in (1, 2)}
    for group in ("OneBackgroundElsewhere", "InvertedBackgrounds"):
        expected |= {f"{group}/{name}/{i:02d}.png" for name in ("Ada", "Bo") for i in (1, 2)}
    expected |= {f"Masks/{path}" for path in expected if path.endswith(".png")}
    for group in ("BackgroundOnly/NoClass", *(f"WithBackgroundsAsClass/{s}/ZBackground" for s in ("Train", "Valid"))):
        expected |= {f"{group}/house.png", f"{group}/station.png"}
    assert names == expected
    assert count == sum(not path.startswith("Masks/") for path in names) - 1


def test_each_folder_has_its_background(written):
    folder, _ = written
    empty = [pixels(folder / f"BackgroundOnly/NoClass/{name}.png") for name in ("house", "station")]
    wanted = {
        "OneBackground/Valid": (0, 0),
        "OneBackgroundElsewhere": (1, 1),
        "SeveralBackgrounds/Train": (0, 1),
        "SeveralBackgrounds/Valid": (0, 1),
        "WithBackgroundsAsClass/Valid": (0, 1),
        "InvertedBackgrounds": (1, 0),
    }
    for group, places in wanted.items():
        for name, place in zip(("Ada", "Bo"), places, strict=True):
            for path in (folder / group / name).glob("*.png"):
                assert find_background(pixels(path), empty) == place


def test_the_same_figures_before_swapped_scenes(written):
    folder, _ = written
    for name in ("Ada", "Bo"):
        own, swapped = (
            pixels(folder / group / name / "02.png") for group in ("SeveralBackgrounds/Valid", "InvertedBackgrounds")
        )
        mask = pixels(folder / "Masks/SeveralBackgrounds/Valid" / name / "02.png")
        assert set(np.unique(mask)) == {0, 255}
        np.testing.assert_array_equal(mask, pixels(folder / "Masks/InvertedBackgrounds" / name / "02.png"))
        inside = ndimage.binary_erosion(mask > 0, np.ones((3, 3)))
        assert (own[inside] == swapped[inside]).mean() > 0.98
        assert (own[mask == 0] == swapped[mask == 0]).mean() < 0.1


def test_bytes_depend_on_the_seed_alone(written, tmp_path):
    folder, _ = written
    scenes.write_scenes(tmp_path / "again", **OPTIONS)
    assert digests(tmp_path / "again") == digests(folder)
    scenes.write_scenes(tmp_path / "other", seed=1, **OPTIONS)
    other, first = digests(tmp_path / "other"), digests(folder)
    assert other["OneBackground/Train/Ada/01.png"] != first["OneBackground/Train/Ada/01.png"]
    assert other["BackgroundOnly/NoClass/house.png"] == first["BackgroundOnly/NoClass/house.png"]


def test_a_folder_is_left_completed_or_rewritten(tmp_path):
    folder = tmp_path / "set"
    options = {**OPTIONS, "train_per_class": 1, "valid_per_class": 1}
    count = scenes.write_scenes(folder, **options)
    first = digests(folder)
    kept, gone = folder / "OneBackground/Train/Ada/01.png", folder / "Masks/InvertedBackgrounds/Bo/01.png"
    stamp = kept.stat().st_mtime_ns
    gone.unlink()
    assert scenes.write_scenes(folder, **options) == count
    assert digests(folder) == first
    assert kept.stat().st_mtime_ns == stamp
    marker = json.loads((folder / "scenes.json").read_text())
    (folder / "scenes.json").write_text(json.dumps({**marker, "complete": False}))
    kept.write_bytes(kept.read_bytes()[:100])
    scenes.write_scenes(folder, **options)
    assert digests(folder) == first


def test_other_contents_are_refused(written, tmp_path):
    folder, _ = written
    with pytest.raises(UserError, match="another seed"):
        scenes.write_scenes(folder, seed=7, **OPTIONS)
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="not empty"):
        scenes.write_scenes(tmp_path, **OPTIONS)
    with pytest.raises(UserError, match="is a file"):
        scenes.write_scenes(tmp_path / "photo.png", **OPTIONS)
    assert (tmp_path / "photo.png").read_bytes() == b"mine"
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "scenes.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        scenes.write_scenes(damaged, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_per_class": 0}, "train_per_class is 0"),
        ({"valid_per_class": -1}, "valid_per_class is -1"),
        ({"size": (8, 160)}, "too small"),
        ({"places": (0, 0)}, "two different numbers"),
        ({"places": (0, 4)}, "House, Station, Beach, Forest"),
        ({"figures": (0, 2)}, "Ada, Bo"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_wrong_parameters(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        scenes.write_scenes(tmp_path / "set", **{**OPTIONS, **change})
    assert not (tmp_path / "set").exists()


def test_other_places(tmp_path):
    options = {**OPTIONS, "train_per_class": 1, "valid_per_class": 1}
    scenes.write_scenes(tmp_path, **options, places=(3, 2))
    assert {path.name for path in (tmp_path / "BackgroundOnly/NoClass").iterdir()} == {"forest.png", "beach.png"}
    image, mask = (pixels(tmp_path / group / "SeveralBackgrounds/Train/Ada/01.png") for group in ("", "Masks"))
    forest = scenes.empty_scene(3, size=SMALL)
    outside = ~ndimage.binary_dilation(mask > 0, iterations=2)
    np.testing.assert_array_equal(image[outside], forest[outside])
