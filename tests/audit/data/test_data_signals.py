"""The data layer on drawn sets with and without a cue: found, placed, explained, and silent where there is nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import shared
from PIL import Image

from jaxcam.audit.conjunction import raised
from jaxcam.audit.data import cells, signals
from jaxcam.audit.data.looks import look
from jaxcam.audit.data.traits import showing, told_by
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.data import drawn
from jaxcam.data.folder import load_split
from jaxcam.data.images import ImageSet, Source
from jaxcam.data.planted.cues import Cue, cue_of, put_on
from jaxcam.data.planted.folder import Planting, plant_folder
from jaxcam.data.sets import load_set
from jaxcam.progress import Progress

QUIET = Progress(quiet=True)
KINDS = ("star", "heart", "arrow", "cross")


class Memory(Source):
    """Pictures in an array."""

    def __init__(self, pixels):
        self.pixels = pixels

    def read(self, place):
        return self.pixels[place]

    def stamp(self, place):
        return str(place)


def subject_of(audited, train):
    classifier = SimpleNamespace(class_names=audited.class_names)
    subject = object.__new__(Subject)
    values = {"run": Path(), "classifier": classifier, "audited": audited, "train": train, "options": AuditOptions()}
    for name, value in values.items():
        object.__setattr__(subject, name, value)
    return subject


def found(audited, train):
    return {signal.id: signal for signal in signals(subject_of(audited, train), progress=QUIET)}


def in_memory(pixels, labels, names=("first", "second")):
    paths = tuple(f"{names[label]}/{row}" for row, label in enumerate(labels.tolist()))
    return ImageSet("memory", Path("memory"), names, paths, labels.astype(np.int32), source=Memory(pixels))


@pytest.fixture(scope="module")
def pictures():
    """The same four kinds of pictures in either class: nothing but chance tells them apart."""
    rows = [
        drawn.CLASS_NAMES.index(KINDS[row % 4]) if KINDS[row % 4] in drawn.CLASS_NAMES else row for row in range(96)
    ]
    pixels = np.stack([drawn.draw(label, np.random.default_rng([7, row]), size=64) for row, label in enumerate(rows)])
    return pixels, (np.arange(96) // 4 % 2).astype(np.int32)


def divided(pixels, labels):
    return in_memory(pixels[64:], labels[64:]), in_memory(pixels[:64], labels[:64])


def planted(pictures, cue):
    pixels, labels = pictures
    return divided(np.stack([put_on(cue, p) if c else p for p, c in zip(pixels, labels, strict=True)]), labels)


def test_nothing_is_found_where_nothing_is(pictures):
    signs = found(*divided(*pictures))
    assert [signs[id].status for id in ("D1", "D2", "D3", "D4")] == ["green"] * 4
    assert all(signal.sentence and signal.count for signal in signs.values())
    assert signs["D4"].value == 0


@pytest.mark.parametrize(
    ("cue", "red"),
    [
        (Cue(kind="logo", size=0.2, colour=(250, 240, 20)), "D3"),
        (cue_of("bars"), "D1"),
        (Cue(kind="jpeg", quality=5), "D1"),
        (cue_of("low_resolution"), "D1"),
        (cue_of("background"), "D2"),
    ],
)
def test_cues_are_found_and_shown(pictures, cue, red):
    audited, train = planted(pictures, cue)
    signs = found(audited, train)
    assert signs[red].status in ("red", "amber"), (cue.kind, {k: (s.value, s.status) for k, s in signs.items()})
    assert 6 <= len(signs[red].images) <= 12
    assert set(signs[red].images) <= set(audited.paths)
    assert signs[red].interval[0] <= signs[red].value <= signs[red].interval[1]
    if cue.kind == "logo":
        assert signs["D3"].details["place"] == "lower left corner"
        assert "lower left corner" in signs["D3"].sentence
        assert signs["D3"].details["class"] == "second"
        figure = signs["D3"].figures["cells"]
        assert figure.kind == "auc"
        assert figure.values.shape == (2, 16, 16)
        assert figure.labels == ("first", "second")
        row, column = np.unravel_index(figure.values[1].argmax(), (16, 16))
        assert row >= 11
        assert column <= 4


def test_small_sets_give_no_false_reds():
    """29 of each class and 17 properties: chance alone reaches an AUC of .75 now and then, and 8 of each reach .9."""
    for count in (8, 29):
        for seed in range(4):
            rng = np.random.default_rng(seed)
            pixels = np.clip(
                rng.normal(128, 40, (2 * count, 16, 16, 3)) + rng.normal(0, 30, (2 * count, 1, 1, 3)), 0, 255
            )
            labels = np.repeat([0, 1], count)
            signs = found(in_memory(pixels.astype(np.uint8), labels), None)
            allowed = {"green"} if count > 8 else {"green", "amber"}
            assert {signs[id].status for id in ("D1", "D2", "D3")} <= allowed, (count, seed)


def test_many_classes_and_too_few(pictures):
    pixels, labels = pictures
    many = in_memory(pixels, labels + 2 * (np.arange(96) % 3), tuple("abcdef"))
    assert all(signal.status != "not_applicable" for id, signal in found(many, many).items() if id != "D4")
    few = in_memory(pixels[:9], np.array([0] * 8 + [1]))
    signs = found(few, None)
    assert {signs[id].status for id in ("D1", "D2", "D3", "D4")} == {"not_applicable"}
    assert "fewer than two classes" in signs["D1"].reason
    none = in_memory(pixels[:4], np.array([-1, -1, -1, -1]))
    assert {signal.status for signal in found(none, none).values()} == {"not_applicable"}


def test_copies_and_conflicting_labels(pictures):
    pixels, labels = pictures
    train = in_memory(pixels[:64], labels[:64])
    own = pixels[64:].copy()
    own[3], own[4] = pixels[10], put_on(Cue(kind="jpeg", quality=70), pixels[20])
    changed = labels[64:].copy()
    changed[3], changed[4] = 1 - labels[10], labels[20]
    signal = found(in_memory(own, changed), train)["D4"]
    assert signal.value == pytest.approx(2 / 32)
    assert signal.details["kinds"] == {"same bytes": 0, "same pixels": 1, "near": 1}
    assert [one["classes"] for one in signal.details["conflicting_labels"]] == [["first", "second"]]
    assert signal.status == "amber"
    assert "two labels" in signal.sentence
    assert len(signal.images) == 2


def test_files_are_looked_at_with_their_metadata(tmp_path):
    rng = np.random.default_rng(1)
    for split in ("Train", "Valid"):
        for name in ("cat", "dog"):
            folder = tmp_path / "in" / split / name
            folder.mkdir(parents=True)
            for number in range(16):
                picture = drawn.draw(int(rng.integers(40)), rng, size=48)
                Image.fromarray(picture).save(folder / f"{number}.png")
            (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:200])
    for kind, name in (("exif", "EXIF"), ("file_size", "file size")):
        plant_folder(tmp_path / "in", tmp_path / kind, Planting(cue=cue_of(kind), class_name="dog"))
        sets = [load_split(tmp_path / kind, split) for split in ("valid", "train")]
        signal = found(*sets)["D1"]
        assert signal.status == "red"
        assert name in {one["property"] for one in signal.details["properties"] if one["status"] == "red"}
        assert "files" in signal.sentence
        assert {path.split("/")[0] for path in signal.images} == {"cat", "dog"}
        assert raised([signal, weak()])[1].status == "green"  # no network sees it
    plain = found(*(load_split(tmp_path / "in", split) for split in ("valid", "train")))["D1"]
    assert plain.status == "green"
    assert found(load_split(tmp_path / "in", "valid"), None)["D4"].reason == "the training pictures are not there"


def weak(**changes):
    values = {"value": 0.2, "interval": (0.1, 0.3), "status": "green", "sentence": "A gap.", "layer": "model"}
    return Signal(**({"id": "M2", "name": "gap"} | values | changes))


def test_a_weak_sign_counts_beside_an_offer(pictures):
    audited, train = planted(pictures, cue_of("bars"))
    signs = signals(subject_of(audited, train), progress=QUIET)
    assert raised([*signs, weak()])[-1].status == "red"
    assert "D1" in raised([*signs, weak()])[-1].sentence
    assert raised(raised([*signs, weak()])) == raised([*signs, weak()])
    assert raised([*signs, weak(interval=(-0.1, 0.5))])[-1].status == "green"
    assert raised([*signs, weak(value=0.05)])[-1].status == "green"
    assert raised([*signs, weak(id="M10")])[-1].status == "green"
    assert raised([*signs, weak(status="info")])[-1].status == "info"
    assert raised([weak()])[0].status == "green"
    copied = replace(weak(), id="D4", layer="data", status="red", details={"scenes": {"scene_is_label": False}})
    assert raised([copied, weak()])[1].status == "green"


def test_places_have_words():
    words = {cells.place_in_words(row, column) for row in range(16) for column in range(16)}
    assert len(words) == 9
    assert cells.place_in_words(15, 1) == "lower left corner"


def test_the_mark_of_two_is_put_down_to_the_class_that_has_it(pictures):
    looks = look(planted(pictures, Cue(kind="logo", size=0.2))[1], most=1000, progress=QUIET)
    best = told_by(looks, 2)
    assert showing(best[0], looks)
    assert len(told_by(looks.take(np.arange(6)), 2)) == 0


def test_the_real_pictures_of_the_story():
    root = shared() / "bart-vs-homer"
    house = found(*(load_set(root / "InFrontOfHouse", split) for split in ("valid", "train")))
    assert {house[id].status for id in ("D1", "D2", "D3", "D4")} == {"green"}
    assert house["D4"].details["scenes"]["shared"]
    several = found(*(load_set(root / "SeveralBackgrounds", split) for split in ("valid", "train")))
    assert {several[id].status for id in ("D1", "D2", "D3", "D4")} == {"red"}
    assert several["D4"].value is None
    assert several["D4"].details["share"] == 0  # it is the scenes that tell, not copies
    assert "Scene = label" in several["D4"].sentence
    repaired = found(*(load_set(root / "WithBackgroundsAsClass", split) for split in ("valid", "train")))
    assert repaired["D4"].details["kinds"]["same bytes"] == 2
    assert repaired["D4"].details["scenes"]["apart"] == [["Bart", "Homer"]]
