"""How long does a command take to begin: `jaxcam --help`, a command's help, `import jaxcam`, and `jaxcam predict`?

Whole processes, wall seconds, in turns, beside Python alone (`python -c pass`) and beside `import jax`. `predict` runs
VGG16 of 1/8 the width, or `--network`, on one JPEG file: with nothing kept, and with the programs that jaxcam keeps.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Seconds, arguments, record, write


def process(*words: str, **surroundings: str) -> Callable[[], None]:
    """A call that runs Python with these arguments."""
    command = [sys.executable, *words]

    def call() -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=os.environ | surroundings)

    return call


def a_run(folder: Path, network: str) -> tuple[str, str]:
    """A saved classifier with fresh weights, and a picture."""
    code = """
import sys, jax, numpy as np
from PIL import Image
from jaxcam.classifier import Classifier
from jaxcam.networks import NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing
spec = NetworkSpec(name=sys.argv[2], classes=2)
params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
preprocessing = Preprocessing.named("torchvision", size=spec.size)
Classifier(spec, params, preprocessing, ("cat", "dog")).save(sys.argv[1] + "/run/classifier")
pixels = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
Image.fromarray(pixels).save(sys.argv[1] + "/picture.jpg")
"""
    subprocess.run([sys.executable, "-c", code, str(folder), network], check=True)
    return str(folder / "run"), str(folder / "picture.jpg")


def timed(calls: dict[str, Callable[[], None]], options: argparse.Namespace) -> dict[str, Seconds]:
    """Seconds in turns; the processor seconds are those of the children."""
    seconds = {name: Seconds() for name in calls}
    for turn in range(options.warm_up + options.rounds):
        for name, call in calls.items():
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            call()
            wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn >= options.warm_up:
                seconds[name].append(wall)
                seconds[name].cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return seconds


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--network", default="vgg16_mini")
    parser.add_argument("--no-predict", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 3)
    calls: dict[str, Callable[[], None]] = {
        "python alone": process("-c", "pass"),
        "jaxcam --help": process("-m", "jaxcam", "--help"),
        "jaxcam explain --help": process("-m", "jaxcam", "explain", "--help"),
        "import jaxcam": process("-c", "import jaxcam"),
        "import jax": process("-c", "import jax"),
    }
    counted: Any = {"per_call": 1, "unit": "starts/s", "reference": "python alone"}
    write("startup", record("startup", timed(calls, options), **counted), options)
    if options.no_predict:
        return
    options.rounds = min(options.rounds, 5)
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "jaxcam", "predict", *a_run(Path(folder), options.network)]
        kept = str(Path(folder) / "kept")

        def nothing_kept() -> None:
            shutil.rmtree(Path(folder) / "empty", ignore_errors=True)
            process(*words, JAXCAM_COMPILED=str(Path(folder) / "empty"))()

        calls = {"jaxcam predict, nothing kept": nothing_kept}
        calls |= {"jaxcam predict, kept programs": process(*words, JAXCAM_COMPILED=kept)}
        counted |= {"reference": "jaxcam predict, nothing kept"}
        write("startup", record("startup", timed(calls, options), network=options.network, **counted), options)


if __name__ == "__main__":
    main()
