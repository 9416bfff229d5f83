import json
from dataclasses import replace

import known_classifiers as known
import numpy as np
import pytest

from jaxcam.audit.model import NAMES, signals
from jaxcam.audit.signals import Signal
from jaxcam.progress import Progress

pytestmark = pytest.mark.usefixtures("quick_compilation")
QUIET = Progress(quiet=True)


def audit(subject) -> dict[str, Signal]:
    found = signals(subject, progress=QUIET)
    assert [s.id for s in found] == list(NAMES)
    for signal in found:
        json.dumps(signal.to_json(), allow_nan=False)
        assert signal.name == NAMES[signal.id]
        assert bool(signal.reason) == (signal.status == "not_applicable")
        assert signal.reason or (signal.sentence and signal.count > 0)
        if signal.interval is not None and signal.value is not None:
            low, high = signal.interval
            assert low - 1e-9 <= signal.value <= high + 1e-9, signal
        for figure in signal.figures.values():
            assert not figure.labels or figure.kind == "values" or len(figure.labels) == len(figure.values), signal
    return {s.id: s for s in found}


@pytest.fixture(scope="module")
def corner(tmp_path_factory, quick_compilation):
    """What is found for a model that reads the lower left only, where class `red` has its mark."""
    pixels, labels = known.noisy_pictures(64, known.LOWER_LEFT)
    return audit(known.subject(tmp_path_factory.mktemp("corner"), known.reader(known.LOWER_LEFT), pixels, labels))


def test_a_corner_mark_is_caught_and_its_place_named(corner):
    assert corner["M1"].value == 1.0
    assert corner["M1"].status == "red"
    assert corner["M2"].value == 1.0
    assert corner["M2"].details["ring_wins"] == 1.0
    assert corner["M2"].status == "red"
    assert corner["M4"].value == pytest.approx(1.0)
    assert corner["M4"].details["place"] == "lower left"
    assert corner["M4"].details["cell"] == [3, 0]
    # Only `red` pictures have heat; with the mark hidden each of them is called dark.
    assert corner["M3"].value == 1.0
    assert corner["M3"].count == 32
    assert corner["M3"].details["changed_by_class"] == {"dark": 0.0, "red": 1.0}
    assert corner["M3"].details["changed_coldest"] == 0.0
    assert corner["M15"].value == 1.0
    assert corner["M15"].details["class"] == "red"
    assert corner["M15"].details["place"] == "lower left"
    assert corner["M2"].figures["other_border"].values.shape == (8, 32, 32, 3)
    assert corner["M2"].figures["other_border"].labels[0].startswith("dark: called red")


def test_tests_that_need_a_fixed_scene_say_why_they_do_not_apply(corner):
    for id in ("M7", "M8", "M16"):
        assert corner[id].status == "not_applicable"
        assert "the scene is not fixed" in corner[id].reason


def test_a_model_that_reads_the_centre_is_quiet(tmp_path):
    pixels, labels = known.noisy_pictures(64, known.CENTRE)
    found = audit(known.subject(tmp_path, known.reader(known.CENTRE), pixels, labels))
    assert found["M1"].value == 0.0
    assert found["M2"].value == 0.0
    assert found["M1"].details["accuracy_middle_only"] == 1.0
    assert found["M4"].value < 0.1
    assert found["M15"].value == 0.0
    assert not [s.id for s in found.values() if s.status == "red" and s.id != "M5"]


@pytest.mark.parametrize("cheats", [True, False])
def test_fixed_scenes(tmp_path, cheats):
    pixels, labels = known.staged_pictures(64)
    cells, threshold = (known.BORDER, 0.6) if cheats else (known.CENTRE, 0.38)
    found = audit(known.subject(tmp_path, known.reader(cells, threshold=threshold, sharpness=200.0), pixels, labels))
    assert found["M1"].details["accuracy"] == 1.0
    assert found["M16"].details["accuracy_own_scene"] == 1.0
    assert found["M16"].value == (1.0 if cheats else 0.0)
    assert found["M16"].interval[0 if cheats else 1] == pytest.approx(1.0 if cheats else 0.0, abs=0.07)
    assert (found["M7"].status == "red") == cheats
    assert (found["M8"].value < 1) == cheats


