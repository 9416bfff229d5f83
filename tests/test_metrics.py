"""The summary numbers, against scikit-learn and published intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcam import metrics

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle here")


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(correct, count, low, high):
    np.testing.assert_allclose(metrics.wilson(correct, count), (low, high), atol=5e-5)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(case):
    correct, count = case
    low, high = metrics.wilson(correct, count)
    assert 0 <= low <= high <= 1
    assert count == 0 or low <= correct / count <= high
    np.testing.assert_allclose(metrics.wilson(count - correct, count), (1 - high, 1 - low), atol=1e-12)
    wide = metrics.wilson(correct, count, confidence=0.99)
    assert wide[0] <= low <= high <= wide[1]


@pytest.mark.parametrize(("correct", "count", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_wilson_refuses_what_cannot_be(correct, count, confidence):
    with pytest.raises(ValueError, match="got"):
        metrics.wilson(correct, count, confidence=confidence)


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 999))
def test_matrix_and_balanced_accuracy_are_scikit_learns(count, classes, seed):
    labels, predicted = np.random.default_rng(seed).integers(-1, classes, (2, count)).astype(np.int32)
    known = (labels >= 0) & (predicted >= 0)
    matrix = metrics.confusion_matrix(labels, predicted, classes)
    if not known.any():
        assert matrix.sum() == 0
        return
    kept = labels[known], predicted[known]
    np.testing.assert_array_equal(matrix, sklearn.confusion_matrix(*kept, labels=range(classes)))
    present = np.unique(kept[0])
    want = sklearn.recall_score(*kept, labels=present, average=None, zero_division=0)
    np.testing.assert_allclose(metrics.recalls(matrix)[present], want)
    np.testing.assert_allclose(metrics.balanced_accuracy(matrix), want.mean())
    assert metrics.majority_share(matrix) == np.bincount(kept[0]).max() / len(kept[0])


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 999))
def test_precision_f1_and_rates_are_scikit_learns(count, classes, seed):
    labels, predicted = np.random.default_rng(seed).integers(0, classes, (2, count)).astype(np.int32)
    matrix, options = metrics.confusion_matrix(labels, predicted, classes), {"labels": range(classes), "average": None}
    want = sklearn.precision_score(labels, predicted, zero_division=np.nan, **options)
    np.testing.assert_allclose(metrics.precisions(matrix), want)
    f1 = sklearn.f1_score(labels, predicted, zero_division=np.nan, **options)
    np.testing.assert_allclose(metrics.f1_scores(matrix), f1)
    assert metrics.macro_f1(matrix) == pytest.approx(np.nanmean(f1))
    rates = sklearn.confusion_matrix(labels, predicted, labels=range(classes), normalize="true")
    held = matrix.sum(1) > 0
    np.testing.assert_allclose(metrics.rates(matrix)[held], rates[held])
    assert np.isnan(metrics.rates(matrix)[~held]).all()
    np.testing.assert_allclose(metrics.missed(matrix)[held], 1 - rates.diagonal()[held], atol=1e-12)


def test_intervals_of_matrices():
    matrix = np.array([[9, 1, 0], [2, 3, 0], [0, 0, 0]])
    low, high = metrics.balanced_interval(matrix)
    assert low < metrics.balanced_accuracy(matrix) < high
    wide = metrics.balanced_interval(matrix, confidence=0.99)
    assert wide[0] < low < high < wide[1]
    # Of one class it is Wilson's own interval; without an image nothing is known.
    np.testing.assert_allclose(metrics.balanced_interval(np.array([[0, 0], [2, 6]])), metrics.wilson(6, 8))
    assert metrics.balanced_interval(0 * matrix) == metrics.f1_interval(matrix, 2) == (0, 1)
    low, high = metrics.f1_interval(matrix, 1)
    assert low < metrics.f1_scores(matrix)[1] < high


def test_balanced_accuracy_score_where_all_classes_are_there():
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 0, 1, 0])
    matrix = metrics.confusion_matrix(labels, predicted, 3)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))


def test_nothing_to_count_is_nan_and_an_unknown_class_an_error():
    empty = metrics.confusion_matrix(np.array([-1]), np.array([0]), 2)
    assert np.isnan(metrics.balanced_accuracy(empty))
    assert np.isnan(metrics.majority_share(empty))
    assert np.isnan(metrics.macro_f1(empty))
    assert np.isnan(metrics.recalls(empty)).all()
    with pytest.raises(ValueError, match="got class 2; there are 2"):
        metrics.confusion_matrix(np.array([2]), np.array([0]), 2)
