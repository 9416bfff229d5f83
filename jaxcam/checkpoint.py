"""Checkpoints of a training run; the only file that imports orbax.

Written as numpy arrays by the first process, so that any number of devices and processes can go on from them. All
processes must make the object and call `save` at the same places, for orbax lets them wait for each other; only the
first one may call `last`.
"""

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import tensorstore
from orbax.checkpoint import v1 as ocp

from jaxcam.config import differences
from jaxcam.errors import UserError
from jaxcam.files import read_json, replace_file, write_json

KEPT = 2
CHECKSUMS, MADE_FOR = "checksums.json", "network.json"
DAMAGED, REMOVED, HALF = "damaged-", "removed-", "orbax-checkpoint-tmp"
MANIFEST = "manifest.ocdbt"
"""the file of a tree that tensorstore begins with"""
BLOCK = 2**22

State = Mapping[str, Any]
"""named trees of arrays; `loop` is a flat dict of Python numbers"""


class Checkpoints:
    """The folder `checkpoints/` of a run: the last two states, written in the background, each whole or absent.

    `made_for` are facts (JSON values) that a state cannot do without, such as the network and the class names: they are
    written beside the states, and a folder that was made for others is a `UserError` that names what differs. `say`
    gets a line where a state is damaged or could not be written.
    """

    def __init__(
        self, folder: Path, *, made_for: Mapping[str, Any] | None = None, say: Callable[[str], None] = lambda line: None
    ):
        self.folder, self._say, self._first = folder.resolve(), say, jax.process_index() == 0
        if self._first:
            self.folder.mkdir(parents=True, exist_ok=True)
            for rest in (*self.folder.glob(f"*{HALF}*"), *self.folder.glob(f"{REMOVED}*")):  # by a run that was killed
                shutil.rmtree(rest)
            if made_for is not None:
                self._check(made_for)
        # What orbax logs of a full disk are pages of tracebacks, beside the one line that is told here.
        self._logger = logging.getLogger("absl")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)
        self._writes, self._reads = ocp.Context(), ocp.Context()
        self._reads.multiprocessing.active_processes = {0}
        self._worker = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._step = -1

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._settle()
        self._worker.shutdown()
        self._logger.setLevel(self._level)

    @property
    def steps(self) -> list[int]:
        """Steps of the states that are there, oldest first."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def save(self, step: int, state: State) -> None:
        """Write named trees for `step`; returns when they are copied, not when they are on disk.

        A state that cannot be written is told when the next one is saved, or at the end; those before it stay.
        """
        self._settle()
        copied = {name: tree if name == "loop" else on_host(tree) for name, tree in state.items()}
        self._step = step
        try:
            with self._writes:
                response = ocp.save_checkpointables_async(self.folder / str(step), copied)
        except OSError as error:
            return self._tell_failure(error)
        self._writing = self._worker.submit(self._finish, step, response)

    def last(self, loop: State, expected: Callable[[State], State]) -> tuple[State, State] | None:
        """`(loop, the other trees)` of the last state that is whole; None where no state was ever written.

        `loop` is an example of a `loop`; `expected(loop)` gives the trees to read with the shapes and dtypes they must
        have. A damaged state is told and set aside (`damaged-STEP`), and the one before it is taken. Raises `UserError`
        where a state is of another network, or where there are several and none is whole.
        """
        steps = self.steps
        for step in reversed(steps):
            try:
                return self._read(step, loop, expected)
            except Damaged as reason:
                aside = self.folder / f"{DAMAGED}{step}"
                shutil.rmtree(aside, ignore_errors=True)
                os.replace(self.folder / str(step), aside)
                left = self.steps
                instead = f"checkpoint {left[-1]}" if left else "the beginning"
                self._say(f"warning: checkpoint {step} is damaged ({reason}); going on from {instead}")
        if len(steps) > 1:
            raise UserError(
                f"none of the checkpoints in {self.folder} can be read; remove that folder to train from the beginning"
            )
        return None

    def _read(self, step: int, loop: State, expected: Callable[[State], State]) -> tuple[State, State]:
        folder = self.folder / str(step)
        verified = verify(folder)
        if not verified:
            read_through(folder)
        try:
            with self._reads:
                stored = ocp.checkpointables_metadata(folder).metadata
                found = ocp.load_checkpointables(folder, {"loop": dict(loop)})["loop"]
        except (ValueError, KeyError, OSError) as error:
            raise Damaged(reason(error)) from error
        wanted = expected(found)
        if not verified and (missing := [name for name in wanted if stored.get(name) is None]):
            raise Damaged(f"{', '.join(missing)} cannot be read")
        # Compared first: a load that fails inside orbax leaves coroutines behind that complain later.
        if any(shapes(stored.get(name)) != shapes(tree) for name, tree in wanted.items()):
            raise UserError(
                f"checkpoint {step} does not fit: it is of other classes or another network; give another --out, or "
                "remove the run"
            )
        try:
            with self._reads:
                return found, ocp.load_checkpointables(folder, jax.tree.map(empty, dict(wanted)))
        except (ValueError, KeyError, OSError) as error:
            if verified:
                raise UserError(f"checkpoint {step} cannot be read: {reason(error)}") from error
            raise Damaged(reason(error)) from error

    def _check(self, made_for: Mapping[str, Any]) -> None:
        facts = json.loads(json.dumps(made_for))
        if not (self.folder / MADE_FOR).exists():
            return write_json(self.folder / MADE_FOR, facts)
        if changed := differences(read_json(self.folder / MADE_FOR), facts):
            raise UserError(
                f"the checkpoints in {self.folder} are of another network or other classes ({'; '.join(changed)}); "
                "give another --out, or remove the run"
            )

    def _finish(self, step: int, response: Any) -> None:
        """In the background: wait until the state is in place, add its checksums, remove the oldest states."""
        response.result()
        if not self._first:
            return
        write_checksums(self.folder / str(step))
        for old in self.steps[:-KEPT]:
            gone = self.folder / f"{REMOVED}{old}"
            # Renamed first: what a kill leaves of it must not look like a state.
            os.replace(self.folder / str(old), gone)
            shutil.rmtree(gone)

    def _settle(self) -> None:
        """Wait for the state that is being written."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except (ValueError, OSError) as error:  # tensorstore tells of a full disk in a ValueError
            self._tell_failure(error)

    def _tell_failure(self, error: Exception) -> None:
        if not self._first:
            return
        for rest in self.folder.glob(f"*{HALF}*"):
            shutil.rmtree(rest, ignore_errors=True)
        for file in self.folder.glob(f"*/.{CHECKSUMS}.part"):
            file.unlink()
        left = self.steps
        instead = f"checkpoint {left[-1]}" if left else "the beginning"
        self._say(
            f"warning: checkpoint {self._step} could not be written ({reason(error)}); training goes on, and if it is "
            f"killed now it will continue from {instead}"
        )


