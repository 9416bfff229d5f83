"""A gallery in a folder: what is written, that it is gone on with, and that nothing old is shown."""

import json
import os
from itertools import islice

import numpy as np
import pytest
from fake_run import make_run, write_table
from PIL import Image

from jaxcam.progress import Progress
from jaxcam.report import cards, files, gallery, gather, run_page

BLOCK = 8


@pytest.fixture
def run(tmp_path, monkeypatch):
    for module in (cards, files):
        monkeypatch.setattr(module, "BLOCK", BLOCK)
    for module in (gallery, run_page):
        monkeypatch.setattr(module, "LIMIT", 20)
    return make_run(tmp_path / "many", each=15, methods=("grad_cam",), unreadable=4)


def blocks(run, upto=None):
    opened = gather.read_run(run.folder)
    (one,) = gallery.chosen(opened.splits, None)
    made = files.picture_files(opened, one, run.folder / "report", width=64, progress=Progress(quiet=True))
    return [(block, addresses) for block, addresses in islice(made, upto)]


def times(run):
    folder = run.folder / "report" / "pictures"
    return {file.relative_to(folder).as_posix(): file.stat().st_mtime_ns for file in folder.rglob("*.webp")}


def test_a_photo_and_its_maps_are_files_of_their_own(run):
    found = [pair for block in blocks(run) for pair in zip(*block, strict=True)]
    assert [card.row for card, _ in found] == run.readable.tolist()
    for card, (photo, strip) in found:
        with Image.open(run.folder / "report" / photo) as image:
            assert image.size == (36, 24)
        with Image.open(run.folder / "report" / strip) as image:
            assert image.size[0] == 80
            assert image.size[1] == len(card.tiles) * round(80 * 4 / 6)
    assert len({photo for _, (photo, _) in found}) == 29
    assert len(times(run)) == 58


def test_what_was_made_is_not_made_again(run):
    first = blocks(run)
    before = times(run)
    assert blocks(run) == first
    assert times(run) == before
    # One picture changes: its block is made again, and no other.
    path = run.pictures / run.paths[0]
    Image.fromarray(np.full((24, 36, 3), 200, np.uint8)).save(path)
    os.utime(path, ns=(1, 1))
    blocks(run)
    assert {name for name, time in times(run).items() if time != before[name]} == {n for n in before if "/0/" in n}
    # Other predictions: everything.
    run.logits *= 1.1
    write_table(run, "valid")
    blocks(run)
    assert len(times(run)) == 58
    assert not set(before.values()) & set(times(run).values())


def test_a_call_that_was_cut_short_is_gone_on_with(run):
    blocks(run, upto=2)
    before = times(run)
    ledger = run.folder / "report" / "pictures" / "valid" / "done.jsonl"
    with open(ledger, "ab") as file:
        file.write(b'{"block": 2, "sta')  # a line that was torn
    (run.folder / "report" / "pictures" / "valid" / "2").mkdir()
    (run.folder / "report" / "pictures" / "valid" / "2" / "half.webp").write_bytes(b"RIFF")
    found = blocks(run)
    assert {name: time for name, time in times(run).items() if name in before} == before
    assert len(times(run)) == 58
    assert blocks(run) == found
    assert all(json.loads(line) for line in ledger.read_bytes().splitlines())


def test_a_smaller_choice_leaves_no_old_blocks(run):
    run_page.write_report(run.folder, limit=None)
    assert len(times(run)) == 58
    run_page.write_report(run.folder, limit=21)
    assert len(times(run)) == 42
    html = (run.folder / "report" / "index.html").read_text()
    assert "img-src data: &#39;self&#39;" in html
    assert "8 pictures are not on this page" in html
    assert html.count("pictures/valid/") >= 42


def test_few_pictures_make_one_file(run):
    path = run_page.write_report(run.folder, limit=20)
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]
    assert "img-src data:;" in path.read_text()


@pytest.mark.parametrize(("name", "word"), [("valid", "valid"), ("a b", "a_b-"), ("..", "_-"), ("a#?%", "a___-")])
def test_names_of_folders_are_safe_in_addresses(name, word):
    found = files.folder_name(name)
    assert found == word if word == name else found.startswith(word)
    assert files.folder_name(f"{name} ") != found
