"""Reading, exporting and drawing the maps of a set: a real one with occlusion, an error and a broken file."""

import csv
import warnings
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from commands import CLASSES, write_pictures
from PIL import Image

import jaxcam
from jaxcam import maps
from jaxcam.config import Config, Network
from jaxcam.data.folder import load_folder
from jaxcam.errors import UserError
from jaxcam.maps import occluded
from jaxcam.maps.export import export
from jaxcam.maps.overlays import write_set_overlays
from jaxcam.maps.panels import Look, colour_bar, fitted, grid
from jaxcam.maps.sheets import chosen, write_sheets
from jaxcam.maps.shown import as_places, set_limits
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.training.start import initial_classifier

METHODS = ("cam", "grad_cam", "eigen_cam", "occlusion")


@pytest.fixture(scope="module")
def classifier():
    network = Network(name="convnet", width=1 / 8, weights="none", base_end="conv4", head=Head(kind="cam"))
    fresh = initial_classifier(Config(network=network, preprocessing=Preprocessing.named("tf", size=(48, 56))), CLASSES)
    # Logits near each other, so that some answers are right and some wrong.
    last = {**fresh.params["conv_last"], "bias": jnp.array([0.2, 0.1, 0.0])}
    return replace(fresh, params={**fresh.params, "conv_last": last})


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten pictures; the last one is cut off in the middle."""
    return load_folder(write_pictures(tmp_path_factory.mktemp("reader") / "set", train=1, valid=3) / "Valid")


@pytest.fixture(scope="module")
def run(classifier, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("read") / "run"
    classifier.save(folder / "classifier")
    maps.run(
        folder,
        images.root,
        name="valid",
        methods=METHODS,
        targets="top2",
        batch_size=4,
        window=(16, 16),
        stride=(16, 20),
    )
    return folder


@pytest.fixture
def opened(run):
    return maps.open(run)


def test_arrays_are_lazy_and_index_like_numpy(opened):
    for name in opened:
        whole = np.asarray(opened[name])
        assert opened[name].shape == whole.shape
        assert (opened[name].dtype, opened[name].ndim, len(opened[name])) == (whole.dtype, whole.ndim, 10)
        for index in (2, -1, slice(2, 9, 3), [7, 0, 7], np.arange(10) % 2 == 0, (3, 0), (slice(0, 4), 0), ...):
            np.testing.assert_array_equal(opened[name][index], whole[index])
        np.testing.assert_array_equal(list(opened[name]), whole)
    np.testing.assert_array_equal(opened["cam"][..., 1:], np.asarray(opened["cam"])[..., 1:])
    with pytest.raises(IndexError):
        opened["cam"][10]
    with pytest.raises(KeyError, match="no array 'lime'; there are cam, grad_cam"):
        opened["lime"]
    assert "read when indexed" in repr(opened["cam"])
    assert set(dict(opened)) == set(opened.keys())


def test_images_are_chosen_by_class_error_and_flag(opened, images):
    names = np.array(CLASSES)
    logits = opened["logits"][:]
    readable = np.isfinite(logits).all(1)
    best = np.where(readable, np.nan_to_num(logits).argmax(1), -1)
    np.testing.assert_array_equal(opened.labels, images.labels)
    np.testing.assert_array_equal(opened.predicted, best)
    assert opened.paths == images.paths
    wrong = readable & (best != images.labels)
    assert 0 < wrong.sum() < 9
    assert opened.errors().paths == tuple(np.array(images.paths)[wrong])
    assert opened.right().paths == tuple(np.array(images.paths)[readable & ~wrong])
    for number, name in enumerate(CLASSES):
        assert opened.of_class(name).rows.tolist() == np.flatnonzero(images.labels == number).tolist()
        assert opened.of_class(name, predicted=True).rows.tolist() == np.flatnonzero(best == number).tolist()
        assert opened.errors(name).rows.tolist() == np.flatnonzero(wrong & (images.labels == number)).tolist()
        assert opened.errors(taken_for=name).rows.tolist() == np.flatnonzero(wrong & (best == number)).tolist()
    assert opened.flagged("could not be read").paths == ("star/cut.png",)
    part = opened.where([8, 1]).where([1])
    assert part.paths == (images.paths[1],)
    np.testing.assert_array_equal(part["cam"][0], opened["cam"][1])
    assert len(opened.of_class("star").of_class("checks")) == 0
    assert opened.of_class("star").of_class("checks")["cam"][:].shape == (0, *opened["cam"].shape[1:])
    with pytest.raises(UserError, match="unknown class 'dog'; there are: checks"):
        opened.of_class("dog")
    assert names[opened.predicted[0]] in CLASSES


def test_one_image_by_its_path(opened, images):
    found = opened.image(images.paths[4])
    for name, values in found.items():
        np.testing.assert_array_equal(values, opened[name][4])
    np.testing.assert_array_equal(opened.of_class("star").image("01.png")["cam"], opened.image("star/01.png")["cam"])
    with pytest.raises(UserError, match=r"3 images end in '01.png'"):
        opened.image("01.png")
    with pytest.raises(UserError, match=r"no image 'moon.png'; paths look like 'checks/00.png'"):
        opened.image("moon.png")
    assert opened.pixels(0).shape == (48, 56, 3)
    with pytest.raises(UserError, match=r"cut.png: "):
        opened.pixels(9)


def test_other_readers_open_the_store(opened, run):
    import xarray
    import zarr

    group = zarr.open_group(run / "maps" / "valid.zarr", mode="r")
    np.testing.assert_array_equal(group["grad_cam"][:], opened["grad_cam"][:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(run / "maps" / "valid.zarr", chunks=None)
        joined = opened.errors().to_xarray()
    assert data["cam"].dims == data["grad_cam"].dims == ("image", "target", "cam_row", "cam_column")
    assert data["occlusion_predicted"].dims == ("image", "occlusion_row", "occlusion_column")
    np.testing.assert_array_equal(data["occlusion"], opened["occlusion"][:])
    assert joined["path"].values.tolist() == list(opened.errors().paths)
    assert joined["label"].values.tolist() == list(opened.errors().label_names)
    np.testing.assert_array_equal(joined["cam"], opened.errors()["cam"][:])
    assert joined["class"].values.tolist() == list(CLASSES)


def test_stores_are_found_or_told(run, tmp_path):
    assert len(maps.open(run / "maps" / "valid.zarr")) == 10
    with pytest.raises(UserError, match="no maps of 'test'"):
        maps.open(run, "test")
    with pytest.raises(UserError, match="compute them with `jaxcam explain`"):
        maps.open(tmp_path)
    import shutil

    shutil.copytree(run / "maps" / "valid.zarr", tmp_path / "alone.zarr")
    alone = maps.open(tmp_path / "alone.zarr")
    assert alone["cam"][3].shape == (2, *alone["cam"].shape[2:])
    with pytest.raises(UserError, match="no table of predictions"):
        alone.errors()


def test_plain_files(opened, tmp_path):
    part = opened.errors()
    files = {path.name for path in export(part, tmp_path, ("npy", "csv"))}
    assert files == {*(f"{name}.npy" for name in opened), "rows.csv", "manifest.json", "scores.csv"}
    for name in opened:
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), part[name][:])
    with open(tmp_path / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(part) * (2 + 2 + 1 + 2)  # eigen_cam has one map an image
    first = lines[0]
    assert (first["path"], first["method"]) == (part.paths[0], "cam")
    values = part["cam"][0, 0].astype(float)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert float(first["peak"]) == pytest.approx(values.max(), rel=1e-4)
    assert float(first["peak_row"]) == pytest.approx((row + 0.5) / values.shape[0], abs=1e-4)
    assert float(first["peak_column"]) == pytest.approx((column + 0.5) / values.shape[1], abs=1e-4)
    assert first["target"] == CLASSES[part["targets"][0, 0]]
    assert export(opened.where([]), tmp_path / "none", ("npy",))


def test_the_whole_sets_occlusion(opened, run, classifier, images):
    found = occluded.global_occlusion(opened)
    labels, logits = images.labels[:9], opened["logits"][:9]
    after = opened["occlusion_predicted"][:9]
    right, still = logits.argmax(1) == labels, after == labels[:, None, None]
    assert found.images == 9
    assert found.accuracy == pytest.approx(right.mean())
    np.testing.assert_allclose(found.accuracy_lost, right.mean() - still.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.flips, (after != logits.argmax(1)[:, None, None]).mean(0), atol=1e-9)
    stars = labels == 2
    np.testing.assert_allclose(found.accuracy_lost_by_class[2], right[stars].mean() - still[stars].mean(0), atol=1e-9)
    change = occluded.erased(opened)
    assert change.images == 9
    drops = opened["occlusion"][:9, 0].reshape(9, -1)
    flips = (after != logits.argmax(1)[:, None, None]).reshape(9, -1)
    assert change.strongest == pytest.approx(flips[np.arange(9), drops.argmax(1)].mean())
    assert change.any_window == pytest.approx(flips.mean())
    lines = occluded.tell(run, "valid", opened)
    assert "costs the most accuracy" in lines[0]
    assert "strongest window changes" in lines[1]
    with np.load(run / "maps" / "valid.occlusion.npz") as stored:
        np.testing.assert_array_equal(stored["accuracy_lost"], found.accuracy_lost)


def test_sheets(opened, images, classifier, tmp_path):
    places, _ = chosen(opened, 5, "class")
    assert np.bincount(images.labels[places], minlength=3).tolist() == [1, 2, 2]
    wrong, words = chosen(opened, 30, "errors")
    assert set(wrong) == set(opened.errors().rows)
    assert words == f"surest of {len(wrong)} errors first"
    scores = opened["scores"][:, 0]
    best, _ = chosen(opened, 4, "score")
    assert best.tolist() == np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:4].tolist()
    assert chosen(opened, 99, "first")[0].tolist() == list(range(9))
    with pytest.raises(UserError, match="at least 1"):
        chosen(opened, 0, "class")
    files = write_sheets(opened, images, tmp_path, classifier.preprocessing, count=4, look=Look(scale="set"))
    assert [path.name for path in files] == [f"{method}_class.jpg" for method in METHODS]
    with Image.open(files[0]) as page:
        assert page.width > 6 * 160
    together = write_sheets(opened, images, tmp_path, classifier.preprocessing, count=4, order="score", together=True)
    assert [path.name for path in together] == ["methods_score.jpg"]
    assert write_sheets(opened.where([]), images, tmp_path, classifier.preprocessing) == []


def test_overlays_of_several_targets(opened, images, classifier, tmp_path):
    part = opened.of_class("star")
    said = write_set_overlays(part, images, tmp_path, classifier.preprocessing, look=Look(scale="set"), kind="png")
    assert said.startswith("21 overlays in ")  # three readable stars, seven maps
    assert said.endswith("(1 unreadable images left out)")
    names = sorted(path.name for path in (tmp_path / "star").iterdir())
    targets = [CLASSES[number] for number in opened["targets"][6]]
    own = {f"00.png_{method}_{name}.png" for method in ("cam", "grad_cam", "occlusion") for name in targets}
    assert own | {"00.png_eigen_cam.png"} == {name for name in names if name.startswith("00.png")}


def test_values_of_windows_are_laid_where_the_windows_are():
    options = {"window": [2, 2], "stride": [2, 2], "segments": 2}
    drops = np.array([[[1.0, 3.0]]])
    placed = as_places(drops, "occlusion", (2, 3), options)
    np.testing.assert_allclose(placed[0, 0], [[1, 2, 3], [1, 2, 3]])
    parts = as_places(np.array([[[1.0, 3.0]]]), "lime", (2, 4), options)
    np.testing.assert_array_equal(parts[0, 0], [[1, 1, 3, 3], [1, 1, 3, 3]])


def test_one_scale_for_a_set(opened):
    values = opened["cam"][:9].astype(np.float32)
    low, high = set_limits(opened, "cam")
    assert (low, high) == (-float(np.abs(values).max()), float(np.abs(values).max()))
    assert set_limits(opened, "grad_cam")[0] == 0
    assert set_limits(opened, "cam", 50)[1] < high
    assert set_limits(opened.where([9]), "cam") == (0, 0)  # nothing but NaN


def test_an_explanation_shows_itself(classifier, images):
    files = [str(images.file(row)) for row in (0, 4)]
    found = classifier.explain(files, methods="occlusion", targets="top2", window=(16, 16), stride=(16, 20))
    assert found["occlusion"].shape == (2, 2, 3, 3)
    assert list(found) == ["occlusion"]
    assert found.scores.shape == found.targets.shape == (2, 2)
    picture = found.show(width=60, opacity=0.4, colormap="seismic", scale="set")
    assert picture.width > 3 * 60
    assert found._repr_png_().startswith(b"\x89PNG")
    one = classifier.explain(files[0], methods=("grad_cam",), targets=np.array([[2, 0]]))
    assert one["grad_cam"].shape == (1, 2, *one["grad_cam"].shape[2:])
    assert one.targets.tolist() == [[2, 0]]
    none = classifier.explain([], methods=("grad_cam",))
    assert none["grad_cam"].shape[0] == 0
    assert none.picture().shape == (16, 16, 3)
    with pytest.raises(UserError, match="unknown option 'windows'; there are: dtype, fill, fuse"):
        classifier.explain(files, windows=(3, 3))
    for wrong in (0.5, [[0], [9]], [0, 1, 2], [], "dog", ["predicted", "dog"]):
        with pytest.raises(UserError, match=r"targets must be|unknown target"):
            classifier.explain(files, targets=wrong)


def test_looks_and_captions():
    for wrong in ({"opacity": 1.5}, {"percentile": 0.0}, {"colormap": "rainbow"}):
        with pytest.raises(UserError, match=r"--opacity|--percentile|unknown colour map"):
            Look(**wrong)
    assert fitted("short.png", 200) == "short.png"
    assert fitted("a_very_long_name_of_a_file_0001.png", 100).endswith(".png")
    assert fitted("anything", 0) == ""
    assert colour_bar(-2.0, 2.0, height=80).shape[0] > 80
    assert colour_bar(0.0, 0.0).shape[2] == 3  # a set of zeros has no range
    tiles = [np.full((10, 20, 3), 9, np.uint8), np.full((30, 10, 3), 200, np.uint8)]
    page = grid(tiles, columns=1, captions=[["one"], ["two"]], heads=["h"], title="title")
    assert page.dtype == np.uint8
    with pytest.raises(ValueError, match="at least 1"):
        grid([], columns=1)
    assert jaxcam.maps.Maps is maps.Maps


def test_a_difference_of_classes_over_a_set(classifier, images, tmp_path):
    found = maps.run(classifier, images, tmp_path, methods="cam", targets="star-checks", dtype="float32", batch_size=3)
    assert (found["targets"][:9] == 2).all()
    assert (found["against"][:9] == 0).all()
    assert (found["targets"][9], found["against"][9]) == (-1, -1)
    assert found["cam"].dtype == np.float32
    logits = found["logits"][:9]
    np.testing.assert_allclose(found["scores"][:9, 0], logits[:, 2] - logits[:, 0], rtol=1e-5, atol=1e-6)
    write_set_overlays(found.where([0]), images, tmp_path / "laid", classifier.preprocessing)
    assert [path.name for path in (tmp_path / "laid" / "checks").iterdir()] == ["00.png_cam.jpg"]
    with pytest.raises(UserError, match="no folder for the maps"):
        maps.run(classifier, images)