class Damaged(Exception):
    """A state that was written and cannot be read any more."""


def reason(error: Exception) -> str:
    """What orbax or the system says, in few words: the last part of tensorstore's chain of causes."""
    text = " ".join(str(error).split()).partition(" [")[0].partition(" due to ")[0]
    parts = text.split(": ")
    return ": ".join(parts[-2:])[-160:] if parts else type(error).__name__


def on_host(tree: Any) -> Any:
    """Copies of a tree's arrays: the device may write over its own in the next step."""
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), jax.device_get(tree))


def empty(leaf: Any) -> np.ndarray:
    """An array of a leaf's shape and dtype."""
    return np.empty(leaf.shape, leaf.dtype)


def shapes(tree: Any) -> list[tuple[int, ...]]:
    """The shapes of a tree's arrays, in an order that does not depend on how the tree is nested."""
    return sorted(tuple(leaf.shape) for leaf in jax.tree.leaves(tree))


def write_checksums(folder: Path) -> None:
    """Write size and CRC-32 of every file of a state beside them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and CHECKSUMS not in path.name)
    sums = {path.relative_to(folder).as_posix(): [path.stat().st_size, checksum(path)] for path in files}
    replace_file(folder / CHECKSUMS, json.dumps(sums).encode())


def verify(folder: Path) -> bool:
    """Whether a state's checksums were written and hold; `Damaged` where they do not. No checksums: killed before."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_bytes())
        for name, (size, expected) in sums.items():
            if not (folder / name).is_file():
                raise Damaged(f"{name} is missing")
            if (folder / name).stat().st_size != size:
                raise Damaged(f"{name} has {(folder / name).stat().st_size} bytes instead of {size}")
            if checksum(folder / name) != expected:
                raise Damaged(f"{name} has changed")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Damaged(reason(error)) from error
    return True


def read_through(folder: Path) -> None:
    """Read every tree of a state without checksums once; `Damaged` where that fails.

    By tensorstore alone: reading what is damaged through orbax leaves tasks behind that complain later.
    """
    for about in sorted(folder.glob("*/_METADATA")):
        tree = about.parent
        # An absent manifest would read as an empty tree.
        if not (tree / MANIFEST).is_file():
            raise Damaged(f"{tree.name}/{MANIFEST} is missing")
        try:
            spec = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{tree}/"}}
            store = tensorstore.KvStore.open(spec).result()
            for key in store.list().result():
                if not store.read(key).result().value:  # so it reads where the file of the values is gone
                    raise Damaged(f"{tree.name}/{key.decode()} is missing")
        except (ValueError, OSError) as error:
            raise Damaged(reason(error)) from error


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return value
