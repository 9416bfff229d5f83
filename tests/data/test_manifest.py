"""Manifests: what is written is read, what is hostile or wrong is told in one line."""

import csv
import os
import shutil

import numpy as np
import pytest
from test_folder import data_set, fails

from jaxcam.data.folder import load_folder, load_split
from jaxcam.data.images import ImageSet
from jaxcam.data.manifest import Manifest, load_manifest, read_manifest, write_manifest
from jaxcam.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    return data_set(tmp_path / "set", "cat/1.png", "cat/2, odd.png", 'dog/"3".png', "dog/4.png", "owl/5.png")


def written(tmp_path, text, name="set.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_what_is_written_is_read(pictures, tmp_path):
    names = ("cat/1.png", "cat/2, odd.png", 'dog/"3".png', "dog/4.png")
    files = tuple(str(pictures / name) for name in names)
    manifest = Manifest(files, ("cat", "cat", "dog, big", "dog, big"), ("train", "valid") * 2, ("", "7", "7", ""))
    for place in (tmp_path / "a.csv", pictures / "inside.csv", tmp_path / "elsewhere" / "b.csv"):
        write_manifest(place, manifest)
        again = read_manifest(place)
        assert (again.files, again.labels, again.splits, again.groups) == (
            manifest.files, manifest.labels, manifest.splits, manifest.groups,
        )  # fmt: skip
    with open(pictures / "inside.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == list(names)
    assert os.listdir(tmp_path / "elsewhere") == ["b.csv"]  # nothing half-written is left
    # Moved together, the manifest still leads to the pictures.
    shutil.move(pictures, tmp_path / "moved")
    assert len(load_manifest(tmp_path / "moved" / "inside.csv", "train")) == 2


def test_empty_columns_are_left_out(pictures, tmp_path):
    write_manifest(tmp_path / "a.csv", Manifest((str(pictures / "cat/1.png"),), ("cat",), ("",), ("",)))
    assert (tmp_path / "a.csv").read_text() == "path,label\nset/cat/1.png,cat\n"


def test_a_manifest_of_a_folder_gives_the_folders_set(tmp_path):
    root = data_set(tmp_path, *(f"{split}/{name}/{k}.png" for split in ("Train", "Val") for name in "ab" for k in "12"))
    rows = [f"{split}/{name}/{k}.png,{name},{split}" for split in ("Train", "Val") for name in "ab" for k in "12"]
    manifest = written(root, "\n".join(["path,label,split", *rows]))
    for split in ("train", "valid"):
        ours, theirs = load_manifest(manifest, split), load_split(root, split)
        assert (ours.name, ours.class_names) == (theirs.name, theirs.class_names) == (split, ("a", "b"))
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert [ours.file(row) for row in range(4)] == [theirs.file(row) for row in range(4)]
        assert ours.root == root
        assert ours.folder_names == theirs.folder_names


def test_paths_are_names_that_stay_inside(tmp_path):
    """Names become parts of files that are written; `..` and absolute paths must not lead there."""
    data_set(tmp_path, "one/cat/1.png", "two/deep/dog/2.png", "sets/here/cat/3.png")
    text = f"path,label\n../one/cat/1.png,cat\n{tmp_path}/two/deep/dog/2.png,dog\nhere/cat/3.png,cat\n"
    images = load_manifest(written(tmp_path / "sets", text))
    assert images.root == tmp_path
    assert images.paths == ("one/cat/1.png", "two/deep/dog/2.png", "sets/here/cat/3.png")
    assert all(images.file(row).is_file() for row in range(3))


def test_spreadsheets_and_extra_columns(pictures):
    text = "\ufeffLabel, Note ,PATH,Group\r\ncat,hi,cat/1.png,\r\n\r\ndog,,dog/4.png,g\r\n"
    images = load_manifest(written(pictures, text))
    assert (images.class_names, images.paths) == (("cat", "dog"), ("cat/1.png", "dog/4.png"))
    assert images.groups == ("", "g")
    assert images.subset([1]).groups == ("g",)


def test_broken_files_are_listed_and_other_labels_are_unknown(pictures):
    (pictures / "cat" / "empty.png").touch()
    os.mkfifo(pictures / "cat" / "pipe")
    names = ("cat/1.png", "cat/empty.png", "cat/pipe", "cat/none.png", "cat", "owl/5.png", "dog/4.png")
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    images = load_manifest(written(pictures, "\n".join(["path,label", *rows])), class_names=("dog", "cat"))
    assert images.paths == ("cat/1.png", "owl/5.png", "dog/4.png")
    np.testing.assert_array_equal(images.labels, [1, -1, 0])
    assert images.folder_names == ("cat", "owl", "dog")
    assert dict(images.skipped) == {
        "cat/empty.png": "empty file",
        "cat/pipe": "not a regular file",
        "cat/none.png": "No such file or directory",
        "cat": "not a regular file",
    }


HOSTILE = {
    "": "no column 'path', it says nothing",
    "path\na.png\n": "no column 'label'",
    "path,label,path\na,b,c\n": "has the column 'path' twice",
    "path,label\n": "names no pictures",
    "path,label\ncat/1.png\n": "line 2: 1 fields, but the first line names 2",
    "path,label\ncat/1.png,cat,more\n": "line 2: 3 fields, but the first line names 2",
    "path,label\n,cat\n": "line 2: the path is empty",
    "path,label\ncat/1.png,cat\ndog/../cat/1.png,dog\n": "line 3: 'dog/../cat/1.png' stands in line 2 already",
    "path,label,split\ncat/1.png,cat,dev\n": "line 2: unknown split 'dev'; there are: train, valid, test",
    "path,label,split\ncat/1.png,cat,train\ndog/4.png,dog,\n": "1 of 2 rows have no split, the first is 'dog/4.png'",
    "path,label\ncat/1.png,ca\x07t\n": "line 2: label 'ca?t' is too long or has control characters",
    "path,label\n\"cat/\n1.png\",cat\n": "line 3: path 'cat/?1.png' is too long",
    f"path,label\ncat/1.png,{'x' * 300}\n": "is too long",
    f"path,label\ncat/1.png,{'x' * 200_000}\n": "field larger than field limit",
    'path,label\n"cat/1.png,cat\n': "no manifest: unexpected end of data",
    "path,label\ncat/1.png,cat\n": "has one class; at least two labels",
    "path,label\ncat/1.png,\n": "has no classes; at least two labels",
    "path,label\ncat/1.png,cat\nnone.png,dog\n": "class 'dog' of",
    "path,label\nnone.png,cat\nnone2.png,dog\n": "no readable image in",
    "path,label\ncat/1.png,cat\ndog/4.png,dog\nowl/5.png,\n": "'owl/5.png' has no label",
    "path,label,split\ncat/1.png,cat,train\ndog/4.png,dog,valid\n": "is divided into train, valid; name one",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_wrong_table_is_told_in_one_line(pictures, text):
    assert HOSTILE[text] in fails(load_manifest, written(pictures, text))


def test_files_that_are_no_tables(pictures):
    (pictures / "utf16.csv").write_bytes("path,label\n".encode("utf-16"))
    assert "it is not UTF-8 text" in fails(load_manifest, pictures / "utf16.csv")
    shutil.copy(pictures / "cat/1.png", pictures / "png.csv")
    assert "is no manifest" in fails(load_manifest, pictures / "png.csv")
    assert "cannot be read: No such file" in fails(load_manifest, pictures / "absent.csv")
    assert "has no train split; there are: none" in fails(
        load_manifest, written(pictures, "path,label\ncat/1.png,cat\ndog/4.png,dog\n"), "train"
    )
    assert "name that ends in .csv" in fails(write_manifest, pictures / "a.txt", Manifest((), (), (), ()))


def test_mutated_tables_give_a_set_or_one_line(pictures):
    """Random damage of a good table: never anything but a set or a UserError."""
    good = b"path,label,split,group\ncat/1.png,cat,train,\ndog/4.png,dog,train,1\nowl/5.png,owl,valid,1\n"
    rng = np.random.default_rng(0)
    told = loaded = 0
    for _ in range(200):
        damaged = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(damaged)))
            noise = rng.bytes(int(rng.integers(0, 3)))
            damaged[place : place + int(rng.integers(0, 3))] = noise
        (pictures / "m.csv").write_bytes(bytes(damaged))
        try:
            assert isinstance(load_manifest(pictures / "m.csv", "train"), ImageSet)
            loaded += 1
        except UserError as error:
            told += "\n" not in str(error)
    assert told + loaded == 200
    assert min(told, loaded) > 5


def test_folder_sets_keep_their_labels(pictures):
    images = load_folder(pictures)
    assert images.label_names is None
    assert images.folder_names == ("cat", "cat", "dog", "dog", "owl")
