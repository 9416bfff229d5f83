"""The report: what it says, that it is one harmless file, and what it does about absent and broken parts."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn.metrics
from conftest import shared
from fake_run import make_run, write_maps, write_table

from jaxcam import metrics
from jaxcam.errors import UserError
from jaxcam.report import pages
from jaxcam.report.summary import percent


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "my run", unreadable=5)


class Page(HTMLParser):
    """A page's elements and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.words, self.skipping = [], [], 0
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.skipping += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.skipping -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.skipping:
            self.words.append(data)

    def of(self, tag, name=""):
        found = [attrs for kind, attrs in self.elements if kind == tag]
        return [attrs for attrs in found if not name or name in attrs.get("class", "").split(" ")]


def report(folder, **options):
    path = pages.write_report(folder, **options)
    assert path == folder / "report" / "index.html"
    return Page(path)


def test_headline_and_matrix(run):
    page = report(run.folder)
    labels, predicted = run.labels[run.readable], run.predicted[run.readable]
    correct = int((labels == predicted).sum())
    assert (correct, len(labels)) == (7, 11)
    low, high = metrics.wilson(correct, 11)
    assert f"Right on 7 of 11 pictures of the valid set: {percent(7 / 11)}." in page.text
    assert f"95\u202f% interval {percent(low)} to {percent(high)}" in page.text
    balanced = sklearn.metrics.balanced_accuracy_score(labels, predicted)
    assert f"Balanced accuracy {percent(balanced)}" in page.text
    assert f"Always answering \u201cdog\u201d would give {percent(6 / 11)}" in page.text
    assert "Not counted: 1 unreadable picture." in page.text
    matrix = sklearn.metrics.confusion_matrix(labels, predicted)
    cells = re.findall(r'<td class="cell (hit|miss)[^>]*--share: ([\d.]+)">(\d+)', page.html)
    assert [int(count) for _, _, count in cells] == matrix.ravel().tolist()
    np.testing.assert_allclose(
        [float(share) for _, share, _ in cells], (matrix / matrix.sum(1, keepdims=True)).ravel(), atol=5e-4
    )
    assert [kind for kind, _, _ in cells] == ["hit", "miss", "miss", "hit"]


def test_facts_training_and_notes(run):
    page = report(run.folder)
    for words in (
        "my run", "vgg16_mini", "cat, dog", "36 \u00d7 24 pixels, whole picture stretched", "Seed 7", "jaxcam 0.0.9",
        "phase 1: head (3 epochs, adam 0.001); phase 2: block5_conv1 (2 epochs, adam 0.0001)",
        "grad_cam, cam at block5_conv3 (valid)", "5 epochs in 2 phases: phase 1: head from epoch 1",
        "phase 2: block5_conv1 from epoch 4", "The folder held everything this page can show.",
    ):  # fmt: skip
        assert words in page.text
    assert len(page.of("svg", "plot")) == 1
    assert page.html.count("phase 2: block5_conv1</text>") == 2


def test_gallery_cards(run):
    run.flags[8, 0, :] = 2
    run.flags[8, :, 1] |= 8
    run.flags[9, 1, 0] = 1
    shutil.rmtree(run.folder / "maps")
    write_maps(run, "valid", "all")
    page = report(run.folder)
    cards = page.of("article", "card")
    wrong = [row for row in run.readable if run.predicted[row] != run.labels[row]]
    wrong.sort(key=lambda row: -run.probabilities[row].max())
    rest = [row for row in run.readable if row not in wrong]
    assert [card["data-path"] for card in cards] == [run.paths[row] for row in [*wrong, *rest]]
    assert [card["data-wrong"] for card in cards] == ["1"] * 4 + ["0"] * 7
    shares = [float(card["data-confidence"]) for card in cards]
    np.testing.assert_allclose(shares, run.probabilities.max(1)[[*wrong, *rest]], atol=1e-6)
    assert "all 11 readable pictures, 4 of them wrong" in page.text
    heats = [heat for heat in page.of("img", "heat") if "data-method" in heat]
    assert len(heats) == 11 * 4
    shown = [heat for heat in heats if "hidden" not in heat]
    assert [(heat["data-method"], heat["data-target"]) for heat in shown] == [
        ("grad_cam", run.classes[run.predicted[row]]) for row in [*wrong, *rest]
    ]
    for heat in heats:
        assert heat["alt"].startswith(f"with the {heat['data-method']} map for {heat['data-target']}, hottest at the ")
    for words in (
        "map or gradient is zero everywhere (grad_cam)", "softmax is saturated (for dog)",
        "map is negative everywhere before ReLU (cam for cat)", "1 picture of valid could not be read",
        "<truncated> PNG",
    ):  # fmt: skip
        assert words in page.text


