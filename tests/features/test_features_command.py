"""`jaxcam features`: the four kinds on a tiny run, in this process; mistakes; going on; the page with hostile names."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcam.classifier import Classifier
from jaxcam.cli import main
from jaxcam.errors import UserError
from jaxcam.features import embedding, extraction, filters, projections
from jaxcam.features.filter_settings import FilterSettings
from jaxcam.networks import Head, NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("quick_compilation")
HEAD = Head(kind="cam")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A classifier with a dead channel, and a set of two splits with a broken file and a hostile name."""
    import jax

    folder = tmp_path_factory.mktemp("features") / "run"
    spec = NetworkSpec(
        name="convnet", width=1 / 8, classes=2, base_end="conv2", head=Head(kind="cam"), input_size=(24, 28)
    )
    params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
    params["conv1"]["bias"] = params["conv1"]["bias"].at[1].set(-1e6)
    clf = Classifier(spec, params, Preprocessing.named("tf", size=(24, 28)), ("cat", HOSTILE))
    clf.save(folder / "classifier")
    rng = np.random.default_rng(0)
    for split in ("train", "valid"):
        for label, name in enumerate(clf.class_names):
            inside = folder.parent / "set" / split / name
            inside.mkdir(parents=True)
            for number in range(5):
                shade = 90 * label + rng.integers(0, 99, (30, 40, 3))
                Image.fromarray(shade.astype(np.uint8)).save(inside / f"{number}.png")
        (inside / "broken.png").write_bytes((inside / "0.png").read_bytes()[:200])
    return folder


def test_activations(run, capsys):
    pictures = run.parent / "set" / "valid"
    assert (
        main(["features", str(run), "activations", "--images", str(pictures), "--limit", "4", "--channels", "--quiet"])
        == 0
    )
    assert "1 of 4 channels dead" in capsys.readouterr().out
    folder = run / "features" / "activations"
    about = json.loads((folder / "activations.json").read_text())
    stages = {one["stage"]: one for one in about["stages"]}
    assert stages["conv1"]["dead_channels"] == [1]
    assert 0.25 <= stages["conv1"]["zeros"] < 1
    grids = sorted(folder.glob("*/00_conv1.png"))
    assert len(grids) == len(about["images"])
    dead = np.asarray(Image.open(grids[0].with_suffix("") / "0001.png"))
    assert (dead == dead[0, 0]).all()
    rows = list(csv.DictReader((folder / "channels.csv").read_text().splitlines()))
    assert [row["dead"] for row in rows if row["stage"] == "conv1"] == ["0", "1", "0", "0"]


@pytest.mark.parametrize("recipe", ["fourier", "book"])
def test_filters(run, recipe, capsys):
    words = [
        "features",
        "filters",
        str(run),
        "--stages",
        "conv2",
        "--recipe",
        recipe,
        "--size",
        "20",
        "20",
        "--steps",
        "2",
    ]
    assert main([*words, "--quiet"]) == 0
    folder = run / "features" / "filters"
    with Image.open(folder / f"conv2_{recipe}.png") as grid:
        assert grid.size == (8 * 25 - 5, 20)
    assert len((folder / f"conv2_{recipe}.csv").read_text().splitlines()) == 9


def test_dreams(run, capsys):
    picture = next((run.parent / "set" / "valid" / "cat").glob("*.png"))
    words = ["--stages", "conv1=0.5", "conv2", "--octaves", "2", "--steps", "1", "--quiet", "--classes", "all"]
    assert main(["features", str(run), "dream", "--images", str(picture), *words]) == 0
    found = sorted((run / "features" / "dream").iterdir())
    assert len(found) == 3
    with Image.open(run / "features" / "dream" / f"{picture.stem}.png") as dreamed:
        assert dreamed.size == (40, 30)


def test_mistakes_are_one_line(run, capsys):
    wrong = (
        ["features", str(run), "nothing"],
        ["features", str(run), "filters", "--stages", "conv9", "--quiet"],
        ["features", str(run), "filters", "--stages", "conv2", "--channels", "99", "--quiet"],
        ["features", str(run), "filters", "--stages", "conv2", "--size", "2", "2", "--quiet"],
        ["features", str(run), "activations", "--images", str(run / "none.png")],
        ["features", str(run), "dream"],
        ["features", str(run), "dream", "--classes", "dog"],
        ["features", str(run), "dream", "--images", str(run.parent / "set"), "--stages", "conv1=x"],
        ["features", str(run), "embedding", "--data", str(run.parent / "set"), "--stage", "conv9"],
        ["features", str(run), "embedding", "--data", str(run.parent / "set"), "--perplexity", "0"],
    )
    for words in wrong:
        assert main([*words]) == 2
        said = capsys.readouterr().err.strip()
        assert said.startswith("jaxcam: ")
        assert "\n" not in said
    assert main(["features", "--help"]) == 0


