"""Prepared sets: the same pixels as decoding, found to be stale, damaged or half-written, resumed after a kill."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from commands import leftovers, tree, write_pictures
from test_folder import fails

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.images import resizing
from jaxcam.data.loader import batches, epoch_order
from jaxcam.data.manifest import write_manifest
from jaxcam.data.prepared import described
from jaxcam.data.preparing import prepare
from jaxcam.data.sets import absolute, kind_of, listed, load_all, load_set, reader, splits_of, word_for
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

SETTINGS = Preprocessing.named("tf", size=(20, 24), fit="crop", resize="bicubic")
QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """`Train` and `Valid` with three classes, a truncated file in each, and one that is no picture."""
    root = write_pictures(tmp_path_factory.mktemp("prepared") / "set", train=4, valid=2)
    (root / "Train" / "star" / "note.txt").write_text("hello")
    return root


def prepared(source, out, settings=SETTINGS, **options):
    return prepare(load_all(source), absolute(source), kind_of(source), out, settings, progress=QUIET, **options)


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "prepared"
    prepared(pictures, out)
    return out


@pytest.fixture
def copy(pictures, finished, tmp_path):
    """Pictures and what was prepared from them, to be changed; the times of the files are new."""
    source, out = tmp_path / "set", tmp_path / "prepared"
    shutil.copytree(pictures, source)
    prepared(source, out)
    return source, out


def test_the_same_batches_as_decoding_bit_for_bit(pictures, finished):
    assert splits_of(finished) == ("train", "valid")
    for split in ("train", "valid"):
        plain, ready = load_set(pictures, split), load_set(finished, split)
        for key in ("name", "class_names", "paths", "skipped", "folder_names"):
            assert getattr(plain, key) == getattr(ready, key), key
        np.testing.assert_array_equal(plain.labels, ready.labels)
        assert plain.fingerprint() == ready.fingerprint()
        order = np.r_[epoch_order(len(plain), seed=0, epoch=1), -1, 0, 0]
        for size in (3, 200):
            ours, theirs = (list(batches(one, SETTINGS, batch_size=size, order=order)) for one in (plain, ready))
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                for key in ("images", "labels", "index", "mask"):
                    np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
                assert one.errors == other.errors
        assert sum(len(batch.errors) for batch in ours) == 1
        for row in (0, 5):
            np.testing.assert_array_equal(plain.decode(row, SETTINGS), ready.decode(row, SETTINGS))
        with pytest.raises(UnreadableImage, match="truncated"):
            ready.decode(ready.paths.index("star/cut.png"), SETTINGS)
        # Subsets and other classes look up the same pictures.
        part = load_set(finished, split, class_names=("star",)).subset([4, 2])
        np.testing.assert_array_equal(part.decode(0, SETTINGS), plain.decode(4, SETTINGS))
        assert part.labels.tolist() == [0 if plain.folder_names[row] == "star" else -1 for row in (4, 2)]


def test_other_tools_can_read_the_array(finished):
    array = np.load(finished / "images.npy", mmap_mode="r")
    assert (array.shape, array.dtype) == ((20, 20, 24, 3), np.dtype(np.uint8))
    assert sorted(file.name for file in finished.iterdir()) == ["images.npy", "prepared.json", "rows.csv"]


def test_another_size_or_filter_is_refused(finished):
    images = load_set(finished, "train")
    images.check(replace(SETTINGS, mean=(1.0, 2.0, 3.0)))  # what happens on the device does not matter
    for other in (
        replace(SETTINGS, size=(24, 20)),
        replace(SETTINGS, resize="nearest"),
        replace(SETTINGS, fit="stretch"),
    ):
        told = fails(images.check, other)
        assert f"was prepared as 20x24 bicubic crop, but {resizing(other)} is needed" in told
        assert f"--size {other.size[0]} {other.size[1]} --resize {other.resize} --fit {other.fit}" in told
        assert told == fails(batches, images, other, batch_size=3)


def test_a_second_call_checks_and_changes_nothing(copy):
    source, out = copy
    before, times = tree(out), [file.stat().st_mtime_ns for file in sorted(out.iterdir())]
    prepared(source, out)
    assert tree(out) == before
    assert [file.stat().st_mtime_ns for file in sorted(out.iterdir())] == times


def test_sources_that_changed_are_noticed(copy, tmp_path):
    source, out = copy
    picture, other = source / "Train" / "star" / "01.png", source / "Train" / "star" / "02.png"
    original, time = picture.read_bytes(), picture.stat().st_mtime_ns
    os.utime(picture, ns=(time + 10**9, time + 10**9))  # touched, or copied: the content still decides
    assert len(load_set(out, "train")) == 13
    picture.write_bytes(other.read_bytes())
    told = fails(load_set, out, "train")
    assert "is stale: of" in told
    assert "1 file changed since, the first is star/01.png; `jaxcam data prepare" in told
    assert "--overwrite" in told
    assert len(load_set(out, "valid")) == 7  # the other split is as it was
    picture.write_bytes(bytes([*original[:-30], original[-30] ^ 1, *original[-29:]]))  # as long, another content
    assert "star/01.png" in fails(load_set, out, "train")
    picture.write_bytes(original)
    assert len(load_set(out, "train")) == 13
    shutil.copy(other, source / "Train" / "star" / "new.png")
    assert "the first is star/new.png" in fails(load_set, out, "train")
    (source / "Train" / "star" / "new.png").unlink()
    picture.unlink()
    assert "the first is star/01.png" in fails(load_set, out, "train")
    shutil.move(source, tmp_path / "away")  # another machine: there is nothing to compare with
    assert len(load_set(out, "train")) == 13


def test_preparing_again_after_a_change_needs_a_word(copy):
    source, out = copy
    (source / "Train" / "star" / "01.png").unlink()
    assert "was made from other pictures or settings (count: 20 -> 19)" in fails(prepared, source, out)
    assert "(count: 20 -> 19; size: [20, 24] -> [8, 8])" in fails(prepared, source, out, replace(SETTINGS, size=(8, 8)))
    prepared(source, out, overwrite=True)
    assert len(load_set(out, "train")) == 12
    np.testing.assert_array_equal(
        load_set(out, "train").decode(9, SETTINGS), load_set(source, "train").decode(9, SETTINGS)
    )


def test_damage_is_noticed(finished, tmp_path):
    def damaged(file, content):
        shutil.rmtree(tmp_path / "x", ignore_errors=True)
        shutil.copytree(finished, tmp_path / "x")
        (tmp_path / "x" / file).write_bytes(content)
        return fails(load_set, tmp_path / "x", "train")

    pixels, about = (finished / "images.npy").read_bytes(), json.loads((finished / "prepared.json").read_text())
    assert "cannot be read" in damaged("images.npy", pixels[:-1])
    assert "cannot be read" in damaged("images.npy", b"")
    assert "holds uint8" in damaged("images.npy", pixels.replace(b"(20, 20, 24, 3)", b"(20, 24, 20, 3)"))
    assert "block 0 has another checksum" in damaged("images.npy", pixels[:-1] + bytes([pixels[-1] ^ 1]))
    assert "rows.csv is not the table" in damaged("rows.csv", (finished / "rows.csv").read_bytes() + b"\n")
    assert "cannot be read" in damaged("prepared.json", b"{")
    assert "is not of this version" in damaged("prepared.json", json.dumps({**about, "format": 99}).encode())
    assert "is damaged ('count')" in damaged("prepared.json", json.dumps({**about, "count": "x"}).encode())
    for key, value in (("blocks", []), ("splits", {"train": 3}), ("rows", 3), ("size", [8, 8]), ("block", 0)):
        damaged("prepared.json", json.dumps({**about, key: value}).encode())  # a UserError of one line
    for key in set(about) - {"jaxcam", "pictures", "unreadable"}:
        damaged("prepared.json", json.dumps({k: v for k, v in about.items() if k != key}).encode())
    told = damaged("prepared.json", json.dumps({**about, "complete": False}).encode())
    assert "is half-written; `jaxcam data prepare" in told
    assert "goes on where it stopped" in told


def test_what_else_is_in_the_way(pictures, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "is not empty and holds no prepared set" in fails(prepared, pictures, tmp_path / "full", overwrite=True)
    assert "is a file" in fails(prepared, pictures, tmp_path / "full" / "mine.txt")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_a_disk_that_is_too_small_is_told_first(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    assert "out has too little room: 0.00 GiB are needed for 20 pictures" in fails(prepared, pictures, tmp_path / "out")
    assert not (tmp_path / "out" / "images.npy").exists()


def test_a_manifest_is_prepared_like_its_folder(pictures, finished, tmp_path):
    manifest, _ = listed(pictures)
    keep = [row for row, label in enumerate(manifest.labels) if label != "checks"]
    write_manifest(tmp_path / "few.csv", manifest.rows(keep))
    prepared(tmp_path / "few.csv", tmp_path / "out")
    few, all_ = load_set(tmp_path / "out", "valid"), load_set(finished, "valid")
    assert few.class_names == ("red_disc", "star")
    np.testing.assert_array_equal(few.decode(0, SETTINGS), all_.decode(2, SETTINGS))
    write_manifest(tmp_path / "few.csv", manifest.rows(keep[1:]))
    assert "the first is " + str(tmp_path / "few.csv") in fails(load_set, tmp_path / "out", "valid")


def test_a_set_without_splits(pictures, tmp_path):
    prepared(pictures / "Train", tmp_path / "out")
    assert splits_of(tmp_path / "out") == ()
    assert load_set(tmp_path / "out").class_names == ("checks", "red_disc", "star")
    assert "has no train split; there are: none" in fails(load_set, tmp_path / "out", "train")
    assert word_for(tmp_path / "out") == "out"


def test_a_report_can_open_it_by_its_root(pictures, finished):
    images = load_set(finished, "valid")
    read = reader(images.root)
    np.testing.assert_array_equal(read("star/00.png"), images.decode(images.paths.index("star/00.png"), SETTINGS))
    with pytest.raises(KeyError):
        read("../secret.png")
    assert reader(pictures) is None
    assert reader(pictures / "Train") is None


MOMENTS = (
    "os.rename .prepared.json.part 1",  # before anything is written
    "open blocks.jsonl 1",
    "open Valid/red_disc/00.png 3",  # looked at, stamped, decoded: some blocks are written
    "os.rename .rows.csv.part 1",  # all pixels are there
    "os.rename .prepared.json.part 1",  # the table too
)


def test_killed_again_and_again_it_equals_an_uninterrupted_one(shell):
    options = ("data", "prepare", "pictures", "--size", 600, 800, "--quiet")
    shell(*options, "--out", "prepared_calmly")
    assert len(json.loads((shell.folder / "prepared_calmly" / "prepared.json").read_text())["blocks"]) == 3
    for moment in MOMENTS:
        shell.killed(moment, *options, "--out", "killed_preparing")
        if (shell.folder / "killed_preparing" / "prepared.json").exists():
            assert "half-written" in fails(load_set, shell.folder / "killed_preparing", "train")
    shell(*options, "--out", "killed_preparing")
    assert tree(shell.folder / "killed_preparing") == tree(shell.folder / "prepared_calmly")
    assert leftovers(shell.folder / "killed_preparing") == []


def test_finished_blocks_are_not_decoded_again(pictures, finished, tmp_path, monkeypatch):
    from jaxcam.data import preparing

    monkeypatch.setattr(preparing, "_BLOCK_BYTES", 20 * 24 * 3 * 3)  # three pictures a block
    out = tmp_path / "out"
    real, seen = preparing.decoded, []

    def stops(sets, plan, settings, done, progress):
        for number, *rest in real(sets, plan, settings, done, progress):
            seen.append(number)
            if len(seen) == 4:
                raise KeyboardInterrupt
            yield number, *rest

    monkeypatch.setattr(preparing, "decoded", stops)
    with pytest.raises(KeyboardInterrupt):
        prepared(pictures, out)
    assert seen == [0, 1, 2, 3]
    with open(out / "images.npy", "r+b") as file:  # a block that the disk has lost
        file.seek(-1 - 20 * 24 * 3 * (20 - 5), 2)
        file.write(b"?")
    prepared(pictures, out)
    assert seen[4:] == [1, 3, 4, 5, 6]
    assert described(out)["blocks"] != described(finished)["blocks"]  # other blocks, the same pixels
    np.testing.assert_array_equal(np.load(out / "images.npy"), np.load(finished / "images.npy"))


def test_manifests_of_prepared_sets_are_refused(finished):
    assert "a manifest can only name files" in fails(listed, finished)
