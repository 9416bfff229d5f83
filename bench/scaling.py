"""Does one program over several devices cost more, or bring more, than one device? Grad-CAM over 1, 2, 4 of them.

On processors the devices are host devices that JAX makes out of the same cores (`jax_num_cpu_devices`), each in a
process of its own: the rate should stay level. On a machine with several accelerators 1, 2, 4 ... of them are used, and
the rate should grow with their number. The program is the one of `jaxcam explain`; the batch is the same for all.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from harness import Seconds, arguments, record, write


def child(options: argparse.Namespace) -> None:
    """Print seconds and processor seconds of each call over so many devices."""
    import jax
    import numpy as np

    if options.child_platform == "cpu":
        jax.config.update("jax_num_cpu_devices", options.child)
    from jax.sharding import AxisType

    from jaxcam import devices
    from jaxcam.classifier import Classifier
    from jaxcam.maps.program import explain_program, surroundings
    from jaxcam.maps.request import Request
    from jaxcam.networks import NetworkSpec
    from jaxcam.networks.catalog import fresh_params
    from jaxcam.preprocessing import Preprocessing

    size = (options.size, options.size)
    used = jax.devices()[: options.child]
    mesh = jax.make_mesh((len(used),), ("data",), axis_types=(AxisType.Auto,), devices=used)
    spec = NetworkSpec(name=options.network, classes=10, input_size=size, dtype=options.dtype)
    params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
    classifier = Classifier(spec, params, Preprocessing.named("torchvision", size=size), tuple("abcdefghij"))
    request = Request(methods=("grad_cam",)).checked(classifier)
    pixels = np.random.default_rng(0).integers(0, 256, (options.batch, *size, 3), dtype=np.uint8)
    placed = devices.shard((pixels, np.zeros(options.batch, np.int32)), on=mesh)
    held, around = devices.replicate((params, surroundings(request)), on=mesh)
    program = jax.jit(explain_program(classifier, request))
    call = lambda: jax.block_until_ready(program(held, *placed, around))
    for _ in range(1 + options.warm_up):
        call()
    found = []
    for _ in range(options.calls):
        started, busy = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - started, time.process_time() - busy))
    from machine import machine

    print(json.dumps({"seconds": found, "devices": len(used), "device": machine()["device"]}))


def run(options: argparse.Namespace, count: int, platform: str) -> dict[str, Any]:
    """One process."""
    arguments = [sys.executable, __file__, "--child", str(count), "--child-platform", platform]
    for name in ("network", "size", "batch", "dtype", "calls"):
        arguments += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def platform_and_devices() -> tuple[str, int]:
    """Asked in a process of its own: one that holds an accelerator would keep it from the others."""
    code = "import jax; print(jax.default_backend(), jax.device_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, count = done.stdout.split()
    return name, int(count)


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--calls", type=int, default=3, help="timed in every process; their median counts")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child-platform", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    if options.quick:
        options.network, options.size, options.batch, options.rounds = "vgg16_mini", 32, 4, 1
    platform, there = platform_and_devices()
    counts = [n for n in options.devices if options.batch % n == 0 and (platform == "cpu" or n <= there)]
    seconds = {f"{count} devices": Seconds() for count in counts}
    device = ""
    for _ in range(options.rounds):
        for count in counts:
            found = run(options, count, platform)
            wall, busy = sorted(found["seconds"])[len(found["seconds"]) // 2]
            own, device = seconds[f"{count} devices"], found["device"]
            own.append(wall)
            own.cpu.append(busy)
    facts: dict[str, Any] = {"network": options.network, "dtype": options.dtype, "batch": options.batch}
    facts |= {"shape": [options.size, options.size, 3], "calls": options.calls, "device": device}
    counted: Any = {"per_call": options.batch, "unit": "img/s", "reference": f"{counts[0]} devices"}
    write("scaling", record("scaling", seconds, **counted, **facts), options)
    return None


if __name__ == "__main__":
    main()
