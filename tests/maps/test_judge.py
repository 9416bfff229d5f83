"""The judgement of a set: the numbers are those of the attribution functions, and the files hold them."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import CLASSES, write_pictures
from PIL import Image

from jaxcam.attribution import deletion, relevance_mass
from jaxcam.attribution.judging import complexity
from jaxcam.attribution.judging.sanity import spearman
from jaxcam.config import Config, Network
from jaxcam.data.folder import load_folder
from jaxcam.errors import UserError
from jaxcam.maps.intervals import Estimate, bootstrap, estimate, paired
from jaxcam.maps.judge import Judgement, forwards, judge_set, one_map, random_params
from jaxcam.maps.judge_table import table, write_judgement
from jaxcam.maps.judging import Judging
from jaxcam.maps.mask_files import read_masks
from jaxcam.maps.measures import BASELINES, BY_NAME, MEASURES, baseline_maps
from jaxcam.maps.request import Request
from jaxcam.maps.sample import mean_colour, pictures
from jaxcam.maps.sets import run_set
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.start import initial_classifier

pytestmark = pytest.mark.usefixtures("quick_compilation")
QUIET = Progress(quiet=True)
REQUEST = Request(methods=("grad_cam", "saliency"), targets="true")
SETTINGS = Judging(
    images=8, steps=3, shares=(0.5,), squares=3, again=5, samples=2, costly=0.5, batch_size=3, resamples=200
)


@pytest.fixture(scope="module")
def classifier():
    network = Network(name="convnet", width=1 / 8, weights="none", base_end="conv4", head=Head(kind="cam"))
    return initial_classifier(Config(network=network, preprocessing=Preprocessing.named("tf", size=(48, 56))), CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pictures, the last one cut off in the middle, and masks of their left halves but for one."""
    root = write_pictures(tmp_path_factory.mktemp("judge") / "set", train=1, valid=3)
    for file in sorted((root / "Valid").glob("*/*.png"))[1:]:
        mask = np.zeros((40, 40), np.uint8)
        mask[:, :20] = 255
        (root / "Masks" / file.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / "Masks" / file.parent.name / f"{file.stem}.bmp")
    return root


@pytest.fixture(scope="module")
def images(folder):
    return load_folder(folder / "Valid")


