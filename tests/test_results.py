"""What a set's predictions amount to: in words, as JSON, as drawings; and the temperature beside the classifier."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcam
from jaxcam import results
from jaxcam.calibration import Temperature
from jaxcam.classifier import Classifier
from jaxcam.data.folder import ImageSet
from jaxcam.errors import UserError
from jaxcam.evaluation import SetPredictions
from jaxcam.networks import Head, NetworkSpec
from jaxcam.preprocessing import Preprocessing

NAMES = ("ant", "bee", "cat")
PATHS = ("ant/0.png", "ant/1.png", "ant/2.png", "bee/0.png", "bee/1.png", "cat/0.png", "moon/0.png", "ant/x.png")
LABELS = np.array([0, 0, 0, 1, 1, 2, -1, 0], np.int32)
LOGITS = np.array(
    [[3, 0, 0], [2, 1, 0], [0, 1, 0], [0, 4, 1], [0, 1, 3], [0, 0, 2], [0, 0, 5], [np.nan] * 3], np.float32
)


@pytest.fixture
def predictions():
    """Four of the six images of known classes are right; one has no class of the classifier, one cannot be read."""
    images = ImageSet("valid", Path("somewhere"), NAMES, PATHS, LABELS)
    return SetPredictions(images, LOGITS, {7: "cut off"})


def unlabelled(predictions):
    images = ImageSet("photos", Path("somewhere"), NAMES, PATHS, np.full(8, -1, np.int32))
    return SetPredictions(images, LOGITS, {7: "cut off"})


def made(labels, answers, names, sure=4.0):
    """Predictions with these answers, all with the same confidence."""
    paths = tuple(f"{names[k]}/{i}" for i, k in enumerate(labels))
    images = ImageSet("valid", Path("somewhere"), names, paths, np.asarray(labels, np.int32))
    return SetPredictions(images, sure * np.eye(len(names), dtype=np.float32)[answers])


def test_the_summary_in_words(predictions):
    found = results.results("valid", predictions, temperature=results.fit(predictions), own=True)
    lines = results.summary(found).splitlines()
    assert lines[:3] == [
        "valid: accuracy 0.6667, 95 % interval 0.3000 to 0.9032 (n = 6)",
        "balanced accuracy 0.7222 (0.3881 to 0.8849), always the most frequent class 0.5000",
        "worst class bee: 1 of 2, 0.5000 (0.0945 to 0.9055)",
    ]
    assert lines[3].startswith("macro F1 0.6556 (")
    assert lines[4].startswith("calibration error ")
    assert lines[5].startswith("temperature ")
    assert lines[6:] == [
        "note: the temperature rests on 2 wrong of 6 pictures; do not rely on it",
        "note: with 6 pictures this cannot be told from always answering ant",
        "left out: 1 of 8 images could not be read",
        "left out: 1 of 8 images are of no class of the classifier",
        "class  images  recall     95 % interval  missed  precision      F1",
        "ant         3  0.6667  0.2077 to 0.9385  0.3333     1.0000  0.8000",
        "bee         2  0.5000  0.0945 to 0.9055  0.5000     0.5000  0.5000",
        "cat         1  1.0000  0.2065 to 1.0000  0.0000     0.5000  0.6667",
        "true \\ predicted  ant  bee  cat",
        "ant                 2    1    0",
        "bee                 0    1    1",
        "cat                 0    0    1",
    ]


def test_without_labels_it_is_counted_what_was_predicted(predictions, tmp_path):
    found = results.results("photos", unlabelled(predictions))
    assert results.summary(found).splitlines() == [
        "photos: no image has a known class; predicted: ant 2, bee 2, cat 3",
        "left out: 1 of 8 images could not be read",
        "left out: 7 of 8 images are of no class of the classifier",
    ]
    assert results.write(tmp_path, found) == [tmp_path / "evaluation" / "photos.json"]
    text = json.loads((tmp_path / "evaluation" / "photos.json").read_text())
    assert (text["pictures"], text["images"], text["predicted"]) == (8, 0, {"ant": 2, "bee": 2, "cat": 3})
    assert "accuracy" not in text
    nothing = SetPredictions(predictions.images.subset([7]), LOGITS[7:], {0: "cut off"})
    assert "predicted: nothing" in results.summary(results.results("photos", nothing))


def test_numbers_that_flatter_are_called_so():
    labels = [0] * 90 + [1] * 10
    found = results.results("valid", made(labels, [0] * 98 + [1] * 2, ("cat", "dog")))
    words = results.summary(found)
    assert "note: accuracy lies 32.0 points above balanced accuracy: it is carried by the frequent classes" in words
    always = results.cautions(results.results("valid", made(labels, [0] * 100, ("cat", "dog"), sure=9.0)).scores)
    assert "with 100 pictures this cannot be told from always answering cat" in always
    assert "no picture was taken for dog" in always
    assert "the probabilities claim too much: 1.000 on average, while 0.900 are right" in always
    good = results.results("valid", made([0, 1] * 40, [0, 1] * 38 + [1, 0] * 2, ("cat", "dog"), sure=3.0))
    assert results.cautions(good.scores) == []
    empty = results.results("valid", made([0] * 9, [0] * 9, ("cat", "dog", "emu")))
    assert "note: every picture is right: what a mistake costs is not in the intervals" in results.summary(empty)
    assert "there is no picture of dog, emu; nothing here says how well they are told" in results.summary(empty)


def test_logits_that_are_no_numbers_are_left_out(predictions):
    broken = SetPredictions(predictions.images, np.where(LOGITS == 4, np.nan, LOGITS), {7: "cut off"})
    found = results.results("valid", broken)
    assert "left out: 1 of 8 images gave logits that are NaN or infinite" in results.summary(found)
    assert found.scores.images == 5


def test_of_many_classes_the_worst_and_the_most_frequent_confusions_are_told():
    names = tuple(f"c{number:02d}" for number in range(20))
    labels = np.arange(40) % 20
    answers = labels.copy()
    answers[[3, 23, 5]] = [7, 7, 6]
    lines = results.summary(results.results("valid", made(labels, answers, names))).splitlines()
    assert lines[2].startswith("worst class c03: 0 of 2, 0.0000 (0.0000 to ")
    assert lines[-2:] == ["c03 taken for c07: 2", "c05 taken for c06: 1"]
    table = lines[lines.index(next(line for line in lines if line.startswith("worst classes"))) :]
    assert [line.split()[0] for line in table[1:3]] == ["c03", "c05"]
    assert len(table) == 1 + results.TABLE_CLASSES + 2


def test_all_of_it_is_written(predictions, tmp_path):
    found = results.results("valid", predictions, temperature=results.fit(predictions), own=True)
    files = results.write(tmp_path, found)
    assert [file.name for file in files] == [
        "valid.json", "valid_reliability.png", "valid_reliability.svg", "valid_confusion.png", "valid_confusion.svg",
    ]  # fmt: skip
    text = json.loads(files[0].read_text())
    assert text["left_out"] == {"could not be read": 1, "are of no class of the classifier": 1}
    assert text["accuracy"] == {"value": pytest.approx(4 / 6), "interval": pytest.approx([0.29999, 0.90323], abs=1e-4)}
    assert text["temperature"]["after"]["made_by"] == "cross-fitting in 5 folds"
    assert sum(found["images"] for found in text["calibration"]["reliability"]) == 6
    for file in files[1::2]:
        with Image.open(file) as picture:
            assert min(picture.size) > 200
    assert files[2].read_text().count("</svg>") == 1
    first = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in results.write(tmp_path, found)] == first
    # A set of the same name without drawings does not leave those of another set beside its numbers.
    assert results.write(tmp_path, found, drawn=False) == files[:1]
    assert not files[1].exists()


@pytest.fixture(scope="module")
def classifier():
    spec = NetworkSpec(
        name="vgg16", width=1 / 16, classes=3, head=Head(kind="cam"), base_end="block1_pool", input_size=(16, 16)
    )
    params = spec.chain().init(jax.random.key(0), spec.shape)
    return Classifier(spec, params, Preprocessing.named("tf", size=(16, 16)), NAMES)


@pytest.mark.usefixtures("quick_compilation")
def test_a_temperature_lies_beside_the_classifier_and_changes_nothing_else(classifier, tmp_path):
    classifier.save(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    before = classifier.predict(pictures)
    assert before.calibrated is None
    fitted = Temperature(2.0, 1.5, 3.0, 50, 20)
    assert "temperature 2.0000 is kept in" in results.keep_temperature(classifier, tmp_path, fitted)
    loaded = jaxcam.load(tmp_path)
    assert loaded.fingerprint == classifier.fingerprint
    found = loaded.predict(pictures)
    np.testing.assert_array_equal(found.logits, before.logits)
    np.testing.assert_array_equal(found.probabilities, before.probabilities)
    root = np.sqrt(found.probabilities)
    np.testing.assert_allclose(found.calibrated, root / root.sum(1, keepdims=True), rtol=1e-5)

    (tmp_path / "temperature.json").write_text('{"temperature": 2.0, "classifier": "another"}')
    assert jaxcam.load(tmp_path).temperature is None
    (tmp_path / "temperature.json").write_text('{"temperature": -1}')
    with pytest.raises(UserError, match="evaluate --temperature"):
        _ = jaxcam.load(tmp_path).temperature
    words = results.keep_temperature(classifier, tmp_path, Temperature(1.0, np.nan, np.nan, 3, 0, "all are right"))
    assert words == "no temperature is kept: all are right"
    assert jaxcam.load(tmp_path).temperature is None
