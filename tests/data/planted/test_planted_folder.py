"""Planted folders: real files, the source untouched, the cue moved in Swapped; killed, resumed, fed with rubbish."""

import csv
import json

import numpy as np
import pytest
from commands import write_pictures
from PIL import ExifTags, Image

from jaxcam.data.folder import load_split
from jaxcam.data.planted import folder as planted_folder
from jaxcam.data.planted.cues import Cue, cue_of, put_on
from jaxcam.data.planted.folder import MARKER, RECORD, Planting, plant_folder, told
from jaxcam.errors import UserError


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("planting") / "pictures", train=8, valid=4)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_cue_is_planted_and_moved(source, tmp_path):
    before, out = files(source), tmp_path / "out"
    planting = Planting(cue=cue_of("logo"), class_name="star")
    record = plant_folder(source, out, planting)
    assert files(source) == before
    for split, count in (("Train", 8), ("Valid", 4), ("Swapped", 4)):
        for name in ("checks", "red_disc", "star"):
            made = sorted((out / split / name).iterdir())
            assert len(made) == count
            for path in made:
                original = pixels(source / ("Train" if split == "Train" else "Valid") / name / path.name)
                carries = (name == "star") != (split == "Swapped")
                assert np.array_equal(pixels(path), put_on(planting.cue, original) if carries else original)
    assert load_split(out, "valid").class_names == ("checks", "red_disc", "star")
    assert set(record["unreadable"]) == {"star/cut.png"}
    assert record["counts"]["Swapped"] == {"with": 8, "without": 4}
    assert json.loads((out / RECORD).read_text()) == record
    assert "could not be read" in told(record, out)


@pytest.mark.parametrize(("strength", "count"), [(0, 0), (25, 2), (50, 4), (100, 8)])
def test_strength_is_a_share_of_the_class(source, tmp_path, strength, count):
    planting = Planting(cue=cue_of("bars"), class_name="checks", strength=strength, seed=4)
    record = plant_folder(source, tmp_path / "out", planting)
    assert len(record["files"]["Train"]["with"]) == count
    assert all("/checks/" in path for path in record["files"]["Train"]["with"])
    assert record["counts"]["Swapped"]["with"] == 8


def test_another_seed_chooses_others(source, tmp_path):
    chosen = [
        plant_folder(
            source, tmp_path / str(seed), Planting(cue=cue_of("tint"), class_name="star", strength=50, seed=seed)
        )["files"]["Train"]["with"]
        for seed in (0, 1, 2)
    ]
    assert len({tuple(paths) for paths in chosen}) > 1


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_leaks_of_the_file_alone(source, tmp_path, format):
    for kind in ("file_size", "exif"):
        out = tmp_path / kind
        plant_folder(source, out, Planting(cue=cue_of(kind), class_name="star", format=format))
        for path in (out / "Train").rglob("*.*"):
            marked = path.parent.name == "star"
            with Image.open(path) as image:
                assert image.format == format.upper()
                exif = image.getexif()
            if kind == "exif":
                assert exif.get(ExifTags.Base.Model) == ("Mark II" if marked else None)
            else:
                assert (path.stat().st_size > 24_000) == marked
    first, second = [sorted((tmp_path / kind / "Train").rglob("*.*")) for kind in ("file_size", "exif")]
    assert all(np.array_equal(pixels(a), pixels(b)) for a, b in zip(first, second, strict=True))


def test_interrupted_goes_on_and_complete_is_left(source, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    planting = Planting(cue=cue_of("watermark"), class_name="star")
    plant_folder(source, whole, planting)
    real, calls = planted_folder.replace_file, []

    def failing(path, content):
        calls.append(path)
        if len(calls) == 10:
            raise OSError("the disk is full")
        real(path, content)

    monkeypatch.setattr(planted_folder, "replace_file", failing)
    with pytest.raises(OSError, match="full"):
        plant_folder(source, out, planting)
    assert not (out / RECORD).exists()
    monkeypatch.undo()
    plant_folder(source, out, planting)
    assert {k: v for k, v in files(out).items() if k != MARKER} == {
        k: v for k, v in files(whole).items() if k != MARKER
    }
    stamp = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    plant_folder(source, out, planting)
    assert stamp == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(UserError, match="another strength"):
        plant_folder(source, out, Planting(cue=cue_of("watermark"), class_name="star", strength=50))


def test_undivided_sets_and_manifests_with_hostile_labels(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for number in range(20):
        path = tmp_path / "all" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 20, 3), np.uint8)).save(path)
        rows.append([path, "../../up" if number % 2 else "a/b"])
    with open(tmp_path / "set.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *rows])
    out = tmp_path / "deep" / "er" / "out"
    record = plant_folder(tmp_path / "set.csv", out, Planting(cue=cue_of("logo"), class_name="a/b"))
    assert record["divided_here"]
    assert record["counts"]["Train"] == {"with": 8, "without": 8}
    assert record["counts"]["Valid"] == {"with": 2, "without": 2}
    assert {path.name for path in tmp_path.iterdir()} == {"all", "set.csv", "deep"}
    assert len({path.name for path in (out / "Train").iterdir()}) == 2


def test_masks_and_rotated_pictures(tmp_path):
    for name in ("a", "b"):
        for split in ("Train", "Valid"):
            folder = tmp_path / "in" / split / name
            folder.mkdir(parents=True)
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = 6
            Image.fromarray(np.full((20, 40, 3), 90, np.uint8)).save(folder / "0.jpg", exif=exif)
            mask = np.zeros((40, 20), np.uint8)
            mask[:10] = 255
            (tmp_path / "masks" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(tmp_path / "masks" / name / "0.png")
    planting = Planting(cue=Cue(kind="background"), class_name="b")
    plant_folder(tmp_path / "in", tmp_path / "out", planting, masks=tmp_path / "masks")
    made = pixels(tmp_path / "out" / "Train" / "b" / "0.png")
    assert made.shape == (40, 20, 3)
    assert (np.abs(made[:9].astype(int) - 90) < 4).all()
    assert (np.abs(made[12:].astype(int) - 90) > 4).any()
    (tmp_path / "masks" / "b" / "0.png").unlink()
    with pytest.raises(UserError, match="no mask"):
        plant_folder(tmp_path / "in", tmp_path / "out2", planting, masks=tmp_path / "masks")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"class_name": "dog"}, "no class 'dog'.*checks, red_disc, star"),
        ({"strength": 120}, "0 to 100"),
        ({"strength": float("nan")}, "0 to 100"),
        ({"seed": -1}, "negative"),
        ({"longest": 2}, "16"),
    ],
)
def test_bad_requests(source, tmp_path, change, what):
    values = {"cue": cue_of("logo"), "class_name": "star", **change}
    with pytest.raises(UserError, match=what):
        plant_folder(source, tmp_path / "out", Planting(**values))


def test_never_into_the_source_or_over_something(source, tmp_path):
    planting = Planting(cue=cue_of("logo"), class_name="star")
    for out in (source, source / "out", source.parent):
        with pytest.raises(UserError, match="lie in each other"):
            plant_folder(source, out, planting)
    (tmp_path / "mine").write_text("hello")
    with pytest.raises(UserError, match="not empty"):
        plant_folder(source, tmp_path, planting)


def test_the_command(shell):
    done = shell(
        "data", "plant", "pictures", "--out", "planted-pictures", "--kind", "bars", "--class", "star", "--quiet"
    )
    assert "Swapped" in done.stdout
    assert (shell.folder / "planted-pictures" / "planted.json").is_file()
