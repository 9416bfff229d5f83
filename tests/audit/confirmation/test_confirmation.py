"""The confirming tests on a model whose behaviour is known: one that goes by the scene, and the same by the object."""

import colour_model
import numpy as np
import pytest
from PIL import Image

from jaxcam.audit import confirmation
from jaxcam.audit.confirmation.erase import box_around, erased
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.audit.verdict import verdict
from jaxcam.errors import UserError
from jaxcam.progress import Progress

pytestmark = pytest.mark.usefixtures("quick_compilation")
SWAPPED = colour_model.OWN[::-1]


def signals(root, scenes, **options):
    subject = colour_model.subject(root, scenes, **options)
    return {signal.id: signal for signal in confirmation.signals(subject, progress=Progress(quiet=True))}


def test_a_model_that_goes_by_the_scene_is_confirmed(tmp_path):
    counter = colour_model.write(tmp_path / "swapped", SWAPPED, count=4, first=70)
    found = signals(tmp_path, colour_model.OWN, counter=(counter,))
    assert found["C3"].details["audited"]["accuracy"] == 1
    assert found["C3"].details["counter"]["right"] == 0
    assert {id: signal.status for id, signal in found.items()} == {
        "C1": "red" if found["C1"].value <= 1 else "green",
        "C2": "not_applicable",
        "C3": "red",
        "C3p": "red",
        "C4": "red",
        "C5": "not_applicable",
    }
    assert verdict(list(found.values())).word == "CONFIRMED"
    assert found["C3p"].details["other"]["right"] == 0
    assert found["C4"].value == 1
    assert found["C3"].figures["pictures"].values.shape[1:] == (*colour_model.SIZE, 3)


def test_the_same_model_before_one_scene_is_not(tmp_path):
    """The user's masks, another grey for each class: what it sees is the object."""
    scenes = ((100, 100, 100), (170, 170, 170))
    counter = colour_model.write(tmp_path / "swapped", scenes[::-1], count=4, first=70)
    colour_model.write(tmp_path / "x", scenes, count=12, first=50, masks=tmp_path / "masks")
    found = signals(tmp_path, scenes, counter=(counter,), masks=tmp_path / "masks")
    assert {found[id].status for id in ("C1", "C3", "C3p", "C4")} == {"green"}
    assert found["C1"].value > 5
    assert found["C1"].details["pointing_game"] == 1
    assert found["C3p"].value == 0
    assert found["C4"].value == 0
    assert verdict(list(found.values())).word == "NO EVIDENCE"


def test_objects_before_pictures_without_their_object(tmp_path):
    """Scenes that move: the backgrounds come from other pictures, with their objects taken out."""
    subject = colour_model.subject(tmp_path, colour_model.OWN)
    for row, path in enumerate(subject.audited.paths):
        with Image.open(subject.audited.file(row)) as image:
            pixels = np.roll(np.asarray(image).astype(int), row, axis=0)
        pixels = np.clip(pixels + np.random.default_rng(row).integers(-110, 110, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(subject.audited.root / path)
        mask = np.roll(colour_model.picture(row // 12, (0, 0, 0), 100 * (row // 12) + 50 + row % 12)[1], row, axis=0)
        file = tmp_path / "masks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(file)
    moved = Subject(
        run=tmp_path,
        classifier=subject.classifier,
        audited=subject.audited,
        train=None,
        options=AuditOptions(masks=tmp_path / "masks"),
    )
    found = {signal.id: signal for signal in confirmation.signals(moved, progress=Progress(quiet=True))}
    assert found["C3p"].status == "red"
    assert found["C3p"].details["backgrounds"] == "other pictures without their object"
    assert found["C4"].status == "red"
    assert found["C4"].details["fill"] == "what surrounds the box"


def test_few_counter_examples_are_not_overrated(tmp_path):
    """One of two wrong among eight is no proof: amber at most."""
    counter = colour_model.write(tmp_path / "swapped", SWAPPED, count=1, first=70)
    colour_model.write(counter, colour_model.OWN, count=3, first=80)
    found = signals(tmp_path, colour_model.OWN, counter=(counter, counter), per_class=4)
    assert found["C3"].value == 0.25
    assert found["C3"].status == "amber"
    assert found["C3.2"].status == "amber"


def test_groups_find_the_cell_that_breaks_the_cue(tmp_path):
    valid = tmp_path / "Valid"
    colour_model.write(valid, SWAPPED, count=8, first=80)
    lines = ["path,group"]
    for name in colour_model.NAMES:
        lines += [f"{name}/{number:02d}.png,own" for number in range(50, 62)]
        lines += [f"{name}/{number:02d}.png,swapped" for number in range(80, 88)]
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    found = signals(tmp_path, colour_model.OWN, groups=tmp_path / "groups.csv")["C5"]
    assert found.status == "red"
    assert found.details["worst_group_accuracy"] == 0
    assert found.details["decisive"]
    assert "'swapped'" in found.sentence


def test_empty_scenes_are_shown_and_never_judged(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for number, scene in enumerate(colour_model.OWN):
        Image.fromarray(np.full((*colour_model.SIZE, 3), scene, np.uint8)).save(folder / f"{number}.png")
    (folder / "note.txt").write_text("no picture")
    found = signals(tmp_path, colour_model.GREY, background=folder)["C2"]
    assert found.status == "info"
    assert found.details["answers"] == {"blue": 1, "red": 1}


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("counter", "none", "no folder"),
        ("counter", "strange", "the run knows blue, red"),
        ("background", "none", "no folder"),
        ("background", "void", "no readable picture"),
        ("groups", "none", "cannot be read"),
        ("groups", "bad.csv", "needs the columns path and group"),
        ("groups", "other.csv", "names none of the pictures"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, option, name, said):
    colour_model.write(tmp_path / "strange", colour_model.GREY, count=2)
    for place, old in enumerate(colour_model.NAMES):
        (tmp_path / "strange" / old).rename(tmp_path / "strange" / f"class{place}")
    (tmp_path / "void").mkdir()
    (tmp_path / "bad.csv").write_text("file,group\na,b\n")
    (tmp_path / "other.csv").write_text("path,group\na,b\n")
    value = (tmp_path / name,) if option == "counter" else tmp_path / name
    with pytest.raises(UserError, match=said):
        signals(tmp_path, colour_model.GREY, **{option: value})


def test_an_object_is_filled_from_around_it():
    """A ramp has no second differences: filled smoothly it is whole again."""
    ramp = np.broadcast_to(np.linspace(40, 200, 48)[None, :, None], (36, 48, 3)).astype(np.uint8)
    mask = np.zeros((36, 48), bool)
    mask[12:20, 20:30] = True
    hole = box_around(mask)
    assert hole.sum() > mask.sum()
    spoiled = np.where(mask[..., None], 255, ramp).astype(np.uint8)
    assert np.abs(erased(spoiled, hole).astype(int) - ramp).max() <= 4
    np.testing.assert_array_equal(erased(spoiled, hole)[~hole], ramp[~hole])
    assert erased(spoiled, np.ones_like(mask)) is None
