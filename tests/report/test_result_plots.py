"""Drawings of an evaluation: what they show, that they repeat, and that no name can break them."""

import re

import matplotlib
import numpy as np
import pytest

from jaxcam.calibration import reliability
from jaxcam.report import result_plots

MATRIX = np.array([[290, 45, 18], [45, 3508, 196], [0, 0, 0]])
NAMES = ("birds", "cats $all </svg><script>", "\u72ac dogs")


def diagram(count=200, seed=0):
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.3, 1, count)
    return reliability(confidence, generator.random(count) < confidence**2)


def test_the_reliability_diagram_shows_the_bins():
    shown = diagram()
    upper, lower = result_plots.reliability_figure(shown, after=diagram(seed=1)).axes
    held = shown.count > 0
    curve = upper.containers[0].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), shown.confidence[held])
    np.testing.assert_allclose(curve.get_ydata(), shown.accuracy[held])
    np.testing.assert_allclose([bar.get_height() for bar in lower.patches], shown.count / 200)
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["as stated", "as it is", "with temperature"]


def test_the_confusion_matrix_says_shares_of_rows_and_counts():
    (axes,) = result_plots.confusion_figure(MATRIX, NAMES).axes
    words = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert words[0, 1] == "13 %\n45"
    assert words[1, 0] == "1 %\n45"
    assert not any(row == 2 for row, _ in words)  # a class without images
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        result_plots.confusion_figure(MATRIX, NAMES[:2])


@pytest.mark.parametrize("count", [1, 30, 80])
def test_any_number_of_classes_and_no_image_can_be_drawn(count):
    matrix = np.random.default_rng(0).poisson(0.3, (count, count))
    for one in (matrix, 0 * matrix):
        text = result_plots.confusion_svg(one, [f"class {number}" for number in range(count)])
        assert text.startswith('<svg class="plot" viewBox="0 0 ')
    empty = reliability(np.zeros(0), np.zeros(0, bool))
    assert "no images" in result_plots.reliability_svg(empty)


def test_svg_repeats_and_takes_the_colours_of_the_page():
    before = dict(matplotlib.rcParams)
    for draw, prefix in (
        (lambda: result_plots.confusion_svg(MATRIX, NAMES), "confusion-"),
        (lambda: result_plots.reliability_svg(diagram(), after=diagram(seed=1)), "reliability-"),
    ):
        text = draw()
        assert text == draw()
        assert not re.search(r"#[0-9a-f]{6}\b", text)
        assert "<script" not in text
        assert text.count("</svg>") == 1
        ids, used = set(re.findall(r'\bid="([^"]*)"', text)), set(re.findall(r'(?:url\(|href=")#([^")]*)', text))
        assert used <= ids
        assert all(name.startswith(prefix) for name in ids)
    assert dict(matplotlib.rcParams) == before
