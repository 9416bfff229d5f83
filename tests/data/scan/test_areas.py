"""AUCs against scikit-learn's, their chance against scipy's."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from jaxcam.data.scan.areas import chance_of, class_areas, interval


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("levels", [3, 1000])
def test_equal_scikit_learn_and_scipy(classes, levels):
    rng = np.random.default_rng(classes * levels)
    codes = rng.integers(0, classes, 300)
    values = rng.integers(0, levels, (300, 4)) + 0.1 * levels * codes[:, None]
    found = class_areas(values, codes, classes)
    for column in range(4):
        for label in range(classes):
            own = codes == label
            assert found.area[column, label] == pytest.approx(roc_auc_score(own, values[:, column]), abs=1e-12)
            test = mannwhitneyu(values[own, column], values[~own, column], use_continuity=False, method="asymptotic")
            score = float(found.score[column, label])
            assert chance_of(values[:, column], own, score) == pytest.approx(test.pvalue, rel=1e-9, abs=1e-12)


def test_few_pictures_get_the_exact_chance():
    values, own = np.arange(16.0), np.arange(16) >= 8
    found = class_areas(values[:, None], own.astype(int), 2)
    assert found.told[0, 1] == 1
    assert chance_of(values, own, float(found.score[0, 1])) == pytest.approx(2 / 12870)


def test_empty_classes_and_equal_values():
    found = class_areas(np.ones((4, 1)), np.array([0, 0, 2, 2]), 3)
    assert np.isnan(found.area[0, 1])
    assert found.area[0, 0] == 0.5
    assert found.score[0, 0] == 0


def test_the_interval_covers():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        first, second = rng.normal(1, 1, 40), rng.normal(0, 1, 40)
        area = (first[:, None] > second[None]).mean()
        low, high = interval(float(area), 40, 40)
        hits += low <= 0.7602 <= high
    assert 0.91 <= hits / 300 <= 0.99
    assert interval(1.0, 29, 29)[0] < 0.99
    assert interval(0.5, 0, 10) == (0.0, 1.0)
