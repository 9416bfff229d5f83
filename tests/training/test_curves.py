"""Curves beside a history: the smoothing of the book, the table, TensorBoard's events."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from jaxcam.errors import UserError
from jaxcam.report.plots import smoothed, smoothed_values
from jaxcam.training import tensorboard
from jaxcam.training.curves import table, write_curves

HISTORY = [
    {"phase": epoch // 3, "epoch": epoch % 3 + 1, "step": epoch, "train_loss": 1 / (epoch + 1),
     "valid_accuracy": 0.5 + 0.1 * epoch, "learning_rate": 1e-3, "kept": None}
    for epoch in range(5)
]  # fmt: skip


def smooth_curve(points, factor=0.8):
    """As Chollet's "Deep Learning with Python" prints it (listing 5.24)."""
    smoothed_points = []
    for point in points:
        if smoothed_points:
            previous = smoothed_points[-1]
            smoothed_points.append(previous * factor + point * (1 - factor))
        else:
            smoothed_points.append(point)
    return smoothed_points


def test_smoothing_is_the_books():
    points = np.random.default_rng(0).random(30)
    np.testing.assert_allclose(smoothed(points), smooth_curve(points))
    np.testing.assert_allclose(smoothed(points, 0.5), smooth_curve(points, 0.5))
    assert smoothed([]).shape == (0,)
    gaps = smoothed([np.nan, 1.0, np.inf, 0.0])
    assert np.isnan(gaps).tolist() == [True, False, True, False]
    np.testing.assert_allclose(gaps[[1, 3]], [1.0, 0.8])


def test_each_phase_is_smoothed_for_itself():
    losses = [record["train_loss"] for record in HISTORY]
    want = smooth_curve(losses[:3]) + smooth_curve(losses[3:])
    np.testing.assert_allclose(smoothed_values(HISTORY, "train_loss"), want)


def test_the_table_holds_raw_and_smoothed_values():
    rows = list(csv.DictReader(table([*HISTORY, {"phase": 1, "train_loss": float("nan"), "new": 3}]).splitlines()))
    assert list(rows[0])[-3:] == ["new", "train_loss_smoothed", "valid_accuracy_smoothed"]
    assert len(rows) == 6
    np.testing.assert_allclose([float(row["train_loss"]) for row in rows[:5]], [r["train_loss"] for r in HISTORY])
    want = smoothed_values(HISTORY, "train_loss")
    np.testing.assert_allclose([float(row["train_loss_smoothed"]) for row in rows[:5]], want, rtol=1e-7)
    assert rows[5]["train_loss"] == rows[5]["train_loss_smoothed"] == rows[5]["kept"] == ""
    assert (rows[0]["new"], rows[5]["new"]) == ("", "3")


def test_the_files_beside_the_history(tmp_path):
    write_curves(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in HISTORY) + '{"torn')
    write_curves(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.csv", "history.jsonl", "history.png"]
    assert (tmp_path / "history.csv").read_text() == table(HISTORY)
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.size[0] > 1000
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_curves(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def scalars(folder):
    """What TensorBoard would show: the scalars of the only event file, by tag."""
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  (registers the messages)
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.iterdir()
    data, found = file.read_bytes(), {}
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    return found


def test_tensorboard_sees_the_history_once(tmp_path):
    pytest.importorskip("tensorboardX", reason="writes the events")
    run = tmp_path / "run"
    run.mkdir()
    for history in (HISTORY[:3], [*HISTORY, {"phase": 1, "train_loss": float("inf")}]):
        (run / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in history))
        write_curves(run, tensorboard=True)
    found = scalars(run / "tensorboard")
    assert {"loss/train", "accuracy/valid", "learning_rate", "phase"} == set(found)
    assert [step for step, _ in found["loss/train"]] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([value for _, value in found["loss/train"]], [r["train_loss"] for r in HISTORY])
    assert not list(run.glob(".*"))


def test_without_a_writer_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "WRITERS", ("no_such_module",))
    with pytest.raises(UserError, match="pip install tensorboardX"):
        tensorboard.check()
    with pytest.raises(UserError, match="pip install tensorboardX"):
        tensorboard.write_events(tmp_path / "tensorboard", HISTORY)
    assert list(tmp_path.iterdir()) == []
