"""How long does it take to compile, in a fresh process without and with jaxcam's folder of compiled programs?

Every round starts two processes with an empty folder: the first compiles and keeps, the second finds what was kept.
Each tells the wall seconds from the call to the first result, for the forward pass, for Grad-CAM and for exact
occlusion, on VGG16 with fresh weights; making the weights is not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from harness import Seconds, arguments, record, write

SUBJECTS = ("forward", "grad_cam", "occlusion")


def child(options: argparse.Namespace) -> None:
    """Print seconds and processor seconds of the first call of each program, and what they amount to when warm."""
    import jax
    import jax.numpy as jnp

    from jaxcam import attribution, devices, networks

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    devices.keep_compiled()
    size = (options.size, options.size)
    chain, params = networks.build(options.network, input_size=size, dtype=options.dtype)
    images, targets = jnp.ones((options.batch, *size, 3)), jnp.zeros(options.batch, jnp.int32)
    jax.block_until_ready((params, images, targets))
    window = options.size // 7

    def grad_cam(params, images):
        features, head = attribution.at_stage(chain, params, "block5_conv3")
        return attribution.grad_cam(head, features(images), targets)

    def occlusion(params, images):
        fn = lambda x: chain.apply(params, x)
        return attribution.occlusion(fn, images[:1], targets[:1], window, window // 2)

    functions = {"forward": lambda params, images: chain.apply(params, images), "grad_cam": grad_cam}
    functions |= {"occlusion": occlusion}
    found = {}
    for name in options.subjects:
        started, busy = time.perf_counter(), time.process_time()
        lowered = jax.jit(functions[name]).lower(params, images)
        lowered.compile()
        found[name] = (time.perf_counter() - started, time.process_time() - busy)
    from machine import machine

    print(json.dumps({"device": machine()["device"], "seconds": found}))


def run(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """One process."""
    arguments = [sys.executable, __file__, "--child", "--subjects", *options.subjects]
    for name in ("network", "size", "batch", "dtype"):
        arguments += [f"--{name}", str(getattr(options, name))]
    surroundings = os.environ | {"JAXCAM_COMPILED": folder}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=surroundings)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    if options.quick:
        options.network, options.size, options.batch, options.subjects = "vgg16_mini", 56, 2, ["forward", "grad_cam"]
        options.rounds = 1
    seconds: dict[str, dict[str, Seconds]] = {name: {} for name in options.subjects}
    device = ""
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("nothing kept", "kept programs"):
                found = run(options, folder)
                device = found["device"]
                for name, (wall, busy) in found["seconds"].items():
                    times = seconds[name].setdefault(kind, Seconds())
                    times.append(wall)
                    times.cpu.append(busy)
    facts: dict[str, Any] = {"network": options.network, "dtype": options.dtype, "batch": options.batch}
    facts |= {"shape": [options.size, options.size, 3], "device": device}
    counted: Any = {"per_call": 1, "unit": "programs/s", "reference": "nothing kept"}
    for name, own in seconds.items():
        write("compilation", record(f"compile {name}", own, **counted, **facts), options)
    return None


if __name__ == "__main__":
    main()
