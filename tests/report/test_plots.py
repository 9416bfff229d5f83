"""Training curves: what they hold, that they repeat, and that no name can break them."""

import json
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from jaxcam.report import plots

HISTORY = [
    {"phase": epoch // 3, "epoch": epoch % 3 + 1, "train_loss": 1 / (epoch + 1), "valid_loss": 1.2 / (epoch + 1),
     "train_accuracy": 0.5 + 0.05 * epoch, "valid_accuracy": 0.5 + 0.04 * epoch}
    for epoch in range(7)
]  # fmt: skip


def test_the_curves_are_the_history():
    left, right = plots.history_figure(HISTORY).axes
    for axes, quantity in ((left, "loss"), (right, "accuracy")):
        lines = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
        assert list(lines) == ["train", "valid"]
        for name, line in lines.items():
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 8))
            np.testing.assert_array_equal(line.get_ydata(), [record[f"{name}_{quantity}"] for record in HISTORY])
        assert [text.get_text() for text in axes.texts] == ["phase 1", "phase 2", "phase 3"]
    assert plots.phase_starts(HISTORY) == [0, 3, 6]


def test_missing_values_are_gaps():
    records = [HISTORY[0], {"phase": 0, "train_loss": None, "valid_loss": float("inf")}, {}, HISTORY[3]]
    left, _ = plots.history_figure(records).axes
    train, valid = left.get_lines()[:2]
    assert np.isnan(train.get_ydata()).tolist() == [False, True, True, False]
    assert np.isnan(valid.get_ydata()).tolist() == [False, True, True, False]


@pytest.mark.parametrize("records", [[{}], [HISTORY[0]], [{"train_accuracy": float("nan")}] * 3, HISTORY * 30])
def test_any_history_can_be_drawn(records):
    assert plots.history_svg(records).startswith('<svg class="plot" viewBox="0 0 ')


def test_svg_repeats_and_takes_the_colours_of_the_page():
    before = dict(matplotlib.rcParams)
    names = ["phase 1: head", "phase 2: $all </svg><script>", "phase 3: \u5168\u90e8"]
    text = plots.history_svg(HISTORY, names)
    assert text == plots.history_svg(HISTORY, names)
    assert dict(matplotlib.rcParams) == before
    assert not re.search(r"#[0-9a-f]{6}\b", text)
    assert {"var(--muted)", "var(--line)", "var(--train)", "var(--accent)"} == set(re.findall(r"var\([^)]*\)", text))
    assert "<script" not in text
    assert "phase 2: $all &lt;/svg&gt;&lt;script&gt;" in text
    assert "phase 3</text>" in text
    assert text.count("</svg>") == 1
    ids, used = set(re.findall(r'\bid="([^"]*)"', text)), set(re.findall(r'(?:url\(|href=")#([^")]*)', text))
    assert used <= ids
    assert all(name.startswith("history-") for name in ids)


def test_the_picture_beside_the_history(tmp_path):
    history, image = tmp_path / "history.jsonl", tmp_path / "history.png"
    plots.write_history_plot(history, image)
    assert not image.exists()
    history.write_text("".join(json.dumps(record) + "\n" for record in HISTORY) + '{"torn')
    plots.write_history_plot(history, image)
    first = image.read_bytes()
    plots.write_history_plot(history, image)
    assert image.read_bytes() == first
    with Image.open(image) as picture:
        assert picture.size[0] > 1000
        assert picture.getpixel((0, 0))[:3] == (255, 255, 255)