def test_every_picture_has_a_text(run):
    page = report(run.folder)
    for image in page.of("img"):
        assert image["alt"]
        assert image["src"].startswith("data:image/")
    assert len(page.of("img", "photo")) == 11 + 2 * 2  # gallery, and the mean picture of each class and method
    for table in ("matrix", "numbers"):
        assert f'class="{table}"' in page.html
    assert {cell["scope"] for cell in page.of("th")} == {"row", "col"}


def test_the_page_is_one_file(run):
    page = report(run.folder)
    assert [path.name for path in (run.folder / "report").iterdir()] == ["index.html"]
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith(("data:", "#")), (tag, name, value[:80])
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_the_same_run_gives_the_same_bytes(run):
    first = pages.write_report(run.folder).read_bytes()
    assert pages.write_report(run.folder).read_bytes() == first


HOSTILE = ("<script>alert(1)", "'\"onload=alert(2) x='", "{{ 7 * 7 }} & $\\frac$")


def test_hostile_names_stay_text(tmp_path):
    names = '"><svg onload=alert(4)> {row}.png'
    run = make_run(tmp_path / "<img src=x onerror=alert(3)>", classes=HOSTILE, names=names)
    page = report(run.folder)
    for name in HOSTILE:
        assert name in page.text
    assert "{{ 7 * 7 }}" in page.html
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [{}]
    assert len(page.of("svg")) == 1
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    labels = {card["data-label"] for card in page.of("article", "card")}
    assert labels == set(HOSTILE)
    assert len(page.of("img", "photo")) > 18


def test_paths_that_lead_out_of_the_picture_folder_are_not_opened(run):
    table = run.folder / "predictions" / "valid.csv"
    secret = run.pictures.parent / "secret.png"
    shutil.copy(run.pictures / run.paths[0], secret)
    text = table.read_text().replace(run.paths[0], "../secret.png").replace(run.paths[1], str(secret))
    table.write_text(text)
    page = report(run.folder)
    assert page.text.count("where the picture lies is not known") == 2


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("history.jsonl", "There is no training history in this folder."),
        ("config.json", "config.json is missing, so the configuration is not known."),
        ("classifier", "classifier/classifier.json is missing"),
        ("maps", "There are no maps for valid (`jaxcam explain` computes them)."),
        ("predictions", "maps/valid.zarr has no predictions/valid.csv beside it and is not shown."),
    ],
)
def test_absent_parts_are_named(run, gone, words):
    target = run.folder / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert words in report(run.folder).text


def test_a_run_that_has_just_begun(run):
    for part in ("history.jsonl", "classifier", "maps", "predictions"):
        target = run.folder / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    page = report(run.folder)
    assert "This run holds no predictions for labelled pictures yet." in page.text
    assert "There are no predictions in this folder, so no pictures are shown." in page.text


@pytest.mark.parametrize("content", [{}, {"config.json": '{"model_type": "bert"}'}, {"history.jsonl": "\n"}, None])
def test_no_run_is_an_error(tmp_path, content):
    folder = tmp_path / "other"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(UserError, match="give the folder that `jaxcam train` wrote"):
        pages.write_report(folder)
    assert not (folder / "report").exists()


def damage_chunk(run):
    (run.folder / "maps" / "valid.zarr" / "logits" / "c.0.0").write_bytes(b"x")


def other_classifier(run):
    run.logits[:] = -run.logits
    write_table(run, "valid")


def fewer_rows(run):
    table = run.folder / "predictions" / "valid.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))


def unfinished(run):
    group = run.folder / "maps" / "valid.zarr" / "zarr.json"
    group.write_text(group.read_text().replace('"complete": true', '"complete": false'))
    (group.parent / "done.jsonl").write_text('{"batch": 0}\n{"batch": 2}\n')


def torn_history(run):
    with open(run.folder / "history.jsonl", "a") as file:
        file.write('[1]\n{"phase": 1, "epo')


def short_line(run):
    with open(run.folder / "predictions" / "valid.csv", "a") as file:
        file.write("a,b\n")


