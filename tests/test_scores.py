"""All numbers of a set: against scikit-learn, against the published lab, and their intervals against simulation."""

import json

import numpy as np
import pytest

from jaxcam import metrics, resampling
from jaxcam.calibration import fit_temperature, reliability, softmax
from jaxcam.scores import score, share, temperature_scores

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle here")
NAMES = ("birds", "cats", "dogs")
# Machine Learning in Production, course 1, week 2: rows are true birds, cats, dogs.
LAB = np.array([[290, 45, 18], [45, 3508, 196], [35, 364, 351]])
BALANCED = np.array([[3259, 102, 176], [41, 3246, 462], [88, 636, 3026]])


def answers(matrix):
    """Labels and logits that have this confusion matrix."""
    labels = np.repeat(np.arange(len(matrix)), matrix.sum(1))
    predicted = np.concatenate([np.repeat(np.arange(len(matrix)), row) for row in matrix])
    return labels, 4 * np.eye(len(matrix), dtype=np.float32)[predicted]


def test_the_lab_with_the_accident():
    labels, logits = answers(LAB)
    found = score(logits, labels, NAMES)
    assert round(found.accuracy.value, 4) == 0.8551
    assert round(found.balanced_accuracy.value, 4) == 0.7417
    assert [round(100 * one.misclassified.value, 2) for one in found.classes] == [17.85, 6.43, 53.20]
    # What the lab printed as "misclassified" went down the columns: it is one minus the precision.
    assert [round(100 * (1 - one.precision.value), 2) for one in found.classes] == [21.62, 10.44, 37.88]
    assert found.worst.name == "dogs"
    assert round(found.majority_share, 4) == 0.7727
    np.testing.assert_array_equal(found.matrix, LAB)
    text = found.to_json()["confusion"]
    assert (text["rows"], text["counts"][2]) == ("true class", [35, 364, 351])
    np.testing.assert_allclose(text["rates"], LAB / LAB.sum(1, keepdims=True))


def test_the_lab_with_all_data():
    np.testing.assert_allclose(np.trace(BALANCED) / BALANCED.sum(), 0.8636, atol=5e-5)
    np.testing.assert_allclose(metrics.balanced_accuracy(BALANCED), 0.8647, atol=5e-5)
    np.testing.assert_allclose(100 * metrics.missed(BALANCED), [7.86, 13.42, 19.31], atol=5e-3)


def test_per_class_numbers_are_scikit_learns():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 4, 60), generator.normal(size=(60, 5)).astype(np.float32)
    logits[:, 1] = -9  # a class that is never predicted; the last one has no image
    found = score(logits, labels, tuple("abcde"))
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(
        labels, logits.argmax(1), labels=range(5), zero_division=np.nan
    )
    np.testing.assert_allclose([one.precision.value for one in found.classes], precision)
    np.testing.assert_allclose([one.recall.value for one in found.classes], recall)
    np.testing.assert_allclose([one.f1.value for one in found.classes], f1)
    assert [one.images for one in found.classes] == support.tolist()
    assert found.macro_f1.value == pytest.approx(np.nanmean(f1))
    assert np.isnan(found.classes[1].precision.value)
    for one in found.classes:
        for number in (one.recall, one.misclassified, one.precision, one.f1):
            assert np.isnan(number.value) or number.low <= number.value <= number.high


def coverage(interval, rates, counts, truth, draws=400):
    """How often the interval of a drawn confusion matrix holds the truth."""
    generator = np.random.default_rng(0)
    rows = list(zip(counts, rates, strict=True))
    ends = np.array([interval(np.stack([generator.multinomial(*row) for row in rows])) for _ in range(draws)])
    return ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()


@pytest.mark.parametrize("counts", [(8, 8), (50, 10), (100, 100), (1, 1)])
def test_the_interval_of_balanced_accuracy_holds_it_as_often_as_it_says(counts):
    rates = np.array([[0.95, 0.05], [0.2, 0.8]])
    held = coverage(metrics.balanced_interval, rates, counts, rates.diagonal().mean())
    assert held >= 0.9


def test_the_interval_of_f1_holds_it():
    rates, counts = np.array([[0.9, 0.1], [0.05, 0.95]]), (20, 60)
    expected = (rates * np.array(counts)[:, None] * 1000).astype(np.int64)
    held = coverage(lambda matrix: metrics.f1_interval(matrix, 0), rates, counts, metrics.f1_scores(expected)[0])
    assert held >= 0.9


