"""Training, and reading runs, from folders, manifests, prepared folders and TFDS; the lab's accident replayed."""

import os
import shutil

import jax
import numpy as np
import pytest
from commands import CLASSES, tree, write_pictures
from jax.experimental.compilation_cache import compilation_cache

from jaxcam import metrics, results
from jaxcam.classifier import Classifier
from jaxcam.cli import main
from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.manifest import write_manifest
from jaxcam.data.preparing import prepare
from jaxcam.data.sets import absolute, listed, load_all
from jaxcam.errors import UserError
from jaxcam.evaluation import predict_set
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.report.cards import in_blocks
from jaxcam.report.gallery import chosen
from jaxcam.report.gather import read_run
from jaxcam.runs import open_sets
from jaxcam.training.command import train
from jaxcam.training.start import image_sets, open_run

QUIET = Progress(quiet=True)
TINY = Config(
    network=Network(name="convnet", width=1 / 16, weights="none", base_end="conv2", head=Head(kind="cam")),
    preprocessing=Preprocessing.named("tf", size=(24, 28)),
    phases=(Phase(trainable="all", epochs=1, batch_size=8),),
)


def tiny(source, **options):
    return Config(**{**TINY.__dict__, "data": Data(source=str(source), **options)})


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """The same network is trained again and again here: compile it once."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The same pictures three times: `pictures`, `pictures.csv`, `prepared`; one of each split is cut off."""
    root = tmp_path_factory.mktemp("sources")
    write_pictures(root / "pictures", train=4, valid=2)
    write_manifest(root / "pictures.csv", listed(root / "pictures")[0])
    prepare(
        load_all(root / "pictures"), absolute(root / "pictures"), "folder", root / "prepared", TINY.preprocessing,
        progress=QUIET,
    )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def runs(place):
    for name in ("pictures", "pictures.csv", "prepared"):
        train(tiny(place / name), place / "runs" / name, progress=QUIET)
    return place / "runs"


def test_the_same_run_whatever_the_pictures_are_kept_in(runs):
    folder, manifest, ready = (tree(runs / name) for name in ("pictures", "pictures.csv", "prepared"))
    assert folder["history.jsonl"] == manifest["history.jsonl"] == ready["history.jsonl"]
    for name in ("predictions/train.csv", "predictions/valid.csv"):
        assert folder[name] == ready[name]
        # A manifest's paths start where all of its pictures lie.
        split = b"Train/" if "train" in name else b"Valid/"
        assert manifest[name].replace(b"\n" + split, b"\n") == folder[name]
        assert folder[name].count(b"unreadable: ") == 1
    prints = {
        Classifier.load(runs / name / "classifier").fingerprint for name in ("pictures", "pictures.csv", "prepared")
    }
    assert len(prints) == 1


def test_a_set_prepared_for_another_size_is_refused_before_anything_is_written(place):
    config = Config(**{**tiny(place / "prepared").__dict__, "preprocessing": Preprocessing.named("tf", size=(28, 24))})
    with pytest.raises(UserError, match="was prepared as 24x28 bilinear stretch, but 28x24 bilinear stretch is needed"):
        train(config, place / "wrong", progress=QUIET)
    assert not (place / "wrong").exists()


def test_sets_of_every_kind_are_opened_by_name(runs, place):
    expected = {"pictures": "pictures", "pictures.csv": "pictures", "prepared": "prepared"}
    rows = {}
    for name, stem in expected.items():
        classifier, sets = open_sets(runs / "pictures", place / name, None)
        assert list(sets) == [f"{stem}_train", f"{stem}_valid"]
        found = predict_set(classifier, sets[f"{stem}_valid"], progress=QUIET, batch_size=4)
        rows[name] = found.logits
        assert len(found.errors) == 1
        assert set(open_sets(runs / "pictures", place / name, "mine")[1]) == {"mine_train", "mine_valid"}
    np.testing.assert_array_equal(rows["pictures"], rows["prepared"])
    np.testing.assert_array_equal(rows["pictures"], rows["pictures.csv"])
    with pytest.raises(UserError, match="no run"):
        open_sets(place / "none", place / "prepared", None)


def shown_cards(run):
    made = chosen(run.splits[:1], None)[0]
    return made, [card for block in in_blocks(run, made.split, made.rows, width=64) for card in block]


