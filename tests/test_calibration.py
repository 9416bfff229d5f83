"""Calibration against scikit-learn, against SciPy's minimiser, and against what was drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from jaxcam import calibration
from jaxcam.calibration import cross_fitted, fit_temperature, reliability, softmax

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle here")


def drawn(count, classes=3, *, temperature=1.0, seed=0):
    """Logits, and labels drawn with their probabilities; then the logits are multiplied by `temperature`."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(count, classes))
    labels = (generator.random((count, 1)) > softmax(logits).cumsum(1)[:, :-1]).sum(1)
    return (logits * temperature).astype(np.float32), labels


def test_loss_and_brier_score_are_scikit_learns():
    logits, labels = drawn(80, 4)
    shares = softmax(logits)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(calibration.losses(logits, labels).mean(), sklearn.log_loss(labels, shares), rtol=1e-6)
    want = sklearn.brier_score_loss(labels, shares, labels=range(4), scale_by_half=False)
    np.testing.assert_allclose(calibration.brier_scores(shares, labels).mean(), want)
    np.testing.assert_allclose(
        calibration.losses(logits, labels, 3.0), -np.log(softmax(logits, 3.0))[range(80), labels]
    )


def test_huge_logits_lose_nothing():
    logits, labels = np.array([[2e4, 0, -2e4], [0, 1e4, 0]], np.float32), np.array([2, 1])
    np.testing.assert_allclose(calibration.losses(logits, labels), [4e4, 0])
    np.testing.assert_array_equal(softmax(logits), [[1, 0, 0], [0, 1, 0]])


def test_the_diagram_by_hand():
    confidence = np.array([0.3, 0.30, 0.9, 0.8, 1.0, 1 / 15])
    found = reliability(confidence, np.array([True, False, True, False, True, False]))
    assert found.count.tolist() == [1, 0, 0, 0, 2] + [0] * 6 + [1, 0, 1, 1]  # .8 is the upper end of its bin
    assert found.count.sum() == 6
    assert found.right[4] == 1
    np.testing.assert_allclose(found.confidence[4], 0.3)
    want = (abs(1 - 0.9) + abs(0 - 0.8) + 0 + 1 / 15 + 2 * abs(0.5 - 0.3)) / 6
    np.testing.assert_allclose(found.error, want)
    np.testing.assert_allclose(found.largest, 0.8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(0, 999), st.booleans())
def test_the_diagram_is_scikit_learns(count, seed, adaptive):
    from sklearn.calibration import calibration_curve

    generator = np.random.default_rng(seed)
    confidence = generator.integers(0, 31, count) / 30
    right = generator.random(count) < confidence
    found = reliability(confidence, right, bins=10, adaptive=adaptive)
    assert found.count.sum() == count
    held = found.count > 0
    np.testing.assert_allclose(found.error, np.abs(found.right - found.confidence * found.count)[held].sum() / count)
    order = generator.permutation(count)
    assert reliability(confidence[order], right[order], bins=10, adaptive=adaptive).error == pytest.approx(found.error)
    if not adaptive:
        shares, means = calibration_curve(right, confidence, n_bins=10)
        np.testing.assert_allclose(found.accuracy[held], shares)
        np.testing.assert_allclose(found.confidence[held], means)


def test_adaptive_bins_hold_about_equally_many():
    confidence = np.random.default_rng(0).random(1500) ** 4
    found = reliability(confidence, confidence > 0.5, adaptive=True)
    assert set(found.count.tolist()) == {100}
    one = reliability(np.ones(20), np.ones(20, bool), adaptive=True)
    assert one.count.sum() == 20
    assert one.error == 0


def test_the_error_by_chance_is_that_of_true_probabilities():
    found = []
    for seed in range(60):
        logits, labels = drawn(100, seed=seed)
        found.append(reliability(softmax(logits).max(1), logits.argmax(1) == labels).error)
    mean, high = calibration.error_by_chance(softmax(drawn(100)[0]).max(1))
    assert mean == pytest.approx(np.mean(found), rel=0.15)
    assert 0.85 <= np.mean(np.array(found) <= high) <= 1
    assert np.isnan(calibration.error_by_chance(np.zeros(0))).all()


@pytest.mark.parametrize("scale", [1e-4, 0.3, 1.0, 3.0, 1e4])
def test_the_temperature_has_the_least_loss(scale):
    logits, labels = drawn(300, temperature=scale)
    found = fit_temperature(logits, labels)
    best = minimize_scalar(
        lambda x: calibration.losses(logits, labels, scale * np.exp(x)).mean(), bounds=(-3, 3), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert found.value == pytest.approx(scale * np.exp(best.x), rel=1e-5)
    assert found.low < found.value < found.high
    assert found.problem == ""
    assert (found.count, found.mistakes) == (300, int((logits.argmax(1) != labels).sum()))


def test_the_temperatures_interval_holds_what_was_planted():
    held = [(f := fit_temperature(*drawn(150, temperature=2, seed=seed))).low <= 2 <= f.high for seed in range(60)]
    assert 0.85 <= np.mean(held) <= 1


EYE = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (5 * EYE, [0, 1, 2], "every one of the 3 pictures is right"),
        (5 * EYE, [1, 2, 0], "less about the classes than chance"),
        (0 * EYE, [0, 1, 2], "equal logits"),
        (EYE[:0], [], "no picture of a known class"),
        (np.ones((4, 1), np.float32), [0] * 4, "equal logits"),
    ],
)
def test_where_there_is_no_least_loss_it_is_said(logits, labels, words):
    found = fit_temperature(logits, np.array(labels, np.int64))
    assert found.value == 1
    assert words in found.caution
    assert np.isnan([found.low, found.high]).all()
    np.testing.assert_array_equal(cross_fitted(logits, np.array(labels, np.int64)), softmax(logits))


def test_one_mistake_is_enough_but_not_to_be_relied_on():
    logits = np.concatenate([5 * EYE] * 4)
    found = fit_temperature(logits, np.array([0, 1, 2] * 3 + [0, 1, 0]))
    assert 0 < found.value < 100
    assert found.caution == "the temperature rests on 1 wrong of 12 pictures; do not rely on it"
    found = fit_temperature(*drawn(300))
    assert "1 lies in the temperature's interval" in found.caution
    assert fit_temperature(*drawn(300, temperature=3)).caution == ""


def test_cross_fitting_keeps_every_image_out_of_its_own_temperature():
    logits, labels = drawn(60, temperature=3)
    found = cross_fitted(logits, labels, folds=5)
    np.testing.assert_array_equal(found, cross_fitted(logits, labels, folds=5))
    np.testing.assert_allclose(found.sum(1), 1)
    # Each row's temperature, read from its probabilities, is one of five; and not the one of all images.
    logs = np.log(found)
    temperatures = np.round((logits[:, 0] - logits[:, 1]) / (logs[:, 0] - logs[:, 1]), 4)
    assert len(set(temperatures)) == 5
    for value in set(temperatures):
        inside = temperatures == value
        assert fit_temperature(logits[~inside], labels[~inside]).value == pytest.approx(value, abs=1e-3)
    before = reliability(softmax(logits).max(1), logits.argmax(1) == labels).error
    assert reliability(found.max(1), logits.argmax(1) == labels).error < before