def test_nothing_is_certain_where_all_is_right():
    labels = np.repeat(np.arange(3), 5)
    found = score(9 * np.eye(3, dtype=np.float32)[labels], labels, NAMES)
    numbers = (found.accuracy, found.balanced_accuracy, found.macro_f1, found.worst.recall, found.classes[0].f1)
    for number in numbers:
        assert number.value == number.high == 1
        assert 0.5 < number.low < 0.85
    # Sure of every answer and right each time: that is no proof of a calibration error of zero.
    assert found.calibration.error.value < 0.001
    assert found.calibration.error.high == pytest.approx(1 - found.accuracy.low, abs=1e-3)


def test_resampling_draws_each_class_for_itself_and_repeats():
    labels = np.array([2, 0, 0, 2, 2, 7])
    draw = resampling.strata(labels)
    rows = [draw(np.random.default_rng(seed)) for seed in range(50)]
    assert all(sorted(labels[row]) == sorted(labels) for row in rows)
    assert {tuple(sorted(set(row.tolist()))) for row in rows} >= {(0, 1, 2, 3, 4, 5)}
    # Of classes with one image each any may be missing from a sample; else all samples would be alike.
    assert len({tuple(resampling.strata(np.arange(4))(np.random.default_rng(seed))) for seed in range(9)}) > 5
    values = np.arange(6.0)
    mean = lambda rows: values[rows].mean(keepdims=True)
    first = resampling.intervals(labels, mean, seed=1)
    np.testing.assert_array_equal(first, resampling.intervals(labels, mean, seed=1))
    assert first[0, 0] < values.mean() < first[0, 1]
    with pytest.raises(ValueError, match="no rows"):
        resampling.intervals(labels[:0], mean)


def overconfident(count, seed, factor):
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(count, 3))
    labels = (generator.random((count, 1)) > softmax(logits).cumsum(1)[:, :-1]).sum(1)
    return (factor * logits).astype(np.float32), labels


def test_the_interval_of_the_calibration_error():
    logits, labels = overconfident(40000, 99, 2.0)
    truth = reliability(softmax(logits).max(1), logits.argmax(1) == labels).error
    found = [score(*overconfident(150, seed, 2.0), NAMES, resamples=200).calibration for seed in range(40)]
    assert np.mean([one.error.low <= truth <= one.error.high for one in found]) >= 0.85
    assert all(one.error.low > 0 for one in found if one.error.value > one.by_chance[1])
    # Of true probabilities the error is 0, however large it looks with 60 images.
    found = [score(*overconfident(60, seed, 1.0), NAMES, resamples=200).calibration for seed in range(40)]
    assert np.mean([one.error.low == 0 for one in found]) >= 0.85
    assert np.mean([one.error.value for one in found]) > 0.05


def test_a_temperature_is_judged_by_images_that_did_not_choose_it():
    logits, labels = overconfident(120, 0, 3.0)
    fitted = fit_temperature(logits, labels)
    own, _ = temperature_scores(fitted, logits, labels, own=True)
    other, diagram = temperature_scores(fitted, *overconfident(120, 1, 3.0), own=False)
    assert own["after"]["made_by"] == "cross-fitting in 5 folds"
    assert own["value"] == other["value"] == pytest.approx(3, rel=0.4)
    before = score(logits, labels, NAMES)
    assert own["after"]["loss"]["value"] < before.loss.value
    assert own["after"]["expected_calibration_error"]["value"] < before.calibration.error.value
    assert other["after"]["expected_calibration_error"]["value"] == pytest.approx(diagram.error)


@pytest.mark.parametrize(("count", "classes"), [(0, 3), (1, 2), (3, 1), (4, 120)])
def test_any_set_becomes_json(count, classes):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(count, classes)).astype(np.float32), np.arange(count) % classes
    text = score(logits, labels, tuple(map(str, range(classes)))).to_json()
    assert json.loads(json.dumps(text, allow_nan=False)) == text
    assert text["images"] == count
    if classes > 100:
        assert text["confusion"]["counts"] is None
        assert sum(cell[2] for cell in text["confusion"]["cells"]) == count
    assert np.isnan(share(0, 0).value)
    assert (text["loss"]["interval"] is None) == (count < 2)
