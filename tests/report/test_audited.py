"""What the page makes of an audit: findings, figures, the pictures behind them; broken and unknown parts."""

import base64
import io
import json

import numpy as np
import pytest
from fake_run import SIZE, figure, make_audit, make_run, signal
from PIL import Image

from jaxcam.audit.signals import Figure, Signal
from jaxcam.files import write_json
from jaxcam.report import audited, evidence, gather, run_page
from jaxcam.report.audited import Drawn, read_audit
from jaxcam.report.figures import draw


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "my run", unreadable=5)
    (run.folder / "history.jsonl").unlink()  # drawing the curves takes most of a page's time
    return run


def pixels(uri):
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def page(run):
    return run_page.write_report(run.folder).read_text(encoding="utf-8")


def test_findings_come_worst_first_and_nothing_is_lost(run):
    make_audit(
        run, extra=[signal("Z9", "a test of tomorrow", "other", "info", 0.5), signal("M2", "gap", "model", "red")]
    )
    notes = []
    audit = read_audit(run.folder, notes)
    assert notes == []
    assert (audit.word, audit.tone) == ("LIKELY SHORTCUT", "red")
    assert [one.id for one in audit.findings] == ["M1", "M5", "D1", "M2"]
    assert [one.id for one in audit.others] == ["D3", "M4", "M15", "M13", "Z9"]
    assert audit.not_run == (
        ("C2", "background only", "no folder of backgrounds was given"), ("C1", "", "there are no masks"),
    )  # fmt: skip
    first = audit.findings[0]
    assert (first.value, first.interval, first.threshold, first.count) == (0.98, (0.9, 1.0), 0.6, 40)
    assert first.advice == (("Train with swapped backgrounds.", "jaxcam train c.py --augment cut"),)
    assert audit.advice == (("Confirm it with counter-examples.", "jaxcam audit run --counter DIR"),)
    assert ("by property \u203a brightness", "0.91") in audit.findings[2].details
    assert ("M1", "red from 0.6, amber from 0.35; 16 pairs") in audit.thresholds


def test_the_page_says_what_was_found(run):
    make_audit(run)
    text = page(run)
    start, end = text.index('<section class="banner'), text.index('<p class="lead">')
    assert "LIKELY SHORTCUT" in text[start:end]
    assert "The model answers without the middle of the picture." in text[start:end]
    assert text.index('id="finding-M1"') < text.index('id="finding-M5"') < text.index('id="finding-D1"')
    for words in (
        "With the middle of every picture", "0.9 to 1", "n = 40", "now says cat 97 %", "no folder of backgrounds",
        "there are no masks", "jaxcam train c.py --augment cut", "What hiding each place costs", "Clusters of maps",
        "How well each place alone tells the classes apart",
    ):  # fmt: skip
        assert words in text
    assert text.count("data:image/webp") > 40


def test_without_an_audit_the_page_says_how_to_get_one(run):
    text = page(run)
    assert "Not audited" in text
    assert f"jaxcam audit &#39;{run.folder}&#39;" in text
    assert 'id="findings"' not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "audit.json cannot be read"),
        ("[]", "audit.json holds no audit"),
        ('{"verdict": "CONFIRMED"}', "audit.json holds no audit"),
    ],
)
def test_a_broken_audit_is_named(run, content, words):
    (run.folder / "audit.json").write_text(content)
    text = page(run)
    assert words in text
    assert "Not audited" in text


@pytest.mark.parametrize(
    "odd",
    [
        {"signals": [1, None, {}, {"id": 3, "value": "x", "interval": [1], "figures": [], "images": {}, "n": None}]},
        {"signals": [], "findings": None, "not_run": {}, "advice": "x", "thresholds": 3, "options": None},
        {"signals": [signal("M1", "n", "model", "red", None, interval=[None, 1], threshold=None, n=2.5)], "verdict": 7},
        {"signals": [signal("M1", "n", "model", "purple", -3.0, details={"a": [{"b": [1, [2]]}], "c": float("nan")})]},
        {"signals": [], "verdict": "NO EVIDENCE", "audited": None, "train": {"root": None}},
    ],
)
def test_odd_audits_still_make_a_page(run, odd):
    (run.folder / "audit.json").write_text(json.dumps(odd))
    assert 'id="findings"' in page(run)


