"""The processes of a scan: one that dies, hangs or eats memory costs one file."""

import os
import signal
import subprocess
import sys
import time

import pytest
from odd_files import bomb, encoded, picture

from jaxcam.data.scan import pool

# Stands in for `examine` in the worker's process: names say what a file does to its decoder.
HOSTILE = """
import os, signal, sys, time
from jaxcam.data.scan import examine as module, worker
honest = module.examine
def examine(path):
    name = os.path.basename(path)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(60)
    if "eat" in name:
        try:
            held = bytearray(4 << 30)
        except MemoryError:
            return module.Findings(reason="not enough memory", problem="too large")
    if "exit" in name:
        os._exit(3)
    return honest(path)
module.examine = examine
worker.main(int(sys.argv[1]))
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder with files whose decoding crashes, hangs or eats memory, and good ones between them."""
    (tmp_path / "hostile_worker.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(pool.worker, "__name__", "hostile_worker")
    paths = []
    for number in range(24):
        name = {3: "crash", 4: "crash", 9: "hang", 15: "eat", 20: "exit"}.get(number, "good")
        paths.append(str(tmp_path / f"{number:02d}_{name}.png"))
        (tmp_path / paths[-1]).write_bytes(encoded(picture(number), "PNG"))
    return paths


@pytest.mark.parametrize("workers", [1, 3])
def test_a_hostile_file_costs_itself(hostile, workers):
    found = dict(pool.examine_all(enumerate(hostile), workers=workers, seconds=6))
    assert sorted(found) == list(range(24))
    problems = {number: findings.problem for number, findings in found.items() if findings.problem}
    assert problems == {3: "crashed", 4: "crashed", 9: "too slow", 15: "too large", 20: "crashed"}
    assert "SIGSEGV" in found[3].reason
    assert "exit status 3" in found[20].reason
    assert "6 s" in found[9].reason
    assert all(found[number].pixels for number in found if number not in problems)


def test_a_bomb_stays_small(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    ((_, found),) = pool.examine_all([(0, str(tmp_path / "bomb.png"))], workers=1)
    assert found.problem == "too large"


def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return file.read().split()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
def test_processes_end_when_the_caller_stops(hostile):
    before = set(children())
    answers = pool.examine_all(enumerate(hostile[:3] * 10), workers=2)
    next(answers)
    assert len(set(children()) - before) == 2
    answers.close()
    assert set(children()) <= before


SCAN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from jaxcam.data.scan import pool
print("started", flush=True)
list(pool.examine_all(enumerate([sys.argv[1]] * 100000), workers=2))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_processes_do_not_outlive_the_scan(tmp_path, stop):
    (tmp_path / "x.png").write_bytes(encoded(picture(1), "PNG"))
    with subprocess.Popen(
        [sys.executable, "-c", SCAN, str(tmp_path / "x.png")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as scan:
        scan.stdout.readline()
        own = f"/proc/{scan.pid}/task/{scan.pid}/children"
        workers = []
        while len(workers) < 2:
            with open(own) as file:
                workers = file.read().split()
            time.sleep(0.05)
        scan.send_signal(stop)
        scan.wait(120)
    ends = time.monotonic() + 120
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < ends
        time.sleep(0.1)


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_that_do_not_start_are_told(monkeypatch):
    monkeypatch.setattr(pool.worker, "__name__", "jaxcam.no_such_module")
    with pytest.raises(RuntimeError, match="no_such_module"):
        list(pool.examine_all([(0, "x.png")], workers=1))


def test_no_files():
    assert list(pool.examine_all([], workers=2)) == []
