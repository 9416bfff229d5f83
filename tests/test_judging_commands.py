"""`jaxcam evaluate` and `jaxcam predict` on a run, as a user calls them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import jaxcam
from jaxcam import cli
from jaxcam.data.sets import load_set
from jaxcam.progress import Progress
from jaxcam.training.closing import close

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def judged(shell, trained):
    """A copy of the run with what the end of a training writes."""
    run = shell.folder / "judged"
    shutil.copytree(trained, run)
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    return run


@pytest.fixture
def call(shell, monkeypatch, capsys):
    monkeypatch.chdir(shell.folder)

    def call(*arguments, status=0):
        assert cli.main([str(argument) for argument in arguments]) == status
        return capsys.readouterr().out

    return call


def test_evaluation_with_a_temperature_and_probes(judged, call):
    before = jaxcam.load(judged)
    out = call("evaluate", "judged", "--temperature", "--quiet")
    assert out.index("valid: accuracy ") < out.index("train: accuracy ") < out.index("what it says to ")
    valid, train = (json.loads((judged / "evaluation" / f"{split}.json").read_text()) for split in ("valid", "train"))
    assert valid["images"] == 9
    assert valid["accuracy"]["interval"][0] < valid["accuracy"]["value"] <= valid["accuracy"]["interval"][1]
    assert train["temperature"] is None  # no temperature is judged by the pictures that were trained on
    probes = json.loads((judged / "evaluation" / "probes.json").read_text())
    assert probes["probes"][0]["accuracy"] == pytest.approx(valid["accuracy"]["value"])
    after = jaxcam.load(judged)
    assert after.fingerprint == before.fingerprint
    if "is kept in" in out:
        kept = json.loads((judged / "classifier" / "temperature.json").read_text())
        assert kept["temperature"] == after.temperature == valid["temperature"]["value"]
    else:
        assert "no temperature is kept: " in out
        assert after.temperature is None
    first = {file.name: file.read_bytes() for file in (judged / "evaluation").iterdir()}
    assert call("evaluate", "judged", "--temperature", "--no-drawings", "--quiet") == out
    numbers = {name: content for name, content in first.items() if name.endswith(".json")}
    assert len(first) == 3 + 2 * 4
    assert {file.name: file.read_bytes() for file in (judged / "evaluation").iterdir()} == numbers


def test_pictures_without_labels_are_predicted_and_counted(judged, call, shell):
    folder = shell.folder / "unlabelled" / "somewhere"
    folder.mkdir(parents=True)
    shutil.copy(shell.folder / "pictures" / "Valid" / "star" / "00.png", folder)
    out = call("evaluate", "judged", "--data", "unlabelled", "--quiet")
    assert out.startswith("unlabelled: no image has a known class; predicted: ")
    assert "what it says to" not in out
    text = json.loads((judged / "evaluation" / "unlabelled.json").read_text())
    assert (text["pictures"], text["images"]) == (1, 0)


def test_another_set_is_compared_at_the_kept_temperature(judged, call):
    kept = {"temperature": 2.0, "classifier": jaxcam.load(judged).fingerprint}
    (judged / "classifier" / "temperature.json").write_text(json.dumps(kept))
    out = call("evaluate", "judged", "--data", "pictures/Valid", "--name", "again", "--no-drawings", "--quiet")
    assert "temperature 2.000: calibration error " in out
    assert "(by another set's temperature)" in out
    out = call("predict", "judged", "pictures/Valid/star/00.png")
    raw, calibrated = out.split(": ")[1].split()[1].rstrip(","), out.split()[-1]
    assert float(calibrated) < float(raw) <= 1
    (judged / "classifier" / "temperature.json").unlink()


def test_predict_warns_of_pictures_of_nothing(judged, call, shell):
    Image.new("L", (30, 20), 90).save(shell.folder / "grey.png")
    out = call("predict", "judged", "grey.png", "pictures/Valid/star/00.png").splitlines()
    assert out[0].startswith("grey.png: ")
    assert out[1] == (
        "grey.png: warning: the picture is blank (all of it about RGB (90, 90, 90)); the answer means nothing"
    )
    assert len(out) == 3


def test_the_end_of_a_training(judged, shell, capsys):
    classifier = jaxcam.load(judged)
    sets = {
        name: load_set(shell.folder / "pictures", name, class_names=classifier.class_names)
        for name in ("train", "valid")
    }
    shutil.rmtree(judged / "evaluation", ignore_errors=True)
    close(classifier, sets, judged, progress=Progress())
    said = capsys.readouterr().err
    assert "valid: accuracy " in said
    assert "what it says to" in said
    assert sorted(file.name for file in (judged / "evaluation").iterdir()) == [
        "probes.json",
        "train.json",
        "valid.json",
    ]
    assert (judged / "history.csv").read_text().startswith("phase,epoch,")
    assert not (judged / "classifier" / "colours.json").exists()  # 18 pictures teach nothing
    predicted = classifier.predict(np.stack([sets["valid"].decode(0, classifier.preprocessing)]))
    assert len(predicted.warnings) == 1
