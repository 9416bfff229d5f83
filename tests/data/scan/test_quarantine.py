"""Quarantine: nothing lost, nothing overwritten, at whatever moment it is killed."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from jaxcam.data.scan import quarantine as module
from jaxcam.data.scan.quarantine import quarantine, restore
from jaxcam.errors import UserError

FILES = {"Train/cat/a.jpg": b"a", "Train/cat/deep/b.jpg": b"b" * 100_000, "Valid/dog/a.jpg": b"", "good.png": b"good"}
BAD = [("Train/cat/a.jpg", "broken"), ("Train/cat/deep/b.jpg", "broken"), ("Valid/dog/a.jpg", "empty file")]


def fill(root):
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        os.utime(root / path, (1_000_000_000, 1_000_000_000))
    return root


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(params=["one file system", "two file systems"])
def root(tmp_path, request, monkeypatch):
    if request.param == "two file systems":

        def no_link(source, place, **_):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(module.os, "link", no_link)
    return fill(tmp_path / "set")


def test_there_and_back(root, tmp_path):
    away = tmp_path / "away"
    done = quarantine(root, BAD, away)
    assert (done.count, done.left) == (3, ())
    assert content(root) == {"good.png": b"good"}
    there = content(away)
    assert json.loads(there.pop("journal-0001.json"))["moves"][0]["reason"] == "broken"
    assert there == {path: FILES[path] for path, _ in BAD}
    assert restore(away).count == 3
    assert content(root) == FILES
    assert all((root / path).stat().st_mtime == 1_000_000_000 for path in FILES)
    assert list(content(away)) == ["journal-0001.undone.json"]
    with pytest.raises(UserError, match="no quarantine"):
        restore(away)


def test_nothing_is_overwritten(root, tmp_path):
    away = tmp_path / "away"
    quarantine(root, BAD, away)
    fill(root)
    (root / "Train/cat/a.jpg").write_bytes(b"new")
    assert quarantine(root, BAD, away).count == 3
    assert (away / "Train/cat/a.jpg").read_bytes() == b"a"
    assert (away / "Train/cat/a~2.jpg").read_bytes() == b"new"
    (root / "Valid/dog/a.jpg").write_bytes(b"another")
    done = restore(away)
    assert (root / "Valid/dog/a.jpg").read_bytes() == b"another"
    assert (root / "Train/cat/a.jpg").read_bytes() == b"new"
    assert (away / "Train/cat/a.jpg").read_bytes() == b"a"
    assert len(done.left) == 3
    assert all("there already" in reason for _, reason in done.left)
    (root / "Valid/dog/a.jpg").unlink()
    assert restore(away).count == 2  # the two empty ones are one


def test_where_it_cannot_go(root, tmp_path):
    for place in (root, root / "away", root / "Train" / "cat"):
        with pytest.raises(UserError, match="lies in"):
            quarantine(root, BAD, place)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="other things"):
        quarantine(root, BAD, tmp_path / "full")
    with pytest.raises(UserError, match="is a file"):
        quarantine(root, BAD, tmp_path / "full" / "thesis.txt")
    os.symlink(root, tmp_path / "link")
    with pytest.raises(UserError, match="lies in"):
        quarantine(root, BAD, tmp_path / "link" / "away")
    assert content(root) == FILES


def test_links_and_odd_names(root, tmp_path):
    odd = os.fsdecode(b"Train/cat/\xff\n.jpg")
    (root / odd).write_bytes(b"odd")
    os.symlink("nowhere", root / "Train/cat/broken.jpg")
    away = tmp_path / "away"
    moved = [(odd, "bad name"), ("Train/cat/broken.jpg", "broken link"), ("Train/cat/gone.jpg", "gone")]
    assert quarantine(root, moved, away).count == 2
    assert os.readlink(away / "Train/cat/broken.jpg") == "nowhere"
    assert restore(away).count == 2
    assert os.readlink(root / "Train/cat/broken.jpg") == "nowhere"
    assert (root / odd).read_bytes() == b"odd"


def test_journals_that_lie_are_refused(root, tmp_path):
    away = tmp_path / "away"
    quarantine(root, BAD, away)
    journal = away / "journal-0001.json"
    plan = json.loads(journal.read_text())
    for path in ("/etc/passwd", "../../outside.txt"):
        plan["moves"][0]["from"] = path
        journal.write_text(json.dumps(plan))
        with pytest.raises(UserError, match="outside"):
            restore(away)
    journal.write_text("{}")
    with pytest.raises(UserError, match="not a journal"):
        restore(away)


KILL = """
import os, signal, sys
from pathlib import Path
from jaxcam.data.scan import quarantine as module
calls, at = [0], int(sys.argv[1])
def counted(name):
    original = getattr(os, name)
    def call(*args, **options):
        calls[0] += 1
        if calls[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "link" and sys.argv[2] == "copy":
            raise OSError(18, "Invalid cross-device link")
        return original(*args, **options)
    setattr(os, name, call)
for name in ("link", "unlink", "rename", "replace", "fsync"):
    counted(name)
root, away = Path(sys.argv[3]), Path(sys.argv[4])
if sys.argv[5] == "there":
    module.quarantine(root, [tuple(pair) for pair in eval(sys.argv[6])], away)
else:
    module.restore(away)
"""


@pytest.mark.parametrize("way", ["link", "copy"])
@pytest.mark.parametrize("at", [1, 3, 4, 5, 7])
def test_killed_at_any_moment(tmp_path, way, at):
    root, away = fill(tmp_path / "set"), tmp_path / "away"

    def run(direction, moment):
        arguments = [str(moment), way, str(root), str(away), direction, repr(BAD)]
        return subprocess.run([sys.executable, "-c", KILL, *arguments], check=False).returncode

    status = run("there", at)
    assert status in (0, -9)
    kept = {**content(root), **content(away)}
    assert {path: kept[path] for path in FILES} == FILES  # every byte is somewhere
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "set", copy / "set")
    if away.exists():
        if module.journals(away):
            run("back", at)
            if module.journals(away):
                restore(away)
        assert content(root) == FILES
        assert not [name for name in content(away) if not name.startswith((".journal", "journal"))]
    assert quarantine(root, BAD, away).count == 3
    assert content(root) == {"good.png": b"good"}


def test_a_file_that_comes_later_is_not_moved(root, tmp_path):
    away = tmp_path / "away"
    quarantine(root, BAD, away)
    (away / "Train/cat/a.jpg").unlink()  # somebody throws the broken one away and finds a whole one
    (root / "Train/cat/a.jpg").write_bytes(b"whole")
    assert quarantine(root, [("good.png", "copy")], away).count == 1
    assert content(root) == {"Train/cat/a.jpg": b"whole"}