def test_embedding(run, tmp_path, capsys):
    words = ["embedding", "--data", str(run.parent / "set"), "--batch-size", "4", "--out", str(tmp_path), "--quiet"]
    assert main(["features", str(run), *words]) == 0
    assert "20 pictures" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "embedding.csv").read_text().splitlines()))
    assert [row["split"] for row in rows] == ["set_train"] * 10 + ["set_valid"] * 10
    assert {row["label"] for row in rows} == {"cat", HOSTILE}
    assert len(json.loads((tmp_path / "embedding.json").read_text())["unreadable"]) == 2
    page = tmp_path / "index.html"
    assert "<img src=x" not in page.read_text()


def test_extraction_goes_on_and_starts_anew(run, tmp_path, monkeypatch):
    from jaxcam.data.sets import load_set

    clf = Classifier.load(run / "classifier")
    images = load_set(run.parent / "set", "train", class_names=clf.class_names)
    monkeypatch.setattr(extraction, "PART", 4)
    whole = extraction.extract(clf, images, tmp_path / "a", stage="conv2", batch_size=4)
    expected = np.asarray(clf.apply(clf.params, jnp.asarray(clf.prepare([str(images.file(0))])), stop="conv2")).mean(
        (1, 2)
    )
    np.testing.assert_allclose(whole.features[0], expected[0], rtol=1e-4, atol=1e-5)
    assert len(whole.errors) == 1
    assert np.isnan(whole.features[list(whole.errors)]).all()
    kept = (tmp_path / "a" / extraction.part_name(4)).stat().st_mtime_ns
    (tmp_path / "a" / extraction.part_name(0)).unlink()
    again = extraction.extract(clf, images, tmp_path / "a", stage="conv2", batch_size=4)
    np.testing.assert_array_equal(again.features, whole.features)
    assert (tmp_path / "a" / extraction.part_name(4)).stat().st_mtime_ns == kept
    other = extraction.extract(clf, images, tmp_path / "a", stage="conv2", batch_size=4, pool="max")
    assert (np.nan_to_num(other.features) >= np.nan_to_num(whole.features) - 1e-5).all()


def test_projections_of_few_and_equal_rows():
    for rows in (np.zeros((1, 3)), np.ones((2, 3)), np.ones((6, 3)), np.eye(3)):
        places, _ = projections.project(rows.astype(np.float32), ("pca", "tsne"))
        assert all(np.isfinite(value).all() and value.shape == (len(rows), 2) for value in places.values())
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 7)).astype(np.float32)
    places, shares = projections.project(values, ("pca",))
    _, sizes, axes = np.linalg.svd(values - values.mean(0))
    np.testing.assert_allclose(
        np.abs(places["pca"]), np.abs((values - values.mean(0)) @ axes[:2].T), rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(shares, (sizes**2 / (sizes**2).sum())[:2], rtol=1e-4)
    rows, alike = projections.nearest(values, values, 5, itself=True)
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    angles = units @ units.T - 9 * np.eye(40)
    assert (rows == np.argsort(-angles, axis=1)[:, :5]).all()
    np.testing.assert_allclose(alike, np.sort(angles, axis=1)[:, ::-1][:, :5], rtol=1e-5)
    assert projections.nearest(values[:1], values[:1], 8, itself=True)[0].shape == (1, 0)


def test_dead_channels_are_crossed_out_and_few_channels_leave_no_gap(run):
    clf = Classifier.load(run / "classifier")
    found = filters.filter_patterns(clf, "conv1", None, FilterSettings(steps=1))
    assert 1 in found.silent
    assert found.pictures.shape[1:3] == (32, 32)  # a first stage: few pixels, drawn larger
    numbers = tuple(range(9))
    nine = filters.Filters("conv1", numbers, np.zeros((9, 4, 4, 3), np.uint8), np.zeros(9), np.arange(9.0) - 1, True)
    assert nine.silent == [0, 1]
    files = filters.write_filters(nine, run / "nine", FilterSettings(size=(4, 4)))
    with Image.open(files[0]) as grid:
        assert grid.size == (2 * 9 - 5, 8 * 9 - 5)
        assert np.asarray(grid)[:4, :4].max() > np.asarray(grid)[18:22, :4].max() == 0
    large = filters.write_filters(nine, run / "nine", FilterSettings())
    with Image.open(large[0]) as grid:
        assert grid.size == (2 * 133 - 5, 8 * 133 - 5)


def test_features_go_into_parquet(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": ["a.png", "\udce4.png"], "probability": np.array([0.5, 1], np.float32)}
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = parquet.read_table(embedding.write_parquet(tmp_path / "e.parquet", columns, features))
    assert table.schema.names == ["path", "probability", "features"]
    np.testing.assert_array_equal(np.stack(table["features"].to_numpy()), features)


def test_umap_where_it_is_missing(monkeypatch):
    values = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    monkeypatch.setattr(projections, "available", lambda: ("pca", "tsne"))
    with pytest.raises(UserError, match="pip install umap-learn"):
        projections.project(values, ("umap",))
