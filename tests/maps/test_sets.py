"""Maps of a whole set: rows, unreadable pictures, refusals, interruptions, devices."""

import csv
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import CLASSES, leftovers, tree, write_pictures

from jaxcam.config import Config, Network
from jaxcam.data.decode import decode
from jaxcam.data.folder import load_folder
from jaxcam.errors import UserError
from jaxcam.evaluation import predict_set
from jaxcam.maps.program import ALL_NEGATIVE, UNREADABLE, compiled_program
from jaxcam.maps.request import Request
from jaxcam.maps.sets import known_flags, run_set
from jaxcam.maps.store import MapStore
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.start import initial_classifier

QUIET = Progress(quiet=True)
BOTH = Request(methods=("cam", "grad_cam"), targets="all")


@pytest.fixture(scope="module")
def classifier():
    network = Network(name="convnet", width=1 / 8, weights="none", base_end="conv4", head=Head(kind="cam"))
    config = Config(network=network, preprocessing=Preprocessing.named("tf", size=(48, 56)))
    fresh = initial_classifier(config, CLASSES)
    # The first class' own maps are negative everywhere, so that there is a flag to be told.
    last = {**fresh.params["conv_last"], "bias": jnp.array([-5.0, 0, 0])}
    return replace(fresh, params={**fresh.params, "conv_last": last})


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten pictures; the last one is cut off in the middle."""
    return load_folder(write_pictures(tmp_path_factory.mktemp("maps") / "set", train=1, valid=3) / "Valid")


@pytest.fixture(scope="module")
def finished(classifier, images, tmp_path_factory):
    """A run's folder with the maps of all classes, in batches of three: the last holds one picture."""
    run = tmp_path_factory.mktemp("finished")
    run_set(classifier, images, run, BOTH, name="valid", batch_size=3, progress=QUIET)
    return run


@pytest.fixture
def store(finished):
    return MapStore.open(finished / "maps" / "valid.zarr")


def table(run):
    with open(run / "predictions" / "valid.csv", newline="") as file:
        return list(csv.DictReader(file))


def again(classifier, images, run, request=BOTH, **options):
    return run_set(classifier, images, run, request, **{"name": "valid", "batch_size": 3, "progress": QUIET} | options)


BROKEN = 9
WHOLE = np.arange(9)


