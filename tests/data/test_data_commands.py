"""`jaxcam data split`, `subset`, `merge` and `prepare`: what they write and print, and mistakes told in one line."""

import csv
from collections import Counter

import pytest
from commands import CLASSES, write_pictures

from jaxcam.cli import main
from jaxcam.data.manifest import read_manifest
from jaxcam.data.sets import load_set


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    write_pictures(folder / "pictures", train=10, valid=5)
    (folder / "pictures" / "Train" / "star" / "Thumbs.txt").write_text("no picture")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def call(desk, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.chdir(desk)
        status = main(["data", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def counted(path):
    manifest = read_manifest(path)
    return Counter(zip(manifest.labels, manifest.splits, strict=True))


def test_from_a_folder_to_splits_subsets_and_merged_sets(call, desk):
    status, out, err = call("split", "pictures/Train", "--out", "set.csv", "--shares", "train=.7", "val=.3")
    assert (status, "--shares names val" in err) == (2, True)
    assert not (desk / "set.csv").exists()
    status, out, err = call("split", "pictures/Train", "--out", "set.csv", "--shares", "train=.7", "valid=.3")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "set.csv: 31 pictures of 3 classes",
        "              train    valid",
        "  checks          7        3",
        "  red_disc        7        3",
        "  star            8        3",
        "  left out 1 files that are no images, the first is star/Thumbs.txt: no JPEG, PNG, WebP, BMP, GIF or TIFF "
        "image",
    ]
    with open(desk / "set.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"path", "label", "split"}
    assert rows[0]["path"] == "pictures/Train/checks/00.png"
    assert len(load_set(desk / "set.csv", "train")) == 22
    before = (desk / "set.csv").read_bytes()
    call("split", "pictures/Train", "--out", "set.csv", "--shares", "train=.7", "valid=.3")
    assert (desk / "set.csv").read_bytes() == before

    assert call("subset", "set.csv", "--keep", "checks=0.2", "star=3", "--out", "few.csv")[0] == 0
    assert counted(desk / "few.csv") == {
        ("checks", "train"): 1, ("red_disc", "train"): 7, ("star", "train"): 3,
        ("checks", "valid"): 3, ("red_disc", "valid"): 3, ("star", "valid"): 3,
    }  # fmt: skip
    assert call("subset", "set.csv", "--keep", "checks=0.2", "--splits", "all", "--out", "few.csv")[0] == 0
    assert counted(desk / "few.csv")["checks", "valid"] == 1
    assert call("subset", "pictures", "--keep", "checks=0.2", "--splits", "Val", "--out", "few.csv")[0] == 0
    assert counted(desk / "few.csv")["checks", "valid"] == 1
    assert counted(desk / "few.csv")["checks", "train"] == 10

    assert call("merge", "pictures", "set.csv", "--map", "s*=things", "checks=", "--out", "all.csv")[0] == 2
    status, out, err = call("merge", "set.csv", "--map", "s*=things", "checks=", "--out", "all.csv")
    assert (status, err) == (0, "")
    assert counted(desk / "all.csv") == {
        ("red_disc", "train"): 7, ("things", "train"): 8, ("red_disc", "valid"): 3, ("things", "valid"): 3,
    }  # fmt: skip
    (desk / "map.csv").write_text("old,new\nred_disc,things\n*,rest\n")
    assert call("merge", "set.csv", "--map-file", "map.csv", "--out", "all.csv")[0] == 0
    assert {label for label, _ in counted(desk / "all.csv")} == {"things", "rest"}


def test_groups_of_near_duplicates_are_told(call, desk):
    (desk / "scan.csv").write_text(
        "path,group\n" + "".join(f"Train/checks/{k:02d}.png,g{k // 4}\n" for k in range(8)) + "Valid/star/00.png,\n"
    )
    status, out, _ = call("split", "pictures", "--anew", "--groups", "scan.csv", "--out", "grouped.csv", "--seed", 4)
    assert status == 0
    assert out.startswith("grouped.csv: 47 pictures of 3 classes, 2 groups of near duplicates kept together\n")
    manifest = read_manifest(desk / "grouped.csv")
    for name in ("g0", "g1"):
        assert len({split for split, group in zip(manifest.splits, manifest.groups, strict=True) if group == name}) == 1


def test_prepare_tells_what_it_left_out(call, desk):
    status, out, err = call("prepare", "pictures", "--out", "ready", "--size", 8, 10)
    assert (status, out) == (0, "ready: 47 pictures at 8x10, 0.00 GiB; 2 could not be read, see rows.csv\n")
    assert "skipped star/Thumbs.txt: no JPEG" in err
    assert load_set(desk / "ready", "valid").class_names == CLASSES
    assert call("prepare", "pictures", "--out", "ready", "--size", 8, 10, "--quiet")[:2] == (0, out)


MISTAKES = {
    ("split", "absent", "--out", "x.csv"): "no folder absent",
    ("split", "pictures", "--out", "x.csv"): "pictures is divided into train, valid already; give --anew",
    ("split", "notes.txt", "--out", "x.csv"): "notes.txt is a file",
    ("split", "tfds:shapes", "--out", "x.csv"): "a manifest can only name files",
    ("split", "pictures/Train", "--out", "x.txt"): "give it a name that ends in .csv",
    ("split", "pictures/Train", "--out", "x.csv", "--seed", "-1"): "--seed is -1",
    ("split", "pictures/Train", "--out", "x.csv", "--shares", "train"): "--shares 'train' is no pair",
    ("split", "pictures/Train", "--out", "x.csv", "--shares", "train=x"): "'x' is no number",
    ("split", "pictures/Train", "--out", "x.csv", "--shares", "train=.5", "train=.5"): "--shares names 'train' twice",
    ("split", "pictures/Train", "--out", "x.csv", "--groups", "notes.txt"): "has no columns 'path' and 'group'",
    ("subset", "pictures", "--out", "x.csv", "--keep", "moon=.5"): "no such class; there are: checks, red_disc, star",
    ("subset", "pictures", "--out", "x.csv", "--keep"): "nothing to keep",
    ("subset", "pictures", "--out", "x.csv", "--keep", "star=2", "--splits", "dev"): "no pictures in split 'dev'",
    ("subset", "pictures", "--out", "x.csv", "--keep", "star=nan"): "give a share from 0 to 1",
    ("subset", "pictures", "--keep", "star=.5"): "the manifest to write (required)",
    ("merge", "--out", "x.csv"): "no sets",
    ("merge", "pictures", "--out", "x.csv", "--map", "=x"): "--map '=x' is no pair",
    ("merge", "pictures", "--out", "x.csv", "--map", "moon=x"): "--map moon=x applies to no class",
    ("merge", "pictures", "--out", "x.csv", "--map-file", "absent"): "absent cannot be read",
    ("prepare", "absent", "--out", "x"): "no folder absent",
    ("prepare", "pictures", "--out", "notes.txt"): "--out notes.txt is a file",
    ("prepare", "pictures", "--out", "pictures"): "--out pictures is not empty and holds no prepared set",
    ("prepare", "pictures", "--out", "x", "--size", "0", "8"): "--size is 0 8",
    ("prepare", "pictures", "--out", "x", "--size", "99999", "8"): "both must lie in 1 to 16384",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_told_in_one_line(call, desk, arguments):
    status, _, err = call(*arguments)
    assert (status, err.count("\n") - err.count("skipped"), err.splitlines()[-1][:8]) == (2, 1, "jaxcam: ")
    assert MISTAKES[arguments] in err
    assert not (desk / "x.csv").exists()