def test_the_report_shows_pictures_of_every_kind(runs):
    shown = {}
    for name in ("pictures", "pictures.csv", "prepared"):
        run = read_run(runs / name)
        made, cards = shown_cards(run)
        assert len(cards) == 6
        assert all(card.photo for card in cards)
        assert [path.rpartition("/")[2] for path, _ in made.unreadable] == ["cut.png"]
        shown[name] = {made.split.paths[card.row].removeprefix("Valid/"): card.photo for card in cards}
    assert shown["pictures"] == shown["pictures.csv"]  # the files; of a prepared set it is what the network saw
    assert shown["pictures"].keys() == shown["prepared"].keys()


def test_a_run_knows_its_pictures_in_every_working_directory(place, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    shutil.copytree(place / "pictures", tmp_path / "work" / "set")
    monkeypatch.chdir(tmp_path / "work")
    train(tiny("set"), tmp_path / "run", progress=QUIET)
    monkeypatch.chdir("/")
    classifier, sets = open_sets(tmp_path / "run", None, None)
    assert {name: len(images) for name, images in sets.items()} == {"train": 13, "valid": 7}
    assert predict_set(classifier, sets["valid"], progress=QUIET).readable.shape == (6,)
    run = read_run(tmp_path / "run")
    assert all(card.photo for card in shown_cards(run)[1])
    # Everything moved: what the config says may still lead there.
    shutil.move(tmp_path / "work", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no folder set"):
        open_sets(tmp_path / "run", None, None)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(open_sets(tmp_path / "run", None, None, default="valid")[1]["valid"]) == 7


def changes(place, tmp_path, change):
    """What a run says that is continued after `change` was done to its pictures."""
    shutil.rmtree(tmp_path / "set", ignore_errors=True)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    shutil.copytree(place / "pictures", tmp_path / "set")
    config = tiny(tmp_path / "set")
    open_run(tmp_path / "run", config, image_sets(config.data, 0))
    before = tree(tmp_path / "run")
    open_run(tmp_path / "run", config, image_sets(config.data, 0))  # unchanged: nothing to say
    change(tmp_path / "set")
    with pytest.raises(UserError, match="give another --out") as told:
        train(config, tmp_path / "run", progress=QUIET)
    assert tree(tmp_path / "run") == before
    return str(told.value)


def test_pictures_that_changed_between_start_and_resume_are_noticed(place, tmp_path):
    star = "Train/star/01.png"

    def swap(root):
        (root / "Valid/star/00.png").write_bytes((root / star).read_bytes())

    def flip(root):
        content = (root / star).read_bytes()
        (root / star).write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])

    def relabel(root):
        shutil.move(root / star, root / "Train/checks/zz.png")

    assert "(13 -> 12 pictures, in" in changes(place, tmp_path, lambda root: (root / star).unlink())
    assert "the valid pictures changed since" in changes(place, tmp_path, swap)
    assert "the train pictures changed since" in changes(place, tmp_path, flip)
    assert "(some files differ, in" in changes(place, tmp_path, relabel)
    # Copies elsewhere, with other times, are the same pictures.
    shutil.copytree(place / "pictures", tmp_path / "copy")
    shutil.rmtree(tmp_path / "set")
    os.symlink(tmp_path / "copy", tmp_path / "set")
    config = tiny(tmp_path / "set")
    open_run(tmp_path / "run", config, image_sets(config.data, 0))


def test_labels_that_changed_in_a_manifest_are_noticed(place, tmp_path):
    manifest, _ = listed(place / "pictures")
    write_manifest(tmp_path / "set.csv", manifest)
    config = tiny(tmp_path / "set.csv")
    open_run(tmp_path / "run", config, image_sets(config.data, 0))
    text = (tmp_path / "set.csv").read_text()
    (tmp_path / "set.csv").write_text(text.replace("star/01.png,star,train", "star/01.png,checks,train"))
    with pytest.raises(UserError, match=r"the train pictures changed since .* \(some files differ"):
        open_run(tmp_path / "run", config, image_sets(config.data, 0))


