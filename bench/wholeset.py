"""How fast does a folder of JPEG files become maps on disk, beside Grad-CAM and the forward pass alone?

Three subjects in turns in one process, on the same network and batch: the forward pass and Grad-CAM of a batch that is
on the device already, and `maps.run_set` from JPEG files to a finished store. The whole set also says which share of
the time the device waited. Then, in processes of their own, the peak memory at a small and a large number of images.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import arguments, interleaved, machine, record, write
from PIL import Image
from programs import formula_flops

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.data.folder import load_folder
from jaxcam.maps import sets, stream
from jaxcam.maps.program import compiled_program, surroundings
from jaxcam.maps.request import Request
from jaxcam.networks import NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

QUIET = Progress(quiet=True)
REQUEST = Request(methods=("grad_cam",))
CLASSES = 10


def photographs(folder: Path, count: int, size: tuple[int, int], distinct: int = 64) -> Path:
    """`count` JPEG files in ten class folders; `distinct` different pictures, the others are links to their files."""
    rng = np.random.default_rng(0)
    made: list[Path] = []
    for number in range(count):
        path = folder / f"class_{number % CLASSES}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(made) < distinct:
            # Smooth shapes with some noise: about the bytes a photograph of that size has.
            small = rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
            large = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC), np.int16)
            noisy = np.clip(large + rng.normal(0, 6, large.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(path, quality=90)
            made.append(path)
        else:
            path.hardlink_to(made[number % distinct])
    return folder


def a_classifier(options: argparse.Namespace) -> Classifier:
    """The network with fresh weights."""
    size = (options.size, options.size)
    spec = NetworkSpec(name=options.network, classes=CLASSES, input_size=size, dtype=options.dtype)
    params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
    names = tuple(f"class_{number}" for number in range(CLASSES))
    return Classifier(spec, params, Preprocessing.named("torchvision", size=size), names)


def measure(options: argparse.Namespace) -> None:
    """Time the three subjects in turns."""
    classifier = a_classifier(options)
    request = REQUEST.checked(classifier)
    batch = devices.padded(options.batch)
    pixels = np.random.default_rng(1).integers(0, 256, (batch, options.size, options.size, 3), dtype=np.uint8)
    params, around = devices.replicate((classifier.params, surroundings(request)))
    on_device = devices.shard((pixels, np.zeros(batch, np.int32)))
    forward = classifier.compiled
    program = compiled_program(classifier, request)
    steps = -(-options.images // options.batch)
    timings: list[stream.Timing] = []

    def forwards() -> None:
        out = [forward(params, on_device[0]) for _ in range(steps)]
        jax.block_until_ready(out[-1])

    def maps_alone() -> None:
        out = [program(params, *on_device, around)["grad_cam"] for _ in range(steps)]
        jax.block_until_ready(out[-1])

    with tempfile.TemporaryDirectory() as folder:
        root = photographs(Path(folder) / "pictures", options.images, (options.height, options.width))
        images = load_folder(root, class_names=classifier.class_names)

        def whole_set() -> None:
            run = Path(folder) / "run"
            store, timing = sets.computed(
                classifier, images, run, request, name="set", batch_size=options.batch, overwrite=True, progress=QUIET
            )
            if not store.complete:
                raise RuntimeError(f"{store.path} is not complete")
            timings.append(timing)

        subjects = {"forward": forwards, "grad_cam": maps_alone, "whole set to disk": whole_set}
        seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    told = timings[-options.rounds :]
    facts = {"network": options.network, "dtype": options.dtype, "batch": options.batch, "images": options.images}
    facts |= {"shape": [options.size, options.size, 3], "jpeg": [options.height, options.width]}
    # The maps' program is written with a forward pass a method, which XLA merges: its formula would count too much.
    each = {"forward": {"gflop": round(formula_flops(forward, params, on_device[0])[0] * steps / 1e9, 3)}}
    counted: Any = {"per_call": steps * batch, "unit": "img/s", "reference": "grad_cam", "each": each}
    lines = record("wholeset", seconds, **counted, **facts)
    streamed = sorted(timing.seconds for timing in told)[len(told) // 2]
    lines[-1] |= {
        "rate": round(options.images / float(lines[-1]["median_s"]), 3),
        "streaming_rate": round(options.images / streamed, 3),
        "compile_s": round(max(timing.compile_seconds for timing in timings), 2),
        "device_waited": round(float(np.median([timing.waited_share for timing in told])), 4),
    }
    write("wholeset", lines, options)
    print(f"streaming alone {lines[-1]['streaming_rate']} img/s, device waited {lines[-1]['device_waited']:.1%}")


def peak(options: argparse.Namespace) -> None:
    """Compute a set once and print the process' peak memory, in MiB."""
    classifier = a_classifier(options)
    with tempfile.TemporaryDirectory() as folder:
        root = photographs(Path(folder) / "pictures", options.images, (options.height, options.width))
        images = load_folder(root, class_names=classifier.class_names)
        sets.run_set(
            classifier, images, Path(folder) / "run", REQUEST, name="set", batch_size=options.batch, progress=QUIET
        )
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def memory(options: argparse.Namespace) -> None:
    """Peak memory of two processes, one with few and one with many images."""
    found = {}
    for count in (options.few, options.many):
        arguments = [sys.executable, __file__, "--peak", "--images", str(count)]
        for name in ("network", "dtype", "batch", "size", "height", "width"):
            arguments += [f"--{name}", str(getattr(options, name))]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        found[count] = round(json.loads(done.stdout.splitlines()[-1]), 1)
        print(f"{count} images: {found[count]} MiB at the peak")
    line = {"question": "wholeset", "subject": "peak memory", "network": options.network, "dtype": options.dtype}
    line |= {"batch": options.batch, "images": options.many, "fewer": options.few, "rate": found[options.many]}
    line |= {
        "fewer_rate": found[options.few],
        "unit": "MiB",
        "growth": round(found[options.many] / found[options.few], 3),
    }
    write("wholeset", [line | machine()], options)


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--network", default="vgg16", help="a name of the catalogue; vgg16_mini for a quick look")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=224, help="height and width of the network's input")
    parser.add_argument("--height", type=int, default=375, help="of the JPEG files")
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--few", type=int, default=1000, help="images of the smaller peak")
    parser.add_argument("--many", type=int, default=20000)
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks out")
    parser.add_argument("--no-speed", action="store_true", help="measure the peaks alone")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.network, options.size, options.batch, options.images = "vgg16_mini", 32, 4, 8
        options.few, options.many, options.rounds = 8, 16, min(options.rounds, 3)
    if options.peak:
        return peak(options)
    if not options.no_speed:
        measure(options)
    if not options.no_memory:
        memory(options)
    return None


if __name__ == "__main__":
    main()
