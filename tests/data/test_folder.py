"""Folders as data sets: splits, classes, labels, and what is left out and why."""

import os
import shutil

import numpy as np
import pytest
from conftest import shared
from PIL import Image

from jaxcam.data.folder import ImageSet, find_splits, load_folder, load_split
from jaxcam.errors import UserError


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def data_set(root, *paths):
    for seed, path in enumerate(paths):
        picture(root / path, seed)
    return root


def test_one_folder_a_class(tmp_path):
    images = load_folder(data_set(tmp_path / "Photos", "dog/b.png", "dog/a.png", "Cat/z.png", "Cat/deep/er/y.png"))
    assert images.name == "photos"
    assert images.root == tmp_path / "Photos"
    assert images.class_names == ("Cat", "dog")
    assert images.paths == ("Cat/deep/er/y.png", "Cat/z.png", "dog/a.png", "dog/b.png")
    np.testing.assert_array_equal(images.labels, np.int32([0, 0, 1, 1]))
    assert images.labels.dtype == np.int32
    assert images.folder_names == ("Cat", "Cat", "dog", "dog")
    assert (images.skipped, images.ignored) == ((), 0)
    assert len(images) == 4
    assert images.counts() == {"Cat": 2, "dog": 2}
    assert images.file(2) == tmp_path / "Photos" / "dog" / "a.png"


def test_a_class_whose_name_starts_with_another(tmp_path):
    """Sorted as text alone, "cat dog/x" would come between the files of "cat"."""
    images = load_folder(data_set(tmp_path, "cat/x.png", "cat dog/x.png", "cat.2/x.png"))
    assert images.class_names == ("cat", "cat dog", "cat.2")
    np.testing.assert_array_equal(images.labels, [0, 1, 2])


def test_what_is_not_an_image_is_listed(tmp_path):
    root = data_set(tmp_path / "set", "a/good.png", "b/good.png", "b/suffix_lies.txt")
    picture(tmp_path / "elsewhere.png")
    (root / "a/empty.jpg").touch()
    (root / "a/text.jpg").write_text("hello")
    os.mkfifo(root / "a/pipe.png")
    (root / "a/inside.png").symlink_to(root / "b/good.png")
    (root / "a/outside.png").symlink_to(tmp_path / "elsewhere.png")
    (root / "a/broken.png").symlink_to(root / "nothing")
    (root / "a/loop").symlink_to(root)
    (root / "README.md").write_text("read me")
    os.close(os.open(os.fsencode(root / "a") + b"/\xff.png", os.O_CREAT | os.O_WRONLY))
    picture(root / "b/two\nlines.png")
    for name in ("a/.hidden.png", "a/Thumbs.db", "b/.DS_Store", "__MACOSX/._x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    images = load_folder(root)
    assert images.paths == ("a/good.png", "a/inside.png", "b/good.png", "b/suffix_lies.txt")
    assert dict(images.skipped) == {
        "README.md": "not in a class folder",
        "a/?.png": "name is not UTF-8 or has control characters",
        "a/broken.png": "broken link",
        "a/empty.jpg": "empty file",
        "a/loop": "link to a folder, not followed",
        "a/outside.png": "link out of the folder, not followed",
        "a/pipe.png": "not a regular file",
        "a/text.jpg": "no JPEG, PNG, WebP, BMP, GIF or TIFF image",
        "b/two?lines.png": "name is not UTF-8 or has control characters",
    }
    assert images.ignored == 4


def test_a_root_that_is_a_link_is_fine(tmp_path):
    data_set(tmp_path / "set", "a/1.png", "b/1.png")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    images = load_folder(tmp_path / "link")
    assert len(images) == 2
    assert images.skipped == ()


def test_classes_of_a_classifier(tmp_path):
    root = data_set(tmp_path, "b/1.png", "unknown/1.png", "c/1.png")
    (root / "d").mkdir()
    images = load_folder(root, class_names=("c", "a", "b"))
    assert images.class_names == ("c", "a", "b")
    assert images.folder_names == ("b", "c", "unknown")
    np.testing.assert_array_equal(images.labels, [2, 0, -1])
    assert images.counts() == {"c": 1, "a": 0, "b": 1}
    # One folder, of no known class, is enough to look at pictures of another kind.
    alone = load_folder(data_set(tmp_path / "more", "NoClass/1.png"), class_names=("a", "b"))
    np.testing.assert_array_equal(alone.labels, [-1])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Train", "Valid"), {"train": "Train", "valid": "Valid"}),
        (("test", "val", "train"), {"train": "train", "valid": "val", "test": "test"}),
        (("TRAINING", "Validation"), {"train": "TRAINING", "valid": "Validation"}),
        (("train", "other"), {"train": "train"}),
        (("cat", "dog"), {}),
    ],
)
def test_splits(tmp_path, names, expected):
    data_set(tmp_path, *(f"{name}/{label}/1.png" for name in names for label in "ab"))
    assert list(find_splits(tmp_path).items()) == [(split, tmp_path / name) for split, name in expected.items()]


def test_a_class_called_train_is_no_split(tmp_path):
    data_set(tmp_path, "train/1.png", "plane/1.png")
    assert find_splits(tmp_path) == {}
    assert load_folder(tmp_path).class_names == ("plane", "train")


