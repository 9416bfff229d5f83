"""How fast is VGG16's forward pass alone, beside PyTorch in both memory layouts, and which share of the machine is it?

Same random weights, same images, all cores, one process, subjects in turns; the logits are compared first. A 3x3
convolution of 56x56x256 runs between them (in JAX and in PyTorch): `of_convolution_now` is a forward pass' GFLOP/s by
formula over the faster of these, measured in the same minutes.
"""

import argparse
from collections.abc import Callable
from typing import Any

import ceilings
import jax
import numpy as np
from harness import Seconds, arguments, interleaved, missing, record, significant, write
from programs import program

from jaxcam import networks

LAYER = "56x56x256"


def torch_subjects(params: Any, images: Any, dtype: str) -> dict[str, Callable[[], Any]]:
    """PyTorch's forward pass, eager, in both layouts."""
    import torch
    from torch_vgg16 import LAYOUTS, finished, torch_pixels, torch_vgg16

    def subject(layout):
        network, pixels = torch_vgg16(params, layout, getattr(torch, dtype)), torch_pixels(images, layout)
        pixels = pixels.to(getattr(torch, dtype))

        def call():
            with torch.no_grad():
                return finished(network(pixels))

        return call

    return {f"torch, {name}": subject(layout) for name, layout in LAYOUTS.items()}


def peaks(options: argparse.Namespace, dtype: str, batch: int) -> dict[str, tuple[Callable[[], Any], float]]:
    """One convolution, in JAX and in PyTorch."""
    side, batch = (64, 2) if options.quick else (1024, max(batch, 8))
    kinds = [ceilings.jax_subjects(dtype, side, batch, 1e-4)]
    if not options.no_peers and not missing("torch"):
        kinds.append(ceilings.torch_subjects(dtype, side, batch, 1e-4))
    name = next(iter(ceilings.layers(side))) if options.quick else LAYER
    return {f"convolution, {k}": v for kind in kinds for k, v in kind["convolution"].items() if k.endswith(name)}


def measure(options: argparse.Namespace, dtype: str, batch: int) -> None:
    """One batch size in one dtype."""
    size = (options.size, options.size)
    chain, params = networks.build(options.network, key=jax.random.key(0), dtype=dtype, input_size=size)  # type: ignore[arg-type]
    images = jax.random.normal(jax.random.key(1), (batch, *size, 3))
    ours = program(lambda params, images: chain.apply(params, images), params, images)
    subjects: dict[str, Callable[[], Any]] = {"jaxcam": ours}
    absent = missing("torch")
    facts: dict[str, Any] = {"network": options.network, "dtype": dtype, "batch": batch, "shape": [*size, 3]}
    facts |= {"peers_missing": absent}
    if not absent and not options.no_peers and options.network == "vgg16":
        subjects |= torch_subjects(params, images, dtype)
        logits = np.asarray(ours(), np.float32)
        differences = {
            name: float(np.abs(call().float().cpu().numpy() - logits).max() / np.abs(logits).max())
            for name, call in subjects.items()
            if name != "jaxcam"
        }
        facts["difference"] = differences
        print(f"largest difference of the logits, of their largest: {max(differences.values()):.1e}")
    single = peaks(options, dtype, batch)
    calls = subjects | {name: call for name, (call, _) in single.items()}
    seconds = interleaved(calls, rounds=options.rounds, warm_up=options.warm_up)
    gflop = {"gflop": ours.facts["gflop"]}
    each = dict.fromkeys(subjects, gflop) | {"jaxcam": ours.facts}
    of_subjects = {name: seconds[name] for name in subjects}
    counted: Any = {"per_call": batch, "unit": "img/s", "reference": "jaxcam"}
    lines = record("forward", of_subjects, each=each, **counted, **facts)
    rates = {name: work / median(seconds[name]) for name, (_, work) in single.items()}
    for line in lines:
        line["convolutions_now"] = {name: significant(rate) for name, rate in rates.items()}
        line["of_convolution_now"] = round(line["gflop_s"] / max(rates.values()), 3)
    write("forward", lines, options)
    for line in lines:
        print(f"  {line['subject']:32} {line['of_convolution_now']:.0%} of the faster convolution of this run")


def median(seconds: Seconds) -> float:
    """Of the rounds."""
    return float(np.median(seconds))


def main() -> None:
    """Measure every dtype and batch size and append the lines."""
    gpu = jax.default_backend() != "cpu"
    parser = arguments(__doc__, rounds=7, warm_up=2)
    parser.add_argument("--network", default="vgg16", help="a name of the catalogue; peers run VGG16 only")
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128, 256] if gpu else [1, 8])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--no-peers", action="store_true", help="ours only; PyTorch need not be installed")
    options = parser.parse_args()
    if options.quick:
        options.batches, options.size, options.rounds = [2], 32, min(options.rounds, 3)
    for dtype in options.dtypes:
        for batch in options.batches:
            measure(options, dtype, batch)


if __name__ == "__main__":
    main()
