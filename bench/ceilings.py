"""What can this machine do at most? Matrix multiplication, convolution and copy, in the dtypes that the others run in.

JAX beside PyTorch and numpy where they are installed (numpy: float32 only), in turns. The convolutions are those 3x3
layers of VGG16 at 224x224 that machines do best. `rate` is GFLOP/s (two operations a multiply-add), or for copies GB/s,
reading and writing counted. The other questions tell their share of the fastest of these, whoever reached it.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, missing, record, write
from jax import lax

CONVOLUTIONS = {"112x112x128": (112, 128), "56x56x256": (56, 256), "28x28x512": (28, 512)}
Subjects = dict[str, tuple[Callable[[], Any], float]]
"""by name: a call that waits for its result, and its operations or bytes / 1e9"""


def jax_subjects(dtype: str, side: int, batch: int, gigabytes: float) -> dict[str, Subjects]:
    """Of the three kinds."""
    wait = lambda function, *values: lambda: jax.block_until_ready(function(*values))
    draw = lambda *shape: jax.random.normal(jax.random.key(0), shape, jnp.dtype(dtype))
    multiply = jax.jit(jnp.matmul)
    kinds: dict[str, Subjects] = {"matmul": {}, "convolution": {}, "copy": {}}
    square = draw(side, side)
    kinds["matmul"][f"jax, {side}"] = (wait(multiply, square, square), 2 * side**3 / 1e9)

    @jax.jit
    def convolve(images, kernel):
        return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    for name, (size, channels) in layers(side).items():
        images, kernel = draw(batch, size, size, channels), draw(3, 3, channels, channels)
        kinds["convolution"][f"jax, {name}"] = (wait(convolve, images, kernel), work(batch, size, channels))
    values = jnp.ones(int(gigabytes * 1e9) // jnp.dtype(dtype).itemsize, jnp.dtype(dtype))
    kinds["copy"]["jax"] = (wait(jax.jit(jnp.copy), values), 2 * values.nbytes / 1e9)
    return kinds


def torch_subjects(dtype: str, side: int, batch: int, gigabytes: float) -> dict[str, Subjects]:
    """The same in PyTorch, convolutions in channels last."""
    import torch
    from torch_vgg16 import finished, torch_device

    kind, place = getattr(torch, dtype), torch_device()

    def wait(function, *values):
        def call():
            with torch.no_grad():
                return finished(function(*values))

        return call

    kinds: dict[str, Subjects] = {"matmul": {}, "convolution": {}, "copy": {}}
    square = torch.randn(side, side, dtype=kind, device=place)
    kinds["matmul"][f"torch, {side}"] = (wait(torch.matmul, square, square), 2 * side**3 / 1e9)
    for name, (size, channels) in layers(side).items():
        last = {"memory_format": torch.channels_last}
        images = torch.randn(batch, channels, size, size, device=place).to(kind, **last)  # type: ignore[call-overload]
        kernel = torch.randn(channels, channels, 3, 3, device=place).to(kind, **last)  # type: ignore[call-overload]
        convolve = partial(torch.nn.functional.conv2d, padding=1)
        kinds["convolution"][f"torch, {name}"] = (wait(convolve, images, kernel), work(batch, size, channels))
    values = torch.ones(int(gigabytes * 1e9) // torch.empty(0, dtype=kind).element_size(), dtype=kind, device=place)
    kinds["copy"]["torch"] = (wait(torch.clone, values), 2 * values.nbytes / 1e9)
    return kinds


def numpy_subjects(side: int, gigabytes: float) -> dict[str, Subjects]:
    """Matrix multiplication and copy in float32, on the processor."""
    square = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    values = np.ones(int(gigabytes * 1e9) // 4, np.float32)
    return {
        "matmul": {f"numpy, {side}": (partial(np.matmul, square, square), 2 * side**3 / 1e9)},
        "copy": {"numpy": (values.copy, 2 * values.nbytes / 1e9)},
    }


def layers(side: int) -> dict[str, tuple[int, int]]:
    """VGG16's; for a quick look a tiny one."""
    return CONVOLUTIONS if side >= 1024 else {"8x8x8": (8, 8)}


def work(batch: int, size: int, channels: int) -> float:
    """GFLOP of a 3x3 convolution that keeps size and channels."""
    return 2 * batch * size * size * 9 * channels * channels / 1e9


def measure(dtype: str, options: argparse.Namespace) -> None:
    """All kinds in one dtype."""
    sizes = (options.side, options.batch, options.gigabytes)
    groups = [jax_subjects(dtype, *sizes)]
    absent = missing("torch")
    if not absent and not options.no_peers:
        groups.append(torch_subjects(dtype, *sizes))
    if jax.default_backend() == "cpu" and dtype == "float32":
        groups.append(numpy_subjects(options.side, options.gigabytes))
    for kind in ("matmul", "convolution", "copy"):
        subjects = {name: pair for group in groups for name, pair in group.get(kind, {}).items()}
        calls = {name: call for name, (call, _) in subjects.items()}
        seconds = interleaved(calls, rounds=options.rounds, warm_up=options.warm_up)
        counted: Any = {"per_call": {name: amount for name, (_, amount) in subjects.items()}}
        counted |= {"unit": "GB/s" if kind == "copy" else "GFLOP/s", "reference": next(iter(subjects))}
        facts = {"kind": kind, "dtype": dtype, "batch": options.batch, "peers_missing": absent}
        write("ceilings", record(f"ceiling: {kind}", seconds, **counted, **facts), options)


def main() -> None:
    """Measure and append the lines."""
    gpu = jax.default_backend() != "cpu"
    parser = arguments(__doc__, rounds=7, warm_up=2)
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--side", type=int, default=8192 if gpu else 3072, help="of the square matrices")
    parser.add_argument("--batch", type=int, default=128 if gpu else 8, help="of the convolutions")
    parser.add_argument("--gigabytes", type=float, default=4.0 if gpu else 0.25, help="that are copied")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.side, options.batch, options.gigabytes, options.rounds = 64, 2, 1e-4, min(options.rounds, 3)
    for dtype in options.dtypes:
        measure(dtype, options)


if __name__ == "__main__":
    main()