def test_a_signal_as_the_audit_writes_it(run):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    one = Signal(
        id="M4", name="peak share", layer="model", value=0.5, interval=(0.25, float("nan")), count=3, status="red",
        threshold=0.3, sentence="s", images=(run.paths[0],), figures={"mean": Figure(values, "heat", ("cat",))},
    )  # fmt: skip
    one.save_figures(run.folder / "audit")
    write_json(
        run.folder / "audit.json", {"verdict": "LIKELY SHORTCUT", "findings": ["M4"], "signals": [one.to_json()]}
    )
    (found,) = read_audit(run.folder, []).findings
    assert (found.value, found.interval, found.images) == (0.5, None, (run.paths[0],))
    drawing = draw(found.figures[0])
    assert [item.caption for item in drawing.items] == ["cat"]
    assert (drawing.low, drawing.high) == (0.0, 1.0)


def test_a_value_on_its_line(tmp_path):
    plain = dict(signal("M1", "n", "model", "red", 0.75, interval=[0.5, 1.0], threshold=0.6))
    one = audited._finding(plain, tmp_path, [])
    assert (one.meter.low, one.meter.value, one.meter.high, one.meter.threshold) == (0.5, 0.75, 1.0, 0.6)
    one = audited._finding(plain | {"value": -0.5, "interval": None, "threshold": 0.5}, tmp_path, [])
    assert (one.meter.low, one.meter.value, one.meter.threshold) == (0.25, 0.25, 0.75)
    assert audited._finding(plain | {"value": None}, tmp_path, []).meter is None


def drawn(tmp_path, values, kind, labels=()):
    np.save(tmp_path / "a.npy", values)
    return draw(Drawn("some_figure", tmp_path / "a.npy", kind, labels))


def test_figures_have_the_colours_of_their_kind(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 8), (4, 1))
    heat = pixels(drawn(tmp_path, ramp, "heat").items[0].image)
    assert heat[:, :3].sum(2).max() < 60 < 500 < heat[:, -3:].sum(2).max()
    signed = pixels(drawn(tmp_path, 2 * ramp - 1, "signed").items[0].image)
    assert signed[20, 2, 2] > signed[20, 2, 0] + 50
    assert signed[20, -3, 0] > signed[20, -3, 2] + 50
    auc = drawn(tmp_path, ramp, "auc")
    assert (auc.low, auc.high, auc.colormap) == (0.5, 1.0, "viridis")
    stack = drawn(tmp_path, np.stack([ramp] * 30), "heat", ("cat", "dog"))
    assert (len(stack.items), stack.left_out, stack.items[1].caption) == (24, 6, "dog")
    photo = np.zeros((2, 10, 20, 3), np.uint8)
    photo[1] = 200, 30, 30
    shown = drawn(tmp_path, photo, "picture", ("one", "two"))
    assert abs(pixels(shown.items[1].image) - [200, 30, 30]).max() < 12
    assert shown.items[1].ratio == 2


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.full((3, 4), np.nan), "heat"), (np.zeros((0, 4)), "heat"), (np.zeros((2, 3, 4, 5)), "signed"),
        (np.array(["a"]), "values"), (np.zeros(1000), "values"), (np.float64(3), "values"), (np.zeros((5, 2)), "new"),
        (np.full((2, 2), np.inf), "auc"), (np.zeros((4, 4, 3)), "picture"), (np.ones((2, 2), bool), "heat"),
    ],
)  # fmt: skip
def test_any_array_can_be_shown(tmp_path, values, kind):
    found = drawn(tmp_path, values, kind)
    assert found.items or found.rows or found.problem


