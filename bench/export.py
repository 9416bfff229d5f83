"""An exported classifier: how large it is, and how long from the start of a process to its first answer?

Every call is a process of its own: `load.py` of the exported folder, which has jax and numpy alone, `jaxcam predict` on
the run that it was exported from, and a process that only starts jax. One picture of the network's size each, on disk;
nothing is kept compiled from one process to the next. Before that the exported program's probabilities and maps are
compared with `predict` and `explain` for 1 to `--batches` pictures.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import Seconds, arguments, interleaved, record, write
from PIL import Image

from jaxcam.classifier import Classifier
from jaxcam.exporting import export
from jaxcam.networks import Head, NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing

METHODS = ("cam", "grad_cam")
START = "import jax, numpy; jax.block_until_ready(jax.jit(lambda x: x + 1)(numpy.zeros(1)))"


def classifier(network: str, size: int) -> Classifier:
    """A network with a CAM head of ten classes and random weights."""
    end = "block5_conv3" if network.startswith("vgg16") else None
    spec = NetworkSpec(name=network, classes=10, head=Head(kind="cam"), input_size=(size, size), base_end=end)
    params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
    names = tuple(f"class {number}" for number in range(10))
    return Classifier(spec, params, Preprocessing.named("tf", size=(size, size)), names)


def process(*words: object) -> str:
    """Run a process to its end and return what it printed; its compiled programs are kept nowhere."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "JAXCAM_"))}
    environment |= {"JAXCAM_COMPILED": "off"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr[-2000:]}")
    return done.stdout


def differences(made: Classifier, folder: Path, work: Path, batches: int) -> dict[str, float]:
    """Largest difference of probabilities and of each method's maps, over all numbers of pictures."""
    size, found = made.preprocessing.size, dict.fromkeys(("probabilities", *METHODS), 0.0)
    for count in range(1, batches + 1):
        images = np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8)
        np.save(work / "images.npy", images)
        process(folder / "load.py", work / "images.npy", work / "out.npz")
        own = {"probabilities": made.predict(images).probabilities, **made.explain(images, methods=METHODS)}
        with np.load(work / "out.npz") as out:
            for name, values in own.items():
                found[name] = max(found[name], float(np.abs(out[name] - values).max()))
    return found


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the program, of the weights, and of everything."""
    every = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    program, weights = ((folder / name).stat().st_size for name in ("program.bin", "params.safetensors"))
    return {"program_bytes": program, "weights_bytes": weights, "folder_bytes": every}


def with_children(call: Callable[[], Any], spent: list[float]) -> Callable[[], Any]:
    """The same call; the processor seconds of the processes that it started are noted."""

    def counted() -> Any:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = call()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return found

    return counted


def main() -> None:
    """Export, compare, measure, and append the lines."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, default=3, help="numbers of pictures that are compared: 1 to this")
    options = parser.parse_args()
    if options.quick:
        options.network, options.size, options.rounds, options.batches = "vgg16_mini", 64, 1, 1
    made = classifier(options.network, options.size)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        made.save(work / "run" / "classifier")
        plain = export(made, work / "plain", methods=())
        maps = export(made, work / "maps", methods=METHODS)
        found = differences(made, maps, work, options.batches)
        print("largest differences:", ", ".join(f"{name} {value:.1e}" for name, value in found.items()))
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (1, options.size, options.size, 3), dtype=np.uint8)
        np.save(work / "one.npy", pixels)
        Image.fromarray(pixels[0]).save(work / "one.png")
        calls: dict[str, Callable[[], Any]] = {
            "exported, probabilities": lambda: process(plain / "load.py", work / "one.npy"),
            "exported, with two maps": lambda: process(maps / "load.py", work / "one.npy"),
            "jaxcam predict": lambda: process("-m", "jaxcam", "predict", work / "run", work / "one.png"),
            "jax starts": lambda: process("-c", START),
        }
        spent: dict[str, list[float]] = {name: [] for name in calls}
        subjects = {name: with_children(call, spent[name]) for name, call in calls.items()}
        seconds: dict[str, Seconds] = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
        for name, own in seconds.items():
            own.cpu = spent[name][-len(own) :]  # of the processes: this one only waits
        each = {"exported, probabilities": sizes(plain), "exported, with two maps": sizes(maps)}
    lines = record(
        "start of a process to its first answer", seconds, per_call=1, unit="starts/s", reference="jaxcam predict",
        each=each, network=options.network, shape=[options.size, options.size, 3], dtype="float32", batch=1,
        maps=list(METHODS), differences=found, compared_batches=options.batches,
    )  # fmt: skip
    write("export", lines, options)
    for line in lines:
        if "program_bytes" in line:
            mib = {name: f"{line[f'{name}_bytes'] / 2**20:.2f} MiB" for name in ("program", "weights", "folder")}
            print(f"{line['subject']:34} {mib}")


if __name__ == "__main__":
    main()
