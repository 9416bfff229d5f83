"""Predictions of a set, and their table."""

import csv
from pathlib import Path

import numpy as np
import pytest

from jaxcam.data.folder import ImageSet
from jaxcam.evaluation import SetPredictions, write_predictions

NAMES = ("ant", "bee", "cat")
PATHS = ("ant/0.png", "ant/1.png", "ant/2.png", "bee/0.png", "bee/1.png", "cat/0.png", "moon/0.png", "ant/x.png")
LABELS = np.array([0, 0, 0, 1, 1, 2, -1, 0], np.int32)
LOGITS = np.array(
    [[3, 0, 0], [2, 1, 0], [0, 1, 0], [0, 4, 1], [0, 1, 3], [0, 0, 2], [0, 0, 5], [np.nan] * 3], np.float32
)


@pytest.fixture
def predictions():
    """Three of the six images of known classes' are right but one ant and one bee; the last cannot be read."""
    images = ImageSet("valid", Path("somewhere"), NAMES, PATHS, LABELS)
    return SetPredictions(images, LOGITS, {7: "cut off"})


def test_accuracy_and_confidence(predictions):
    assert predictions.readable.tolist() == [0, 1, 2, 3, 4, 5]
    assert predictions.accuracy == pytest.approx(4 / 6)
    shares = np.exp(LOGITS[:7]) / np.exp(LOGITS[:7]).sum(1, keepdims=True)
    assert predictions.confidence == pytest.approx(shares.max(1).mean(), rel=1e-5)


def test_the_table_keeps_every_row(predictions, tmp_path):
    write_predictions(tmp_path / "valid.csv", predictions, {1: "grad_cam: odd"})
    with open(tmp_path / "valid.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "label", "predicted", "p_ant", "p_bee", "p_cat", "loss", "flags"]
    assert [row[0] for row in rows] == list(PATHS)
    assert [row[2] for row in rows] == ["ant", "ant", "bee", "bee", "cat", "cat", "cat", ""]
    assert rows[7] == ["ant/x.png", "ant", "", "", "", "", "", "unreadable: cut off"]
    assert rows[6][1] == "moon"
    assert rows[6][6] == ""  # no loss without a class
    assert rows[1][7] == "grad_cam: odd"
    np.testing.assert_allclose(sum(float(cell) for cell in rows[0][3:6]), 1, atol=2e-6)
    assert float(rows[2][6]) == pytest.approx(np.log(2 + np.e), rel=1e-4)


def test_logits_that_are_no_numbers_are_not_a_prediction(predictions, tmp_path):
    broken = SetPredictions(predictions.images, np.where(LOGITS == 4, np.nan, LOGITS), {7: "cut off"})
    write_predictions(tmp_path / "valid.csv", broken)
    assert (tmp_path / "valid.csv").read_text().splitlines()[4] == "bee/0.png,bee,,,,,,logits are NaN or infinite"
    assert broken.accuracy == pytest.approx(3 / 5)