def test_figures_that_cannot_be_read_are_named(tmp_path):
    assert "is missing" in draw(Drawn("a", tmp_path / "none.npy", "heat", ())).problem
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    assert "cannot be read" in draw(Drawn("a", tmp_path / "bad.npy", "heat", ())).problem
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be read" in draw(Drawn("a", tmp_path / "objects.npy", "values", ())).problem


def test_only_files_of_the_audit_are_opened(run):
    names = {"a": "../config.json", "b": "/etc/passwd", "c": ".hidden.npy", "d": "fine.npy"}
    figures = {name: {"file": file, "kind": "heat"} for name, file in names.items()}
    make_audit(run, extra=[signal("M2", "n", "model", "red", figures=figures)])
    found = next(one for one in read_audit(run.folder, []).findings if one.id == "M2")
    assert [one.path.name for one in found.figures] == ["fine.npy"]


def test_evidence_joins_pictures_maps_and_what_was_made_of_them(run):
    train = make_run(run.folder, split="train", each=3, seed=1, methods=())
    audit_values = make_audit(run)
    both = [run.paths[0], f"train:{train.paths[1]}", "gone/away.png"]
    heat = np.abs(np.random.default_rng(0).normal(size=(3, 4, 6)))
    extra = signal("C1", "heat on the object", "confirm", "red", 0.5, images=both,
                   figures=figure(run, "C1", "heat", "heat", heat, both))  # fmt: skip
    audit_values |= {"signals": [*audit_values["signals"], extra], "audited": {"name": "valid"}}
    (run.folder / "audit.json").write_text(json.dumps(audit_values))
    audit = read_audit(run.folder, [])
    found = {
        one.finding.id: one for one in evidence.evidence(audit, evidence.Pictures(gather.read_run(run.folder), audit))
    }
    shots = found["M1"].shots
    assert [one.path for one in shots] == [run.paths[row] for row in run.readable[:6]]
    for one in shots:
        row = run.paths.index(one.path)
        assert (one.predicted, one.label) == (run.classes[run.predicted[row]], run.classes[run.labels[row]])
        assert one.map_words.startswith(f"grad_cam map for {one.predicted}, hottest at the ")
        assert [extra.caption for extra in one.extras] == ["now says cat 97 %"]
        assert pixels(one.extras[0].image)[12, 18].tolist() == pytest.approx([128] * 3, abs=8)
    assert found["M1"].drawings == ()  # its figure stands beside the pictures
    first, second, third = found["C1"].shots
    assert (first.split, second.split, third.split) == ("valid", "train", "")
    assert first.extras[0].photo == first.photo
    assert third.problem == "where the picture lies is not known"
    assert [item.caption for item in found["M4"].drawings[0].items] == list(run.classes)
    assert all(item.photo for item in found["M4"].drawings[0].items)  # the mean picture of the class lies behind


def test_figures_in_the_order_of_the_pictures(run):
    paths = [run.paths[3], run.paths[8]]
    plain = np.zeros((2, *SIZE, 3), np.uint8)
    plain[1] = 250
    figures = figure(run, "M2", "original", "picture", plain, ["cat: called cat", "dog: called cat"])
    figures |= figure(run, "M2", "other_border", "picture", plain, ["cat: called dog", "dog: called dog"])
    figures |= figure(run, "M2", "means", "heat", np.ones((2, 4, 6)), run.classes)
    make_audit(run, extra=[signal("M2", "gap", "model", "red", 0.5, images=paths, figures=figures)])
    audit = read_audit(run.folder, [])
    pictures = evidence.Pictures(gather.read_run(run.folder), audit)
    found = next(one for one in evidence.evidence(audit, pictures) if one.finding.id == "M2")
    assert [one.path for one in found.shots] == paths
    assert [[extra.caption for extra in one.extras] for one in found.shots] == [["other border, called dog"]] * 2
    assert [pixels(one.extras[0].image).mean() > 200 for one in found.shots] == [False, True]
    assert [drawing.name for drawing in found.drawings] == ["means"]
