"""Processes that examine files, so that no file can take the scan down, hold it up or fill the memory.

Each process is a fresh interpreter with pipes (`multiprocessing` would import the caller's script again). One that dies
or is silent for too long is replaced; the file it was at is to blame, the others of its batch are given out again.
"""

import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import jaxcam
from jaxcam.data.scan import worker
from jaxcam.data.scan.examine import Findings

SPARE_MEMORY = 768 * 2**20
"""bytes that a process may take beyond what it has when it starts (about 60 MB)"""
SECONDS = 60.0
"""for one file"""
_START_SECONDS = 300.0
_BATCH = 16
Job = tuple[int, str]


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen
    complaints: IO[bytes]
    waiting: deque[Job] = field(default_factory=deque)
    ready: bool = False
    last: float = field(default_factory=time.monotonic)
    buffer: bytearray = field(default_factory=bytearray)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def examine_all(
    jobs: Iterable[Job], *, workers: int, seconds: float = SECONDS, spare_memory: int = SPARE_MEMORY
) -> Generator[tuple[int, Findings], None, None]:
    """Examine (number, absolute path) pairs by `workers` processes; gives (number, findings), in any order.

    Every job is answered exactly once. A file that takes longer than `seconds`, or that ends its process, is answered
    with that reason. Ends all processes when it ends, is closed, or is interrupted. Raises `RuntimeError` where the
    processes cannot be started.
    """
    pool = _Pool(iter(jobs), workers, seconds, spare_memory)
    try:
        yield from pool.answers()
    finally:
        pool.close()


class _Pool:
    def __init__(self, jobs: Iterator[Job], workers: int, seconds: float, spare_memory: int):
        self._jobs, self._again = jobs, deque[Job]()
        self._count, self._seconds, self._spare = max(1, workers), seconds, spare_memory
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def answers(self) -> Iterator[tuple[int, Findings]]:
        while True:
            while len(self._workers) < self._count and (batch := self._batch()):
                self._start(batch)
            if not self._workers:
                return
            for key, _ in self._selector.select(timeout=0.5):
                yield from self._read(key.data)
            now = time.monotonic()
            for slow in [w for w in self._workers if now - w.last > (self._seconds if w.ready else _START_SECONDS)]:
                yield from self._blame(slow, "too slow", f"took longer than {self._seconds:g} s")

    def close(self) -> None:
        for one in list(self._workers):
            self._stop(one)
        self._selector.close()

    def _batch(self) -> list[Job]:
        batch: list[Job] = []
        while len(batch) < _BATCH:
            if self._again:
                batch.append(self._again.popleft())
            elif (job := next(self._jobs, None)) is not None:
                batch.append(job)
            else:
                break
        return batch

    def _start(self, batch: list[Job]) -> None:
        # A session of its own: Ctrl-C in a terminal reaches the scan, which then ends its processes.
        complaints = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", worker.__name__, str(self._spare)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            env=_environment(), start_new_session=True,
        )  # fmt: skip
        one = _Worker(process, complaints)
        self._workers.append(one)
        os.set_blocking(_pipe(process.stdout).fileno(), False)
        self._selector.register(_pipe(process.stdout), selectors.EVENT_READ, one)
        self._give(one, batch)

    def _give(self, one: _Worker, batch: list[Job]) -> None:
        one.waiting.extend(batch)
        try:
            worker.write(_pipe(one.process.stdin), batch)
        except BrokenPipeError:
            return  # it has died; its end of the other pipe says so

    def _read(self, one: _Worker) -> Iterator[tuple[int, Findings]]:
        part = os.read(_pipe(one.process.stdout).fileno(), 1 << 20)
        if not part:
            yield from self._died(one)
            return
        one.buffer += part
        for message in _messages(one.buffer):
            one.last = time.monotonic()
            if message == "ready":
                one.ready, self._failed_starts = True, 0
                continue
            one.waiting.popleft()
            yield message
        if not one.waiting and (batch := self._batch()):
            self._give(one, batch)
        elif not one.waiting:
            self._stop(one)

    def _died(self, one: _Worker) -> Iterator[tuple[int, Findings]]:
        status = one.process.wait()
        if not one.ready:
            self._failed_starts += 1
            one.complaints.seek(0)
            words = one.complaints.read().decode(errors="replace").strip().splitlines()
            if self._failed_starts >= 3:
                raise RuntimeError(f"the processes of the scan do not start: {words[-1] if words else status}")
            self._again.extendleft(reversed(one.waiting))
            self._stop(one)
            return
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        yield from self._blame(one, "crashed", f"ended the process that decoded it ({how})")

    def _blame(self, one: _Worker, problem: str, reason: str) -> Iterator[tuple[int, Findings]]:
        if not one.ready:
            raise RuntimeError("the processes of the scan do not start")
        self._stop(one)
        if one.waiting:
            number, _ = one.waiting.popleft()
            self._again.extendleft(reversed(one.waiting))
            yield number, Findings(problem=problem, reason=reason)

    def _stop(self, one: _Worker) -> None:
        if one not in self._workers:
            return
        self._workers.remove(one)
        self._selector.unregister(_pipe(one.process.stdout))
        one.process.kill()
        for stream in (one.process.stdin, one.process.stdout, one.complaints):
            try:
                _pipe(stream).close()
            except BrokenPipeError:
                continue
        one.process.wait()


def _messages(buffer: bytearray) -> Iterator[Any]:
    """Take the complete messages out of a buffer."""
    while len(buffer) >= worker.LENGTH.size:
        (length,) = worker.LENGTH.unpack_from(buffer)
        end = worker.LENGTH.size + length
        if len(buffer) < end:
            return
        message = pickle.loads(bytes(buffer[worker.LENGTH.size : end]))
        del buffer[:end]
        yield message


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was asked for, and so is there."""
    if stream is None:
        raise ValueError("the process was started without pipes")
    return stream


def _environment() -> dict[str, str]:
    """One thread a process, no JAX settings, and this package wherever it was imported from."""
    home = str(Path(jaxcam.__file__).resolve().parent.parent)
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}
