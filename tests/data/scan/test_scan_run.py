"""The whole scan on folders of broken and odd files."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from odd_files import encoded, picture, write_mutations, write_odd

from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.scan import output
from jaxcam.data.scan.kinds import LISTED, NOTES, PROBLEMS
from jaxcam.data.scan.run import scan
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder with two classes, one of them odd, and its scan."""
    root = tmp_path_factory.mktemp("odd") / "pictures"
    expected = write_odd(root / "odd")
    (root / "plain").mkdir()
    for number in range(4):
        (root / "plain" / f"{number}.png").write_bytes(encoded(picture(100 + number), "PNG"))
    (root / "readme.txt").write_text("not in a class")
    names = write_mutations(root / "plain", seed=5, count=200)
    cache = root.parent / "cache"
    return root, expected, names, scan(root, cache=cache, workers=2), cache


def test_every_kind_is_told_apart(odd):
    root, expected, _, result, _ = odd
    rows = {entry.path: row for row, entry in enumerate(result.entries)}
    for name, (status, note) in expected.items():
        row = rows[f"odd/{name}"]
        found = result.findings[row]
        assert output.status(result, row) == status, (name, found.reason)
        if note:
            assert note in found.notes, (name, found.notes)
        elif status == "ok":
            assert not found.notes
        assert bool(found.reason) == (status in PROBLEMS)
    assert output.status(result, rows["readme.txt"]) == "outside"
    everything = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    assert len(result.entries) == len(everything) + 1  # os.walk takes the link to a folder for one


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_findings_agree_with_what_training_decodes(odd):
    _, _, names, result, _ = odd
    rows = {entry.path: row for row, entry in enumerate(result.entries)}
    usable = 0
    for path, row in rows.items():
        if result.entries[row].listed or result.findings[row].problem in ("link", "bad name"):
            continue
        reason = ""
        try:
            decode(result.inventory.file(row), Preprocessing(size=(32, 32)))
        except UnreadableImage as error:
            reason = error.reason
        assert reason == result.findings[row].reason, path
        assert bool(reason) != bool(result.findings[row].pixels)
        usable += not reason
    assert 20 < usable < len(names)


def test_rotation_and_sizes_are_upright(odd):
    *_, result, _ = odd
    sizes = {e.path: (f.width, f.height) for e, f in zip(result.entries, result.findings, strict=True)}
    assert sizes["odd/turned.jpg"] == sizes["odd/turned.tif"] == (40, 64)
    assert sizes["odd/long.png"] == (400, 40)


def test_the_tables_hold_every_file(odd, tmp_path):
    *_, result, _ = odd
    output.write_outputs(result, tmp_path)
    table = list(csv.DictReader(io.StringIO((tmp_path / "scan.csv").read_text())))
    assert len(table) == len(result.entries)
    assert {row["status"] for row in table} <= {"ok", *PROBLEMS, *LISTED}
    assert all(row["reason"] for row in table if row["status"] in PROBLEMS)
    about = json.loads((tmp_path / "scan.json").read_text())
    assert about["files"] == len(table)
    assert about["usable"] == sum(row["status"] == "ok" for row in table)
    assert sum(about["status"].values()) == len(table)
    assert len(about["bad_files"]) == about["unusable"]
    assert set(about["notes"]) <= set(NOTES)
    text = output.told(result)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert max(map(len, text.splitlines())) < 400


def test_a_second_scan_takes_what_is_known(odd):
    root, _, _, first, cache = odd
    again = scan(root, cache=cache, workers=1)
    looked_at = sum(not (e.listed or e.problem) for e in first.entries)
    assert again.reused == looked_at
    assert repr(again.findings) == repr(first.findings)  # NaN is not NaN
    assert again.groups == first.groups
    np.testing.assert_array_equal(again.measures, first.measures)
    np.testing.assert_array_equal(again.colour, first.colour)
    for chunk in sorted(cache.iterdir())[:1]:
        chunk.write_bytes(chunk.read_bytes()[:1000])  # a chunk that is damaged is looked at anew
    third = scan(root, cache=cache, workers=2)
    assert third.reused < looked_at
    assert repr(third.findings) == repr(first.findings)


def test_changed_files_are_looked_at_again(tmp_path):
    root, cache = tmp_path / "set", tmp_path / "cache"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "x.png").write_bytes(encoded(picture(ord(name)), "PNG"))
    scan(root, cache=cache, workers=1)
    (root / "a" / "x.png").write_bytes(b"text")
    second = scan(root, cache=cache, workers=1)
    assert second.reused == 1
    assert second.findings[0].problem == "not an image"


class Impatient(Progress):
    """Somebody who presses Ctrl-C."""

    def over(self, items, total, what):
        for number, item in enumerate(items):
            if number == 7:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_scan_goes_on(tmp_path):
    root, cache = tmp_path / "set", tmp_path / "cache"
    for number in range(12):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(number), "PNG"))
    with pytest.raises(KeyboardInterrupt):
        scan(root, cache=cache, workers=2, progress=Impatient(quiet=True))
    again = scan(root, cache=cache, workers=2)
    assert again.reused == 7
    assert repr(again.findings) == repr(scan(root, workers=1).findings)


def test_layouts(tmp_path):
    content = encoded(picture(1), "PNG")
    for path in ("split/Train/cat/1.png", "split/VAL/cat/deep/2.png", "split/loose.png", "split/Masks/cat/3.png",
                 "flat/1.png", "classes/cat/1.png", "classes/Test/1.png"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def told(folder):
        return {e.path: (e.split, e.label, e.listed) for e in scan(tmp_path / folder, workers=1).entries}

    assert told("split") == {
        "Train/cat/1.png": ("train", "cat", ""),
        "VAL/cat/deep/2.png": ("valid", "cat", ""),
        "loose.png": ("", "", "outside"),
        "Masks/cat/3.png": ("", "", "outside"),
    }
    assert told("flat") == {"1.png": ("", "", "")}
    assert told("classes") == {"cat/1.png": ("", "cat", ""), "Test/1.png": ("", "Test", "")}
    manifest = tmp_path / "set.csv"
    manifest.write_text("path,label,split\nflat/1.png,cat,train\nclasses/cat/1.png,dog,valid\ngone.png,dog,train\n")
    result = scan(manifest, workers=1)
    assert [(e.split, e.label) for e in result.entries] == [("valid", "dog"), ("train", "cat"), ("train", "dog")]
    assert result.findings[2].problem == "no access"
    (group,) = result.groups
    assert group.crosses_splits
    assert group.crosses_classes
    assert group.kind == "same bytes"


def test_what_cannot_be_scanned(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, words in (("missing", "no folder"), ("empty", "holds no files")):
        with pytest.raises(UserError, match=words):
            scan(tmp_path / path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        scan(tmp_path / "file")
    with pytest.raises(UserError, match="above 0"):
        scan(tmp_path, seconds=0)


def test_the_processes_need_no_jax():
    code = "import sys, jaxcam.data.scan.worker, jaxcam.data.scan.examine as e; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
