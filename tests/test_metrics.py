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


def test_balanced_accuracy_score_where_all_classes_are_there():
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 0, 1, 0])
    matrix = metrics.confusion_matrix(labels, predicted, 3)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))


def test_nothing_to_count_is_nan_and_an_unknown_class_an_error():
    empty = metrics.confusion_matrix(np.array([-1]), np.array([0]), 2)
    assert np.isnan(metrics.balanced_accuracy(empty))
    assert np.isnan(metrics.majority_share(empty))
    assert np.isnan(metrics.recalls(empty)).all()
    with pytest.raises(ValueError, match="got class 2; there are 2"):
        metrics.confusion_matrix(np.array([2]), np.array([0]), 2)