def test_load_split(tmp_path):
    data_set(tmp_path, "train/a/1.png", "train/b/1.png", "Val/a/2.png", "Val/b/2.png")
    images = load_split(tmp_path, "validation")
    assert images.name == "valid"
    assert images.root == tmp_path / "Val"
    assert images.paths == ("a/2.png", "b/2.png")


def fails(function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_say_what_was_looked_for(tmp_path):
    missing = tmp_path / "missing"
    assert f"no folder {missing}" in fails(load_folder, missing)
    assert "sub-folder of images for each class" in fails(find_splits, missing)
    assert "is a file" in fails(load_folder, picture(tmp_path / "flat" / "1.png"))
    assert "has no sub-folders" in fails(load_folder, tmp_path / "flat")
    single = data_set(tmp_path / "single", "only/1.png")
    assert "a single class folder, 'only'; at least two" in fails(load_folder, single)

    unlabelled = data_set(tmp_path / "unlabelled", "train/1.png", "val/1.png")
    assert "train, val of" in fails(load_folder, unlabelled)
    assert "hold no classes" in fails(load_folder, unlabelled)

    broken = tmp_path / "broken"
    for path in ("a/1.png", "b/1.png"):
        (broken / path).parent.mkdir(parents=True)
        (broken / path).touch()
    assert "no readable image" in fails(load_folder, broken)
    assert "2 skipped, the first is a/1.png: empty file" in fails(load_folder, broken)
    picture(broken / "a/1.png")
    assert "class folder 'b'" in fails(load_folder, broken)
    assert "b/1.png: empty file" in fails(load_folder, broken)
    assert len(load_folder(broken, class_names=("a", "b"))) == 1

    split = data_set(tmp_path / "split", "train/a/1.png", "train/b/1.png")
    assert "has no valid split (found train)" in fails(load_split, split, "val")
    assert "unknown split 'dev'; there are: train, valid, test" in fails(load_split, split, "dev")
    assert "is divided into train" in fails(load_folder, split)
    assert "are no splits" in fails(load_split, split / "train", "train")
    data_set(split, "Training/a/1.png")
    assert "two folders for the split train" in fails(find_splits, split)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_permission(tmp_path):
    data_set(tmp_path, "a/1.png", "b/1.png", "b/closed/2.png")
    (tmp_path / "b/closed").chmod(0)
    try:
        assert dict(load_folder(tmp_path).skipped) == {"b/closed": "Permission denied"}
    finally:
        (tmp_path / "b/closed").chmod(0o700)


def test_subset(tmp_path):
    images = load_folder(data_set(tmp_path, "a/1.png", "a/2.png", "b/1.png"))
    part = images.subset([2, 0])
    assert part.paths == ("b/1.png", "a/1.png")
    np.testing.assert_array_equal(part.labels, [1, 0])
    assert part.class_names == images.class_names
    assert len(images.subset(np.flatnonzero(images.labels == 5))) == 0


def test_fingerprint(tmp_path):
    root = data_set(tmp_path / "one", "a/1.png", "b/1.png")
    images = load_folder(root)
    shutil.copytree(root, tmp_path / "two")
    assert len(images.fingerprint()) == 64
    assert load_folder(tmp_path / "two").fingerprint() == images.fingerprint()
    assert images.subset([0]).fingerprint() != images.fingerprint()
    assert images.subset([1, 0]).fingerprint() != images.fingerprint()
    before = images.fingerprint()
    (root / "a/1.png").write_bytes((root / "a/1.png").read_bytes() + b"\0")
    assert images.fingerprint() != before
    (root / "a/1.png").unlink()
    assert images.fingerprint() != before


def test_tables_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1 paths but 2 labels"):
        ImageSet("x", tmp_path, ("a",), ("a/1",), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match=r"-1\.\.0"):
        ImageSet("x", tmp_path, ("a",), ("a/1",), np.ones(1, np.int32))


def test_many_files_are_all_found(tmp_path):
    source = picture(tmp_path / "a/0.png")
    (tmp_path / "b").mkdir()
    for number in range(1, 3000):
        os.link(source, tmp_path / "ab"[number % 2] / f"{number}.png")
    assert len(load_folder(tmp_path)) == 3000


def test_real_sets():
    cats = shared() / "cats-dogs-small"
    assert list(find_splits(cats)) == ["train", "valid"]
    assert load_split(cats, "train").counts() == {"cat": 140, "dog": 140}
    assert load_split(cats, "valid").counts() == {"cat": 60, "dog": 60}
    bart = shared() / "bart-vs-homer"
    leak = load_split(bart / "SeveralBackgrounds", "train")
    assert leak.counts() == {"Bart": 29, "Homer": 29}
    backgrounds = load_folder(bart / "BackgroundOnly", class_names=leak.class_names)
    assert backgrounds.folder_names == ("NoClass", "NoClass")
    np.testing.assert_array_equal(backgrounds.labels, [-1, -1])
    assert load_split(bart / "WithBackgroundsAsClass", "valid").counts() == {"Bart": 4, "Homer": 4, "ZBackground": 2}