def test_one_scene_for_all_classes_leaves_nothing_to_exchange(tmp_path):
    pixels, labels = known.staged_pictures(64, one_scene=True)
    found = audit(known.subject(tmp_path, known.reader(known.CENTRE, threshold=0.38, sharpness=200.0), pixels, labels))
    assert "share one scene" in found["M16"].reason
    assert found["M7"].status == "green"


def test_a_dead_model_is_said_to_be_dead_and_nothing_else(tmp_path):
    pixels, labels = known.noisy_pictures(64, known.CENTRE)
    found = audit(known.subject(tmp_path, known.nothing(), pixels, labels))
    assert found["M14"].status == "red"
    assert found["M9"].status == "red"
    assert found["M9"].value == 1.0
    for id in ("M1", "M2", "M3", "M6", "M15"):
        assert "guessing gives 0.50" in found[id].reason
    assert found["M4"].reason == "no map has any heat"


def test_few_pictures_of_one_class_and_of_many_classes(tmp_path):
    pixels, labels = known.noisy_pictures(32, known.CENTRE)
    one = known.subject(tmp_path / "one", known.reader(known.CENTRE), pixels[labels == 0], labels[labels == 0])
    assert "fewer than two classes" in audit(one)["M1"].reason
    classifier = known.reader(known.CENTRE, classes=30)
    many = audit(known.subject(tmp_path / "many", classifier, pixels, labels))
    assert many["M1"].count == 32
    assert many["M2"].value == 0.0


def test_few_pictures_make_a_red_finding_amber(tmp_path):
    pixels, labels = known.noisy_pictures(18, known.LOWER_LEFT)
    found = audit(known.subject(tmp_path, known.reader(known.LOWER_LEFT), pixels, labels))
    assert found["M1"].value == 1.0
    assert found["M1"].status == "amber"
    assert "with 18 pictures this is a hint" in found["M1"].sentence


def test_no_picture_that_can_be_read(tmp_path):
    pixels, labels = known.noisy_pictures(4, known.CENTRE)
    subject = known.subject(tmp_path, known.reader(known.CENTRE), pixels, labels)
    for path in (tmp_path / "valid").rglob("*.png"):
        path.write_bytes(b"nothing")
    found = signals(subject, progress=QUIET)
    assert {s.status for s in found} == {"not_applicable"}


def test_preprocessing_that_is_not_the_recorded_one_is_found(tmp_path):
    pixels, labels = known.noisy_pictures(64, known.CENTRE)
    subject = known.subject(tmp_path, known.reader(known.CENTRE), pixels, labels)
    other = {**subject.classifier.describe()["preprocessing"], "channels": "bgr"}
    (tmp_path / "config.json").write_text(json.dumps({"preprocessing": other}))
    assert "channels was bgr, is rgb" in audit(subject)["M9"].sentence


def test_a_model_fed_on_the_wrong_scale_does_better_on_the_right_one(tmp_path):
    pixels, labels = known.noisy_pictures(64, known.CENTRE)
    right = known.reader(known.CENTRE)
    wrong = replace(right, preprocessing=replace(right.preprocessing, scale=1.0))
    found = audit(known.subject(tmp_path, wrong, pixels, labels))["M9"]
    assert found.status == "red"
    assert found.details["changes"]["over_255"]["accuracy"] == 1.0


def test_a_pixel_method_gives_maps_and_no_random_heads(tmp_path):
    pixels, labels = known.noisy_pictures(64, known.LOWER_LEFT)
    subject = known.subject(tmp_path, known.reader(known.LOWER_LEFT), pixels, labels, method="input_x_gradient")
    found = audit(subject)
    assert found["M4"].details["place"] == "lower left"
    assert found["M4"].value > 0.9
    assert "random head" in found["M5"].reason
    assert found["M3"].details["changed_by_class"]["red"] == 1.0


def test_training_pictures_give_power_and_consistency(tmp_path):
    pixels, labels = known.noisy_pictures(8, known.LOWER_LEFT)
    train = known.noisy_pictures(80, known.LOWER_LEFT, seed=1)
    train[0][0] = pixels[0]
    found = audit(known.subject(tmp_path, known.reader(known.LOWER_LEFT), pixels, labels, train=train))
    assert found["M1"].count == 60
    assert "8 audited and 52 training pictures" in found["M1"].sentence
    assert found["M10"].count == 8
    assert found["M11"].value == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(found["M5"].value)
