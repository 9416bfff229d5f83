"""Falls of an accuracy: intervals against published ones, tests against counting."""

from math import comb

import numpy as np
import pytest

from jaxcam.audit.confirmation.shares import (
    Share,
    below_chance,
    combined,
    fall,
    fall_by_chance,
    paired_fall_by_chance,
    share_of,
)
from jaxcam.metrics import wilson


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 20), (0.6791, 1.0))],
)
def test_difference_has_the_published_interval(first, second, ends):
    """Newcombe 1998, table II, method 10."""
    assert combined([(1.0, *first), (-1.0, *second)])[1:] == pytest.approx(ends, abs=6e-5)


def test_one_share_has_wilsons_interval():
    assert combined([(1.0, 13, 20)])[1:] == pytest.approx(wilson(13, 20))


def test_the_interval_of_a_balanced_accuracy_covers_it():
    """In 95 % of draws, near enough."""
    generator, truth = np.random.default_rng(0), (0.9, 0.6)
    hits = 0
    for _ in range(400):
        right = [int(generator.binomial(n, p)) for n, p in zip((40, 12), truth, strict=True)]
        low, high = Share(tuple(right), (40, 12)).interval
        hits += low <= 0.75 <= high
    assert hits / 400 > 0.92


def test_what_chance_explains():
    """8 of 8 against 0 of 4 is no chance, against 7 of 8 it is; counted by hand."""
    assert fall_by_chance(Share((8,), (8,)), Share((0,), (4,))) == pytest.approx(1 / comb(12, 4))
    assert fall_by_chance(Share((8,), (8,)), Share((7,), (8,))) == pytest.approx(0.5)
    before, after = np.array([True] * 6), np.array([False] * 5 + [True])
    assert paired_fall_by_chance(before, after) == pytest.approx(0.5**5)
    assert paired_fall_by_chance(before, before) == 1
    assert below_chance(Share((0,), (8,)), 0.5)
    assert not below_chance(Share((0,), (4,)), 0.5)


def test_accuracy_is_balanced_and_unknown_labels_play_no_part():
    labels = np.array([0, 0, 0, 1, -1])
    share = share_of(np.array([True, True, True, False, True]), labels, 3)
    assert share.value == 0.5
    assert (share.right, share.total, share.classes) == (3, 4, [0, 1])
    assert share.of([0]).value == 1
    assert fall(share.of([0]), share.of([1]))[0] == 1
    assert np.isnan(share.of([2]).value)