def test_every_row_is_its_own_picture(classifier, images, store):
    pixels = np.stack([decode(images.file(row), classifier.preprocessing) for row in WHOLE])
    maps = classifier.explain(pixels, methods=("cam", "grad_cam"), targets="all")
    for method, values in maps.items():
        np.testing.assert_allclose(store.read(method, WHOLE), values, rtol=2e-3, atol=2e-6)
    np.testing.assert_allclose(store.read("logits", WHOLE), classifier.logits(pixels), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(store.read("targets", WHOLE), np.tile([0, 1, 2], (9, 1)))
    np.testing.assert_array_equal(store.read("scores", WHOLE), store.read("logits", WHOLE))
    assert store.complete
    assert store.batches == 4


def test_rows_of_the_table_are_rows_of_the_store(images, store, finished):
    rows, logits = table(finished), store.read("logits")
    assert [row["path"] for row in rows] == list(images.paths)
    for number in WHOLE:
        shares = np.exp(logits[number]) / np.exp(logits[number]).sum()
        np.testing.assert_allclose([float(rows[number][f"p_{name}"]) for name in CLASSES], shares, atol=2e-6)
        assert rows[number]["predicted"] == CLASSES[logits[number].argmax()]
        assert rows[number]["label"] == images.paths[number].split("/")[0]
        np.testing.assert_allclose(float(rows[number]["loss"]), -np.log(shares[images.labels[number]]), rtol=1e-4)


def test_an_unreadable_picture_keeps_its_row(images, store, finished):
    assert images.paths[BROKEN] == "star/cut.png"
    for name in ("cam", "grad_cam", "logits", "scores"):
        values = store.read(name)
        assert np.isnan(values[BROKEN]).all()
        assert np.isfinite(values[WHOLE]).all()
    assert (store.read("targets")[BROKEN] == -1).all()
    flags = store.read("flags")
    assert (flags[BROKEN] == UNREADABLE).all()
    assert not (flags[WHOLE] & UNREADABLE).any()
    row = table(finished)[BROKEN]
    assert row["flags"].startswith("unreadable: ")
    assert len(row["flags"]) > len("unreadable: ")
    assert {row[key] for key in ("predicted", "loss", "p_checks")} == {""}


def test_flags_are_told_in_words_and_kept_by_new_predictions(classifier, images, store, finished):
    flags, rows = store.read("flags"), table(finished)
    assert (flags[WHOLE, 0, 0] == ALL_NEGATIVE).all()
    assert all("cam: map is negative everywhere before ReLU" in rows[row]["flags"] for row in WHOLE)
    known = known_flags(finished, "valid", classifier, images)
    assert {row: rows[row]["flags"] for row in known if row != BROKEN} == {
        r: w for r, w in known.items() if r != BROKEN
    }
    assert known_flags(finished, "other", classifier, images) == {}
    assert known_flags(finished, "valid", classifier, images.subset(WHOLE)) == {}


def test_two_devices_equal_one(classifier, images, store):
    """The store was filled by two devices; here nothing is sharded."""
    assert jax.device_count() == 2
    pixels = np.stack([decode(images.file(row), classifier.preprocessing) for row in (0, 3, 7)])
    program = compiled_program(classifier, BOTH.checked(classifier))
    out = program(classifier.params, jnp.asarray(pixels), jnp.zeros(3, jnp.int32))
    assert len(out["cam"].sharding.device_set) == 1
    for name, values in out.items():
        np.testing.assert_allclose(store.read(name, [0, 3, 7]), values, rtol=2e-3, atol=1e-5)


def test_a_second_call_computes_nothing_and_changes_nothing(classifier, images, finished):
    before, times = tree(finished), [f.stat().st_mtime_ns for f in sorted((finished / "maps").rglob("*"))]
    again(classifier, images, finished)
    assert tree(finished) == before
    assert [f.stat().st_mtime_ns for f in sorted((finished / "maps").rglob("*"))] == times


def test_other_weights_stages_and_pictures_are_refused_by_name(classifier, images, finished):
    nudged = jax.tree.map(lambda x: x, dict(classifier.params)) | {
        "conv1": jax.tree.map(lambda x: x + 1e-3, classifier.params["conv1"])
    }
    cases = {
        r"classifier: \"[0-9a-f.]+\" -> ": (replace(classifier, params=nudged), images, BOTH),
        r"stage: \"conv4\" -> \"conv3\"": (classifier, images, replace(BOTH, stage="conv3")),
        r"targets: \"all\" -> \"true\"": (classifier, images, replace(BOTH, targets="true")),
        r"methods: \[\"cam\", \"grad_cam\"\] -> \[\"cam\"\]": (classifier, images, replace(BOTH, methods=("cam",))),
        r"images: .*count: 10 -> 9": (classifier, images.subset(WHOLE), BOTH),
    }
    before = tree(finished)
    for message, (other, set_, request) in cases.items():
        with pytest.raises(UserError, match=f"other settings .*{message}"):
            again(other, set_, finished, request)
    with pytest.raises(UserError, match=r"layout\.batch: 3 -> 4"):
        again(classifier, images, finished, batch_size=4)
    assert tree(finished) == before


def test_overwrite_replaces_maps_that_were_made_otherwise(classifier, images, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    request = Request(methods=("grad_cam",), targets="star", stage="conv3")
    store = again(classifier, images, tmp_path / "run", request, overwrite=True)
    assert store.arrays == ("grad_cam", "logits", "targets", "scores", "flags")
    assert store.manifest["stage"] == "conv3"
    assert (store.read("targets", WHOLE) == 2).all()
    assert again(classifier, images, tmp_path / "run", request).complete


def test_pictures_of_other_classes_are_explained_without_a_label(classifier, images, tmp_path):
    shutil.copytree(images.root, tmp_path / "set")
    (tmp_path / "set" / "star").rename(tmp_path / "set" / "moon")
    foreign = load_folder(tmp_path / "set", class_names=CLASSES)
    store = again(classifier, foreign, tmp_path / "run", Request(targets="true"))
    rows, logits = table(tmp_path / "run"), store.read("logits")
    moons = np.flatnonzero(foreign.labels < 0)
    assert [(rows[number]["label"], rows[number]["loss"]) for number in moons] == [("moon", "")] * 4
    assert sum(rows[number]["predicted"] != "" for number in moons) == 3  # and one is cut off
    targets = np.where(foreign.labels >= 0, foreign.labels, logits.argmax(1))
    readable = ~np.isnan(logits).any(1)
    np.testing.assert_array_equal(store.read("targets")[readable, 0], targets[readable])
    only = foreign.subset(moons)
    with pytest.raises(UserError, match="targets 'true' needs labels"):
        again(classifier, only, tmp_path / "run", Request(targets="true"), name="moons")
    with pytest.raises(UserError, match="no pictures"):
        again(classifier, foreign.subset([]), tmp_path / "run", name="none")
    assert not (tmp_path / "run" / "maps" / "moons.zarr").exists()


def test_the_table_says_the_same_as_predictions_without_maps(classifier, images, store):
    predictions = predict_set(classifier, images, progress=QUIET, batch_size=4)
    np.testing.assert_allclose(predictions.logits, store.read("logits"), rtol=1e-4, atol=1e-5)
    assert list(predictions.errors) == [BROKEN]


# Each entry kills the call that goes on where the one before was killed; there are four batches.
MOMENTS = (
    "os.rename .zarr.json.part 1",  # while the group is made
    "open done.jsonl 4",  # some batches are on disk
    "open done.jsonl 3",
    "os.rename .zarr.json.part 1",  # every batch is on disk, the group is not yet marked complete
    "os.rename .valid.csv.part 1",
)


def test_maps_that_were_killed_again_and_again_equal_uninterrupted_ones(shell, trained):
    for copy in ("quiet", "struck"):
        shutil.copytree(trained, shell.folder / copy)
    options = ("--methods", "cam", "grad_cam", "--targets", "all", "--batch-size", 3, "--quiet")
    shell("explain", "quiet", *options)
    done = []
    for moment in MOMENTS:
        shell.killed(moment, "explain", "struck", *options)
        ledger = shell.folder / "struck" / "maps" / "valid.zarr" / "done.jsonl"
        done.append(len(ledger.read_text().splitlines()) if ledger.exists() else None)
    assert done[0] == 0 < done[1] <= done[2] <= done[3] == 4
    assert done[4] is None
    shell("explain", "struck", *options)
    quiet, struck = (tree(shell.folder / copy, "maps", "predictions") for copy in ("quiet", "struck"))
    assert quiet == struck
    assert "maps/valid.zarr/zarr.json" in quiet
    assert leftovers(shell.folder / "struck") == []