def unknown_prediction(run):
    table = run.folder / "predictions" / "valid.csv"
    table.write_text(re.sub(r"cat,(cat|dog)", "cat,fox", table.read_text(), count=1))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_chunk, "maps/valid.zarr cannot be shown"),
        (other_classifier, "(it was made by another classifier) and is not shown"),
        (fewer_rows, "(it has 12 rows, the table 11) and is not shown"),
        (unfinished, "maps/valid.zarr is incomplete: 2 of 3 batches are there"),
        (torn_history, "history.jsonl has 2 unreadable lines, left out of the curves."),
        (short_line, "predictions/valid.csv is not a table of predictions (line 14 has 2 fields, not 7)."),
        (unknown_prediction, "(line 2 predicts 'fox', which has no column)"),
        (lambda run: (run.folder / "predictions" / "valid.csv").write_text(""), "is not a table of predictions"),
        (lambda run: (run.folder / "predictions" / "valid.csv").write_bytes(b"\xff\xfe"), "is not a table"),
        (lambda run: (run.folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda run: (run.folder / "classifier" / "classifier.json").write_text("[]"), "holds no JSON object"),
    ],
)
def test_broken_parts_are_named(run, damage, words):
    damage(run)
    assert words in report(run.folder).text


def test_pictures_that_are_gone_leave_a_placeholder(run):
    (run.pictures / run.paths[0]).unlink()
    (run.pictures / run.paths[1]).write_bytes(b"no picture")
    page = report(run.folder)
    assert "the file is no longer there" in page.text
    assert "no JPEG, PNG, WebP, BMP, GIF or TIFF image" in page.text
    assert "The files of 2 could not be opened any more." in page.text
    shutil.rmtree(run.pictures)
    page = report(run.folder)
    assert page.text.count("the file is no longer there") == 11
    assert len(page.of("img", "heat")) == 11 * 4 + 2 * 2  # the maps are still there


def test_pictures_are_found_through_the_configuration(run):
    shutil.rmtree(run.folder / "maps")
    config = json.loads((run.folder / "config.json").read_text())
    config["data"] = {"folder": str(run.pictures.parent), "valid": run.pictures.name}
    (run.folder / "config.json").write_text(json.dumps(config))
    assert len(report(run.folder).of("img", "photo")) == 11


def test_several_splits_valid_first(run):
    make_run(run.folder, split="train", each=3, seed=1)
    make_run(run.folder, split="flipped", each=2, methods=(), seed=2)
    page = report(run.folder)
    order = re.findall(r"<h3>(\w+)</h3>\s*<p class=\"big\">", page.html)
    assert order == ["valid", "flipped", "train"]
    assert "There are no maps for flipped" in page.text
    assert [option["value"] for option in page.of("option") if "selected" in option] == ["valid"]


def test_many_classes_get_a_list_of_confusions(tmp_path):
    classes = tuple(f"class {number:02}" for number in range(26))
    run = make_run(tmp_path / "many", classes=classes, each=3, methods=("grad_cam",))
    page = report(run.folder, limit=10)
    assert not page.of("table", "matrix")
    assert "class 00 class 01 2 66.7\u202f%" in page.text
    assert "2 smaller classes are not shown" in page.text
    assert "the 10 most confident of 52 wrong ones, of 78 pictures" in page.text
    assert len(page.of("article", "card")) == 10
    assert all(len(re.findall('class="name"', card)) <= 5 for card in page.html.split("<article")[1:])


def test_unknown_folders_are_shown_but_not_counted(run):
    table = run.folder / "predictions" / "valid.csv"
    table.write_text(re.sub(r"png,cat,", "png,zebra,", table.read_text()))
    page = report(run.folder)
    assert "5 pictures in folders that are no class" in page.text
    assert "from zebra" in page.text
    assert "Right on 4 of 6 pictures" in page.text


def test_a_page_of_ones_own(tmp_path):
    path = pages.write_page(tmp_path / "story" / "index.html", "base.html", {"title": "Cats & <dogs>"})
    page = Page(path)
    assert "<title>Cats &amp; &lt;dogs&gt; · jaxcam</title>" in page.html
    assert not page.of("script")


def test_a_hundred_and_twenty_photographs_stay_small(tmp_path):
    pictures = shared() / "cats-dogs-small" / "train"
    run = make_run(tmp_path / "real", each=60)
    names = [sorted((pictures / name).iterdir())[:60] for name in ("cat", "dog")]
    for path, source in zip(run.paths, [*names[0], *names[1]], strict=True):
        shutil.copy(source, run.pictures / path)
    path = pages.write_report(run.folder)
    assert len(Page(path).of("img", "photo")) == 120 + 4
    assert path.stat().st_size < 6e6
