"""Downloads from a server on this machine that behaves well, badly, or is not there."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jaxcam import weights
from jaxcam.errors import UserError
from jaxcam.weights import fetch as module
from jaxcam.weights.fetch import cache_folder, digest_matches, fetch, is_cached

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT as the server's attributes say, and writes down what was asked for."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[start:]
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        time.sleep(server.delay)
        self.wfile.write(body[:cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.asked, server.status = CONTENT, [], 200
    server.ranges, server.length, server.cuts, server.delay = True, True, [], 0.0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def entry_for(server, **changes):
    url = f"http://127.0.0.1:{server.server_address[1]}/w.bin" if server else "http://127.0.0.1:1/w.bin"
    made = replace(
        weights.get("vgg16_keras"), name="test", url=url, file="w.bin", checksum=f"sha256:{SHA256}", bytes=len(CONTENT)
    )
    return replace(made, **changes)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def fails(entry, cache, *words):
    with pytest.raises(UserError) as error:
        fetch(entry, cache=cache)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    return message


@pytest.mark.parametrize(
    "checksum", [f"sha256:{SHA256}", f"sha256-prefix:{SHA256[:8]}", f"md5:{hashlib.md5(CONTENT).hexdigest()}"]
)
def test_download_once(server, tmp_path, checksum, capsys):
    entry = entry_for(server, checksum=checksum)
    assert not is_cached(entry, cache=tmp_path / "cache")
    path = fetch(entry, cache=tmp_path / "cache")
    assert path == tmp_path / "cache" / "w.bin"
    assert path.read_bytes() == CONTENT
    assert fetch(entry, cache=tmp_path / "cache") == path
    assert server.asked == [None]
    assert is_cached(entry, cache=tmp_path / "cache")
    assert names(path.parent) == ["w.bin", "w.bin.verified.json"]
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1, "one plain line where there is no terminal"


@pytest.mark.parametrize("length", [True, False])
def test_unknown_size_is_left_to_the_checksum(server, tmp_path, length):
    server.length = length
    assert fetch(entry_for(server, bytes=None), cache=tmp_path).read_bytes() == CONTENT


def test_interrupted_download_is_continued(server, tmp_path):
    (tmp_path / "w.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(entry_for(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_server_that_does_not_continue(server, tmp_path):
    server.ranges = False
    (tmp_path / "w.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(entry_for(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_old_beginning_of_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / "w.bin.part").write_bytes(b"x" * 1000)
    assert fetch(entry_for(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", None]


@pytest.mark.parametrize("count", [len(CONTENT), len(CONTENT) + 5])
@pytest.mark.parametrize("known", [True, False])
def test_part_that_is_as_long_as_the_file_or_longer(server, tmp_path, count, known):
    (tmp_path / "w.bin.part").write_bytes((CONTENT + bytes(5))[:count])
    entry = entry_for(server, bytes=len(CONTENT) if known else None)
    assert fetch(entry, cache=tmp_path).read_bytes() == CONTENT


def test_connection_that_breaks_is_taken_up_again(server, tmp_path):
    server.cuts = [1000, 2000]
    assert fetch(entry_for(server), cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_connection_that_keeps_breaking(server, tmp_path):
    server.cuts = [1000] * 3
    fails(entry_for(server), tmp_path, "broke off after 3000", len(CONTENT), "run again", tmp_path)
    assert names(tmp_path) == ["w.bin.part"]
    assert fetch(entry_for(server), cache=tmp_path).read_bytes() == CONTENT


def test_wrong_checksum_is_deleted(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    got = hashlib.sha256(server.content).hexdigest()
    fails(entry_for(server), tmp_path, got, SHA256, "deleted")
    assert names(tmp_path) == []


@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_size(server, tmp_path, change):
    server.content = (CONTENT + b"?")[: len(CONTENT) + change]
    fails(entry_for(server), tmp_path, len(CONTENT))
    assert "w.bin" not in names(tmp_path)


def test_endless_file_is_not_followed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)
    server.length = False
    fails(entry_for(server, bytes=5000), tmp_path, "has 6000 bytes, expected 5000")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_server_refuses(server, tmp_path, status):
    server.status = status
    fails(entry_for(server), tmp_path, f"the server answered {status}", "w.bin", len(CONTENT), SHA256, tmp_path)


def test_no_network_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entry = entry_for(None)
    fails(entry, tmp_path / "c", entry.url, "w.bin", len(CONTENT), f"sha256:{SHA256}", tmp_path / "c")
    (tmp_path / "c" / "w.bin").write_bytes(CONTENT)
    assert fetch(entry, cache=tmp_path / "c").read_bytes() == CONTENT


def test_placed_file_is_verified_once(tmp_path, monkeypatch):
    (tmp_path / "w.bin").write_bytes(CONTENT)
    entry, calls = entry_for(None), []

    def counted(path, checksum):
        calls.append(path.name)
        return digest_matches(path, checksum)

    monkeypatch.setattr(module, "digest_matches", counted)
    for _ in range(3):
        fetch(entry, cache=tmp_path)
    assert calls == ["w.bin"]
    note = json.loads((tmp_path / "w.bin.verified.json").read_text())
    assert note["bytes"] == len(CONTENT)
    os.utime(tmp_path / "w.bin", ns=(1, 1))
    fetch(entry, cache=tmp_path)
    assert calls == ["w.bin"] * 2
    (tmp_path / "w.bin.verified.json").write_text("{")
    fetch(entry, cache=tmp_path)
    assert calls == ["w.bin"] * 3


def test_wrong_placed_file_is_moved_aside(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"other")
    fails(entry_for(None), tmp_path, "not the right file", "w.bin.wrong", "5 bytes")
    assert (tmp_path / "w.bin.wrong").read_bytes() == b"other"


def test_two_processes_download_once(server, tmp_path):
    server.delay = 0.3
    code = (
        "import sys; from dataclasses import replace; from jaxcam import weights;"
        "from jaxcam.weights.fetch import fetch;"
        f"e = replace(weights.get('vgg16_keras'), name='t', url={entry_for(server).url!r}, file='w.bin',"
        f" checksum='sha256:{SHA256}', bytes={len(CONTENT)}); fetch(e, cache=sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert (tmp_path / "w.bin").read_bytes() == CONTENT
    assert server.asked == [None]


def test_full_disk(server, tmp_path, monkeypatch):
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    fails(entry_for(server), tmp_path, "1000 bytes free", "JAXCAM_CACHE")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    fails(entry_for(None), tmp_path / "file" / "cache", "cannot write", "JAXCAM_CACHE")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXCAM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder("~/other") == Path.home() / "other"
    monkeypatch.delenv("JAXCAM_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "jaxcam" / "weights"


def test_packaged_entry_needs_no_network(monkeypatch):
    """A packaged entry's file is in the package; the class list stands in for one here."""
    path = Path(module.__file__).with_name("imagenet_classes.txt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = entry_for(None, url=None, file=path.name, checksum=f"sha256:{digest}", bytes=path.stat().st_size)
    assert fetch(entry) == path
    assert is_cached(entry)
    with pytest.raises(UserError, match="not the right file"):
        fetch(replace(entry, checksum="sha256:" + "0" * 64))
    with pytest.raises(UserError, match="missing"):
        fetch(replace(entry, file="absent.safetensors"))


def test_mistakes_in_an_entry_are_programming_errors(tmp_path):
    with pytest.raises(ValueError, match="http"):
        fetch(entry_for(None, url="file:///etc/passwd"), cache=tmp_path)
    (tmp_path / "w").write_bytes(b"")
    with pytest.raises(ValueError, match="checksum"):
        digest_matches(tmp_path / "w", "crc32:00")
