"""`jaxcam data scan` as people call it, and what training and maps make of the same folder."""

import csv
import json
import shutil

import pytest
from commands import tree, write_pictures
from odd_files import encoded, picture, write_mutations, write_odd

from jaxcam.commands.data_scan import default_out, scan
from jaxcam.errors import UserError


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_odd_files_through_scan_train_and_explain(shell, trained):
    """Nothing ends in a traceback, every file is listed, and the good pictures' results stay what they were."""
    root = shell.folder / "odd"
    shutil.copytree(shell.folder / "pictures", root)
    write_odd(root / "Valid" / "star")
    write_mutations(root / "Valid" / "star", seed=11, count=200)
    write_mutations(root / "Train" / "star", seed=12, count=40)
    before = tree(root / "Train")
    told, scanning = shell.peak("data", "scan", "odd", "--out", "odd-scan", "--quiet", "--workers", 2)
    assert "Traceback" not in told.stdout + told.stderr
    table = rows(shell.folder / "odd-scan" / "scan.csv")
    assert len(table) == sum(not path.is_dir() or path.is_symlink() for path in root.rglob("*"))
    bad = [row for row in table if row["status"] not in ("ok", "hidden", "outside")]
    assert len(bad) > 50
    assert all(row["reason"] for row in bad)
    assert tree(root / "Train") == before
    run, training = shell.peak("train", "tiny.py:epochs=1", "--data.folder", "odd", "--out", "odd-run", "--quiet")
    assert "Traceback" not in run.stderr
    shutil.copytree(trained, shell.folder / "judge")
    explained, explaining = shell.peak("explain", "judge", "--data", "odd", "--name", "odd", "--quiet")
    assert "Traceback" not in explained.stderr
    assert max(scanning, training, explaining) < 1024  # MiB, of any one process
    shell("explain", "judge", "--data", "pictures", "--name", "plain", "--quiet")
    good, odd = (
        {
            row["path"]: row
            for file in (shell.folder / "judge" / "predictions").glob(f"{name}*valid.csv")
            for row in rows(file)
        }
        for name in ("plain", "odd")
    )
    readable = [path for path, row in good.items() if row["predicted"]]
    assert len(readable) == 9
    for path in readable:
        assert odd[path]["predicted"] == good[path]["predicted"]
        for name in [name for name in good[path] if name.startswith("p_") or name == "loss"]:
            assert float(odd[path][name]) == pytest.approx(float(good[path][name]), abs=2e-6)


def test_scan_writes_its_files_and_quarantine_comes_back(tmp_path, capsys):
    root = write_pictures(tmp_path / "set")
    shutil.copy(root / "Train" / "star" / "01.png", root / "Valid" / "star" / "copy.png")
    shutil.copy(root / "Train" / "star" / "01.png", root / "Train" / "star" / "twice.png")
    shutil.copy(root / "Train" / "star" / "02.png", root / "Train" / "checks" / "liar.png")
    before = tree(root)
    out, away = tmp_path / "out", tmp_path / "away"
    scan(root, out=out, quiet=True, workers=1)
    words = capsys.readouterr().out
    assert "checks" in words
    assert "across splits" in words
    assert "one label is wrong" in words
    about = json.loads((out / "scan.json").read_text())
    assert about["duplicates"]["across_splits"] == 1
    assert about["duplicates"]["across_classes"] == 1
    assert about["duplicates"]["list"][0]["classes"] == ["checks", "star"]
    assert about["classes"]["train"] == {"checks": 7, "red_disc": 6, "star": 7}
    assert {path.name for path in out.iterdir()} == {"cache", "index.html", "manifest.csv", "scan.csv", "scan.json"}
    assert len(rows(out / "manifest.csv")) == about["usable"]
    assert tree(root) == before
    scan(root, out=out, quarantine=away, duplicates=True, quiet=True, workers=1, page=False)
    left = tree(root)
    gone = {"Train/star/cut.png", "Valid/star/cut.png", "Train/star/01.png", "Train/star/twice.png"}
    assert set(before) - set(left) == gone
    assert "set aside 4 files" in capsys.readouterr().out
    scan(undo=away)
    assert tree(root) == before


def test_the_manifest_can_be_trained_on(tmp_path):
    from jaxcam.data.manifest import read_manifest

    root = write_pictures(tmp_path / "set")
    scan(root, out=tmp_path / "out", quiet=True, workers=1, page=False)
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert manifest.split_names == ("train", "valid")
    assert len(manifest) == 27


def test_names_that_would_act(tmp_path, capsys):
    root = tmp_path / "<script>alert(1)<"
    for name in ("=cmd|' x'!A0", '"><img src=x onerror=alert(2)>', "\u202egnp"):
        (root / name).mkdir(parents=True)
        for number in range(2):
            (root / name / f"{name[:9]}{number}.png").write_bytes(encoded(picture(number), "PNG"))
        (root / name / "\x1b[31mred.png").write_bytes(b"")
    scan(root, out=tmp_path / "out", quiet=True, workers=1)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    words = capsys.readouterr().out
    assert "\x1b" not in words
    assert "\u202e" not in words
    text = (tmp_path / "out" / "scan.csv").read_text()
    assert "\x1b" not in text
    assert not any(value.startswith("=") for row in rows(tmp_path / "out" / "scan.csv") for value in row.values())


def test_where_the_results_go(tmp_path, monkeypatch):
    root = write_pictures(tmp_path / "set", broken=False)
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / default_out(root)).resolve() == tmp_path / "set-scan"
    (tmp_path / "runs").mkdir()
    assert (tmp_path / default_out(root)).resolve() == tmp_path / "runs" / "set-scan"
    monkeypatch.chdir(root / "Train")
    assert default_out(root) == tmp_path / "set-scan"
    scan(root, out=root / "inside", quiet=True, workers=1, page=False)
    scan(root, out=root / "inside", quiet=True, workers=1, page=False)
    assert json.loads((root / "inside" / "scan.json").read_text())["files"] == 27


def test_wrong_arguments(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        scan()
    with pytest.raises(UserError, match="alone"):
        scan(tmp_path, undo=tmp_path)
    with pytest.raises(UserError, match="no quarantine"):
        scan(undo=tmp_path)
    with pytest.raises(UserError, match="give it"):
        scan(tmp_path, duplicates=True)
    with pytest.raises(UserError, match="the folder that is scanned"):
        scan(tmp_path, out=tmp_path)