def test_splits_of_manifests(place, tmp_path):
    manifest, _ = listed(place / "pictures")
    write_manifest(tmp_path / "set.csv", manifest)
    swapped = image_sets(Data(source=str(tmp_path / "set.csv"), train="val", valid="Train"), 0)
    assert {name: (images.name, len(images)) for name, images in swapped.items()} == {
        "train": ("train", 7),
        "valid": ("valid", 13),
    }
    rows = manifest.rows([row for row, split in enumerate(manifest.splits) if split == "train"])
    write_manifest(tmp_path / "train.csv", rows)
    held = image_sets(Data(folder=str(tmp_path / "train.csv"), valid_share=0.25), 0)
    assert held["valid"].counts() == dict.fromkeys(CLASSES, 1)
    groups = tuple("7" if "/02" in file or "/03" in file else "" for file in rows.files)
    write_manifest(tmp_path / "groups.csv", rows.__class__(rows.files, rows.labels, ("",) * len(rows), groups))
    for seed in range(5):
        sets = image_sets(Data(source=str(tmp_path / "groups.csv"), valid_share=0.5), seed)
        together = [sum("/02" in path or "/03" in path for path in images.paths) for images in sets.values()]
        assert sorted(together) == [0, 6]
    text = (tmp_path / "set.csv").read_text()
    (tmp_path / "set.csv").write_text(text.replace("star,valid", "moon,valid"))
    with pytest.raises(UserError, match="has classes that training lacks: moon; known are checks, red_disc, star"):
        image_sets(Data(source=str(tmp_path / "set.csv")), 0)
    (tmp_path / "set.csv").write_text(text.replace(",train", ",test"))
    with pytest.raises(UserError, match=r"has no train split, only valid, test; name one with --data\.train"):
        image_sets(Data(source=str(tmp_path / "set.csv")), 0)
    with pytest.raises(UserError, match="mean the same; give one"):
        image_sets(Data(source="a", folder="b"), 0)


def test_the_labs_accident(tmp_path, monkeypatch, capsys):
    """All pictures, then 100, 20 and 10 % of the classes, then repaired: manifests only, no file is moved.

    The imbalanced classifier looks well on pictures that lack the same classes, and poor where all are there.
    """
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "pictures", train=40, valid=20, broken=False)
    files = tree(tmp_path / "pictures")
    keep = ("--keep", "checks=1.0", "red_disc=0.2", "star=0.1", "--splits", "train", "valid")
    assert main(["data", "merge", "pictures", "--out", "full.csv"]) == 0
    assert main(["data", "subset", "full.csv", *keep, "--out", "imbalanced.csv"]) == 0
    assert main(["data", "merge", "imbalanced.csv", "full.csv", "--out", "repaired.csv"]) == 0
    out = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in out if line[0] in CLASSES][3:6] == [
        ["checks", "40", "20"], ["red_disc", "8", "4"], ["star", "4", "2"],
    ]  # fmt: skip
    scores = {}
    for name in ("full", "imbalanced", "repaired"):
        config = Config(
            data=Data(source=f"{name}.csv"),
            network=Network(base_end="block3_conv1", head=Head(kind="cam")),
            preprocessing=Preprocessing.named("tf", size=(32, 32)),
            phases=(Phase(epochs=8, batch_size=16, learning_rate=5e-3),),
        )
        train(config, tmp_path / "runs" / name, progress=QUIET)
        for data in ("full", "imbalanced") if name == "imbalanced" else ("full",):
            classifier, sets = open_sets(tmp_path / "runs" / name, f"{data}.csv", None)
            found = predict_set(classifier, sets[f"{data}_valid"], progress=QUIET)
            text = results.summary(results.results(data, found, seed=0))
            matrix = metrics.confusion_matrix(found.images.labels, found.logits.argmax(1), 3)
            scores[name, data] = (found.accuracy, metrics.balanced_accuracy(matrix))
            assert f"accuracy {found.accuracy:.4f}" in text
            assert f"balanced accuracy {scores[name, data][1]:.4f}" in text
    assert tree(tmp_path / "pictures") == files
    accuracy, balanced = scores["imbalanced", "imbalanced"]
    assert accuracy > balanced + 0.1
    assert scores["imbalanced", "full"][1] < scores["full", "full"][1] - 0.15
    assert scores["repaired", "full"][1] > scores["imbalanced", "full"][1] + 0.15
    assert scores["full", "full"][0] > 0.85