@pytest.fixture(scope="module")
def store(classifier, images, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return run_set(classifier, images, run, REQUEST, name="valid", batch_size=4, progress=QUIET)


@pytest.fixture(scope="module")
def judgement(classifier, images, store, folder) -> Judgement:
    return judge_set(classifier, images, store, REQUEST, settings=SETTINGS, masks=folder / "Masks", progress=QUIET)


def test_every_method_and_baseline_has_every_measure(judgement):
    assert judgement.rows == (0, 1, 2, 3, 4, 5, 6, 7)
    assert tuple(judgement.values) == ("grad_cam", "saliency", *BASELINES)
    everything = {measure.name for measure in MEASURES}
    for name, found in judgement.values.items():
        again = {measure.name for measure in MEASURES if measure.needs == "again"}
        assert set(found) == (everything - again if name == "saliency" else everything)
        assert all(values.shape == (8,) for values in found.values())
    assert judgement.notes == (
        "not made again, for their cost: saliency",
        "1 of 8 images have no mask, or an empty one",
    )


def test_numbers_are_those_of_the_functions(classifier, images, store, folder, judgement):
    rows = np.array(judgement.rows)
    pixels = np.stack([images.decode(row, classifier.preprocessing) for row in rows])
    inputs = classifier.preprocessing.normalise(jnp.asarray(pixels))
    large = jax.image.resize(jnp.asarray(one_map(store, "grad_cam", rows)), (8, 48, 56), "linear")
    found = judgement.values["grad_cam"]
    np.testing.assert_allclose(found["gini"], complexity.gini(large), rtol=1e-4)
    masks = read_masks(folder / "Masks", images, rows, classifier)
    assert masks[1:, :, :27].all()
    assert not masks[1:, :, 29:].any()
    np.testing.assert_allclose(found["energy"], relevance_mass(large, jnp.asarray(masks)), rtol=1e-4)
    assert np.isnan(found["energy"][0])
    colour = jnp.asarray(mean_colour(pictures(classifier, images, SETTINGS.images)))
    curve = jax.jit(
        lambda maps: deletion(
            lambda x: classifier.chain.apply(classifier.params, x),
            inputs,
            maps,
            jnp.asarray(images.labels[rows]),
            steps=3,
            fill=classifier.preprocessing.normalise(colour[None, None, None])[0, 0, 0],
            key=jax.random.key(0),
        )
    )
    np.testing.assert_allclose(found["deletion"], curve(large).area, rtol=1e-3)


def test_maps_are_made_again_of_random_networks(classifier, images, judgement):
    rows = np.array([0, 1, 3, 4, 6])  # five of eight, evenly spread
    found = judgement.values["grad_cam"]
    for measure in ("random_top", "random_all", "sensitivity"):
        assert np.isfinite(found[measure][rows]).any()
        assert np.isnan(np.delete(found[measure], rows)).all()
    pixels = np.stack([images.decode(row, classifier.preprocessing) for row in rows])
    fresh = type(classifier)(
        classifier.network, random_params(classifier, 0), classifier.preprocessing, classifier.class_names
    )
    maps = [
        jnp.asarray(one.explain(pixels, methods=("grad_cam",), targets=images.labels[rows])["grad_cam"])
        for one in (classifier, fresh)
    ]
    np.testing.assert_allclose(found["random_all"][rows], spearman(*maps), atol=2e-2)
    for name in BASELINES:
        np.testing.assert_allclose(judgement.values[name]["random_all"][rows], 1, atol=1e-5)
    np.testing.assert_array_equal(judgement.values["centre"]["sensitivity"][rows], 0)
    assert (judgement.values["edges"]["sensitivity"][rows] > 0.001).all()


def test_baselines_know_nothing_of_the_network():
    pixels = jnp.zeros((2, 30, 40, 3), jnp.uint8).at[:, :, 20:].set(200)
    baselines = jax.jit(baseline_maps, static_argnums=2)
    maps = baselines(pixels, jnp.array([4, 9]), 0)
    assert set(maps) == set(BASELINES)
    assert not np.allclose(maps["random"][0], maps["random"][1])
    alone = baselines(pixels[:1], jnp.array([9]), 0)["random"][0]
    np.testing.assert_allclose(alone, maps["random"][1], atol=1e-6)
    edges = np.asarray(maps["edges"][0])
    assert (edges[:, 19:21] > 0).all()
    assert (edges[:, :19] == 0).all()
    assert (edges[:, 21:] == 0).all()
    peak = np.unravel_index(np.asarray(maps["centre"][0]).argmax(), (30, 40))
    assert peak in ((14, 19), (14, 20), (15, 19), (15, 20))


def test_table_and_files(judgement, tmp_path):
    text = table(judgement)
    lines = text.splitlines()
    assert lines[0].split() == ["grad_cam", "saliency", "|", *BASELINES]
    assert [line.split()[0] for line in lines[1 : 1 + len(MEASURES)]] == [measure.name for measure in MEASURES]
    assert "note: not made again, for their cost: saliency" in lines
    (tmp_path / "judge.json").write_text(json.dumps({"other": {"methods": {}, "measures": {}}}))
    write_judgement(tmp_path, "valid", judgement)
    sets = json.loads((tmp_path / "judge.json").read_text())
    assert list(sets) == ["other", "valid"]
    energy = sets["valid"]["methods"]["grad_cam"]["energy"]
    values = judgement.values["grad_cam"]["energy"]
    assert energy["mean"] == pytest.approx(np.nanmean(values), rel=1e-4)
    assert energy["low"] < energy["mean"] < energy["high"]
    defined = int(np.isfinite(values).sum())
    assert 1 < defined < 8
    assert (energy["images"], energy["undefined"]) == (defined, 8 - defined)
    difference = values - judgement.values["random"]["energy"]
    assert energy["over_random"]["mean"] == pytest.approx(np.nanmean(difference), rel=1e-3, abs=1e-6)
    with open(tmp_path / "judge.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * len(MEASURES) + len(MEASURES) - 3
    assert {row["better"] for row in rows if row["measure"] == "gini"} == {"neither"}


def test_mistakes_are_told(classifier, images, store, folder, tmp_path):
    judge = lambda request=REQUEST, **options: judge_set(
        classifier, images, store, request, settings=SETTINGS, progress=QUIET, **options
    )
    with pytest.raises(UserError, match="one map an image"):
        judge(Request(methods=("grad_cam",), targets="all"))
    with pytest.raises(UserError, match="no folder"):
        judge(masks=folder / "nothing")
    with pytest.raises(UserError, match="no mask for any image"):
        judge(masks=tmp_path)
    for wrong in ({"images": 0}, {"shares": ()}, {"shares": (1.5,)}, {"levels": 0.0}, {"tolerance": 1.0}, {"seed": -1}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Judging(**wrong)


def test_intervals():
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = bootstrap(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    found = estimate(np.array([1.0, 1, 1, 0, np.nan]), share=True)
    assert (found.mean, found.count, found.undefined) == (0.75, 4, 1)
    assert (found.low, found.high) == pytest.approx((0.3006, 0.9544), abs=1e-3)  # Wilson, 3 of 4
    assert estimate(np.full(3, np.nan)).count == 0
    assert np.isnan(estimate(np.array([2.0])).low)
    shifted = paired(values + 1, values)
    assert isinstance(shifted, Estimate)
    np.testing.assert_allclose((shifted.mean, shifted.low, shifted.high), 1)
    assert paired(np.array([1.0, np.nan]), np.array([np.nan, 1.0])).count == 0


def test_cost_is_told():
    assert forwards(SETTINGS) == 2 * 4 + 2 + 2 + 4
    assert {measure.better for measure in BY_NAME.values()} == {"higher", "lower", "neither"}
