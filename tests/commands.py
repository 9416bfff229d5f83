"""The `jaxcam` command as a process of its own, if need be killed at a chosen moment; tiny pictures and a config."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxcam.data import drawn

CLASSES = ("checks", "red_disc", "star")

CONFIG = '''"""Two phases on tiny pictures."""

from jaxcam.config import Config, Data, Network, Phase
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing


def get_config(folder="pictures", weights="none", epochs="3"):
    return Config(
        data=Data(folder=folder),
        network=Network(name="convnet", width=1 / 8, weights=weights, base_end="conv4", head=Head(kind="cam")),
        preprocessing=Preprocessing.named("tf", size=(48, 56)),
        phases=(
            Phase(epochs=int(epochs), batch_size=8, learning_rate=1e-2),
            Phase(trainable="conv3", epochs=2, batch_size=8, learning_rate=1e-3, schedule="cosine"),
        ),
    )
'''


def write_pictures(root: Path, *, train: int = 6, valid: int = 3, broken: bool = True) -> Path:
    """`Train` and `Valid` with drawn pictures of three classes; `broken`: one truncated file in each."""
    for split, count in (("Train", train), ("Valid", valid)):
        for name in CLASSES:
            folder, label = root / split / name, drawn.CLASS_NAMES.index(name)
            folder.mkdir(parents=True)
            for number in range(count):
                picture = drawn.draw(label, np.random.default_rng([label, number, split == "Valid"]), size=40)
                Image.fromarray(picture).save(folder / f"{number:02d}.png")
        if broken:
            whole = (root / split / "star" / "00.png").read_bytes()
            (root / split / "star" / "cut.png").write_bytes(whole[: len(whole) // 2])
    return root


def free_port() -> int:
    """A port nobody listens on, below those the system gives to callers: nobody takes it in the next moment."""
    for number in range(100):
        port = 20000 + (os.getpid() * 97 + number * 7919 + next(_ASKED) * 31) % 10000
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


_ASKED = itertools.count()

MEASURED = (
    sys.executable,
    "-c",
    "import resource, subprocess, sys\n"
    "status = subprocess.call(sys.argv[1:])\n"
    "print('\\n' + str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss), file=sys.stderr)\n"
    "sys.exit(status)",
)
"""Runs a command in a process that has no other children, and says in the last line what the largest of them took."""


class Shell:
    """Runs `python -m jaxcam` in `folder`, on one device unless told otherwise."""

    def __init__(self, folder: Path):
        self.folder = folder
        # What one process has compiled the next ones need not compile again: most of the time of these tests.
        compiled = {"DIR": str(folder / "compiled")}
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("JAX", "PYTHON", "XLA"))},
            **{f"JAX_COMPILATION_CACHE_{key}": value for key, value in compiled.items()},
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_NUMPY_DTYPE_PROMOTION": "strict",
            "JAX_PLATFORMS": "cpu",
            **{key: os.environ[key] for key in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS") if key in os.environ},
        }

    def __call__(self, *arguments: object, status: int = 0, devices: int = 1) -> subprocess.CompletedProcess:
        """Run a command to its end; any other exit status is a failure."""
        done = self._run(arguments, {"JAX_NUM_CPU_DEVICES": str(devices)})
        assert done.returncode == status, done.stderr
        return done

    def peak(self, *arguments: object) -> tuple[subprocess.CompletedProcess, int]:
        """Run a command to its end; also the memory of its largest process, in MiB."""
        done = self._run(arguments, {"JAX_NUM_CPU_DEVICES": "1"}, MEASURED)
        assert done.returncode == 0, done.stderr
        *others, last = done.stderr.splitlines()
        done.stderr = "\n".join(others)
        return done, int(last) // 1024

    def killed(self, moment: str, *arguments: object) -> None:
        """Run a command that is killed at a moment, `EVENT PART COUNT` (see `killing/sitecustomize.py`)."""
        hook = str(Path(__file__).parent / "killing")
        done = self._run(arguments, {"PYTHONPATH": hook, "JAXCAM_TEST_KILL": moment})
        assert done.returncode == -signal.SIGKILL, f"{moment!r} never came: {done.stdout}{done.stderr}"

    def _run(
        self, arguments: tuple[object, ...], extra: dict[str, str], before: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess:
        command = [*before, sys.executable, "-m", "jaxcam", *map(str, arguments)]
        environment = {**self.environment, **extra}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900)


def joined(commands: Sequence[Sequence[object]], **options: Any) -> list[subprocess.CompletedProcess]:
    """Run several commands at once and wait for all; where one hangs none is left behind."""
    pipe = subprocess.PIPE
    running = [subprocess.Popen([*map(str, c)], stdout=pipe, stderr=pipe, text=True, **options) for c in commands]
    try:
        said = [process.communicate(timeout=900) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [subprocess.CompletedProcess(p.args, p.returncode, *words) for p, words in zip(running, said, strict=True)]


def tree(folder: Path, *parts: str) -> dict[str, bytes]:
    """Content of every file below `folder` (below its `parts`, where given), by name."""
    roots = [folder / part for part in parts] or [folder]
    files = [f for root in roots for f in (root.rglob("*") if root.is_dir() else [root]) if f.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(files)}


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that should be gone."""
    found = [*folder.rglob("*.part"), *folder.rglob("*orbax-checkpoint-tmp*"), *folder.rglob("*.__lock")]
    return [path.relative_to(folder).as_posix() for path in found]
