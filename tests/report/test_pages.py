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
from jaxcam.report import gather, pages
from jaxcam.report.gallery import COLUMNS
from jaxcam.report.run_page import write_report
from jaxcam.report.summary import percent


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "my run", unreadable=5)


class Page(HTMLParser):
    """A page's elements and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.words, self.skipping = [], [], 0
        self.path = path
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

    @property
    def table(self):
        """What the script knows of the pictures, one mapping a picture."""
        table = json.loads(re.search(r'id="table">(.*?)</script>', self.html, re.DOTALL)[1])
        cards = [
            dict(zip(COLUMNS, values, strict=True)) for values in zip(*(table[key] for key in COLUMNS), strict=True)
        ]
        for card, photo, strip in zip(cards, table["photos"], table["strips"], strict=True):
            card |= {"photo": photo, "strip": strip, "label": table["names"][card["label"]]}
            card |= {"predicted": table["names"][card["predicted"]], "split": table["splits"][card["split"]]}
            card["maps"] = [
                (table["methods"][m], table["names"][t], table["places"][place]) for m, t, place in card["tiles"]
            ]
            card["findings"] = [table["findings"][one]["id"] for one in card["findings_of"]]
        return cards

    def of(self, tag, name=""):
        found = [attrs for kind, attrs in self.elements if kind == tag]
        return [attrs for attrs in found if not name or name in attrs.get("class", "").split(" ")]


def report(folder, **options):
    path = write_report(folder, **options)
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
    assert len(page.of("svg", "plot")) == 2  # curves and reliability
    assert page.html.count("phase 2: block5_conv1</text>") == 2


def test_gallery_cards(run):
    run.flags[8, 0, :] = 2
    run.flags[8, :, 1] |= 8
    run.flags[9, 1, 0] = 1
    shutil.rmtree(run.folder / "maps")
    write_maps(run, "valid", "all")
    page = report(run.folder)
    cards = page.table
    assert [card["path"] for card in cards] == [run.paths[row] for row in run.readable]
    assert [card["state"] for card in cards] == (run.predicted != run.labels)[run.readable].astype(int).tolist()
    np.testing.assert_allclose(
        [card["confidence"] for card in cards], run.probabilities.max(1)[run.readable], atol=2e-5
    )
    np.testing.assert_allclose([card["loss"] for card in cards], run.losses[run.readable], rtol=1e-4)
    assert "all 11 readable pictures, 4 of them wrong" in page.text
    for card in cards:
        assert [one[:2] for one in card["maps"]] == [(m, c) for m in ("grad_cam", "cam") for c in ("cat", "dog")]
        assert card["photo"].startswith("data:image/")
        assert card["strip"].startswith("data:image/")
    words = {card["path"]: card["words"] for card in cards if card["words"]}
    assert words == {
        run.paths[8]: ["map or gradient is zero everywhere (grad_cam)", "softmax is saturated (for dog)"],
        run.paths[9]: ["map is negative everywhere before ReLU (cam for cat)"],
    }
    assert "1 picture of valid could not be read" in page.text
    assert "<truncated> PNG" in page.text


def test_worst_pictures_have_the_highest_loss(run):
    page = report(run.folder)
    order = [run.paths[row] for row in np.argsort(-run.losses) if row != run.unreadable][:8]
    section = page.html[page.html.index('<section id="worst"') : page.html.index('<section id="notes"')]
    assert re.findall(r'class="path"[^>]*>([^<]*)</a>', section) == order


def test_every_picture_has_a_text(run):
    page = report(run.folder)
    for image in page.of("img"):
        assert image["src"].startswith("data:image/")
    said = [image["alt"] for image in page.of("img") if image["alt"]]
    # The mean picture and map of each class and method, and the worst ones; there a copy below the map is silent.
    assert len(said) == 2 * 2 * 2 + 2 * 8
    assert len(page.of("img")) == len(said) + 8
    for table in ("matrix", "numbers", "numbers classes"):
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


def test_further_numbers_of_the_same_predictions(run):
    labels, predicted = run.labels[run.readable], run.predicted[run.readable]
    counts = sklearn.metrics.confusion_matrix(labels, predicted).tolist()
    values = {"images": 11, "confusion": {"counts": counts}, "loss": {"value": 0.5, "interval": [0.25, 0.75]}}
    values |= {"brier": {"value": None, "interval": None}, "temperature": {"value": 1.5}}
    file = run.folder / "evaluation" / "valid.json"
    file.parent.mkdir()
    file.write_text(json.dumps(values))
    text = report(run.folder).text
    assert "cross-entropy 0.5 (95 % interval 0.25 to 0.75)" in text
    assert "temperature value 1.5" in text
    assert "Brier" not in text
    for broken, words in ((values | {"images": 10}, "is of other predictions"), ([], "cannot be read")):
        file.write_text(json.dumps(broken))
        text = report(run.folder).text
        assert words in text
        assert "cross-entropy 0.5" not in text


def test_an_embedding_is_linked(run):
    page = run.folder / "features" / "embedding" / "block 5#" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    links = [link["href"] for link in report(run.folder).of("a") if not link["href"].startswith("#")]
    assert links == ["../features/embedding/block%205%23/index.html"]


def test_the_same_run_gives_the_same_bytes(run):
    first = write_report(run.folder).read_bytes()
    assert write_report(run.folder).read_bytes() == first


HOSTILE = ("<script>alert(1)", "'\"onload=alert(2) x='", "{{ 7 * 7 }} & $\\frac$")


def test_hostile_names_stay_text(tmp_path):
    names = '"><svg onload=alert(4)> {row}.png'
    run = make_run(tmp_path / "<img src=x onerror=alert(3)>", classes=HOSTILE, names=names)
    page = report(run.folder)
    for name in HOSTILE:
        assert name in page.text
    assert "{{ 7 * 7 }}" in page.html
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [
        {"type": "application/json", "id": "table"}, {}, {}
    ]  # fmt: skip
    assert len(page.of("svg")) == 2
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert {card["label"] for card in page.table} == set(HOSTILE)
    assert all(card["photo"] for card in page.table)
    assert page.html.count("<script") == page.html.count("</script") == 3


def test_paths_that_lead_out_of_the_picture_folder_are_not_opened(run):
    table = run.folder / "predictions" / "valid.csv"
    secret = run.pictures.parent / "secret.png"
    shutil.copy(run.pictures / run.paths[0], secret)
    text = table.read_text().replace(run.paths[0], "../secret.png").replace(run.paths[1], str(secret))
    table.write_text(text)
    page = report(run.folder)
    assert [card["words"] for card in page.table if not card["photo"]] == [["where the picture lies is not known"]] * 2


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
        write_report(folder)
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
    assert words in " ".join(gather.read_run(run.folder).notes)  # the page lists them all


def test_pictures_that_are_gone_leave_a_placeholder(run):
    (run.pictures / run.paths[0]).unlink()
    (run.pictures / run.paths[1]).write_bytes(b"no picture")
    page = report(run.folder)
    assert "the file is no longer there" in page.text
    assert "no JPEG, PNG, WebP, BMP, GIF or TIFF image" in page.text
    assert "The files of 2 could not be opened any more." in page.text
    shutil.rmtree(run.pictures)
    page = report(run.folder)
    assert [card["words"] for card in page.table] == [["the file is no longer there"]] * 11
    assert all(card["strip"] for card in page.table)  # the maps are still there


def test_pictures_are_found_through_the_configuration(run):
    shutil.rmtree(run.folder / "maps")
    config = json.loads((run.folder / "config.json").read_text())
    config["data"] = {"folder": str(run.pictures.parent), "valid": run.pictures.name}
    (run.folder / "config.json").write_text(json.dumps(config))
    assert all(card["photo"] for card in report(run.folder).table)


def test_several_splits_valid_first(run):
    make_run(run.folder, split="train", each=3, seed=1)
    make_run(run.folder, split="flipped", each=2, methods=(), seed=2)
    page = report(run.folder)
    order = re.findall(r"<h3>(\w+)</h3>\s*<p class=\"big\">", page.html)
    assert order == ["valid", "flipped", "train"]
    assert "There are no maps for flipped" in page.text
    assert {card["split"] for card in page.table} == {"valid", "flipped", "train"}


def test_many_classes_get_a_list_of_confusions(tmp_path):
    classes = tuple(f"class {number:02}" for number in range(26))
    run = make_run(tmp_path / "many", classes=classes, each=3, methods=("grad_cam",))
    page = report(run.folder, limit=10)
    assert not page.of("table", "matrix")
    assert "class 00 class 01 2 66.7\u202f%" in page.text
    assert "2 smaller classes are not shown" in page.text
    assert "10 of 78 readable pictures: the 10 most confident of 52 wrong ones" in page.text
    assert "68 pictures are not on this page" in page.text
    assert len(page.table) == 10
    assert all(len(card["chances"]) <= 5 for card in page.table)


def test_unknown_folders_are_shown_but_not_counted(run):
    table = run.folder / "predictions" / "valid.csv"
    table.write_text(re.sub(r"png,cat,", "png,zebra,", table.read_text()))
    page = report(run.folder)
    assert "5 pictures in folders that are no class" in page.text
    assert [card["state"] for card in page.table if card["label"] == "zebra"] == [2] * 5
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
    path = write_report(run.folder)
    assert len([card for card in Page(path).table if card["photo"]]) == 120
    assert path.stat().st_size < 6e6
