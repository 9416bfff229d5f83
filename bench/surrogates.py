"""How fast are LIME, KernelSHAP and RISE, beside captum and a plain PyTorch loop with as many samples?

VGG16 with the same random weights, one image, all cores, one process, subjects in turns. The draws differ, so outputs
are not compared here (the tests do that where nothing is drawn); the work is: as many forward passes of hidden images,
the same parts, the same number of masks. captum has no RISE: that peer is the method's published loop, masks in
batches. PyTorch runs in channels last with its best batch of 1, 4, 8 and 16 (in bfloat16 under autocast).
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, missing, record, write
from programs import program

from jaxcam import attribution, networks
from jaxcam.attribution.perturbation.segments import grid_segments

CELLS = 7


def ours(chain: Any, params: Any, images: Any, segments: np.ndarray, samples: int) -> dict[str, Any]:
    """Our three programs."""
    targets, key = jnp.zeros(len(images), jnp.int32), jax.random.key(2)

    def method(name, **options):
        function = getattr(attribution, name)
        return lambda params, x: function(lambda x: chain.apply(params, x), x, targets, key=key, **options)

    parts = {"segments": segments, "samples": samples, "fill": 0.0}
    made = {
        "lime": method("lime", convention="captum", **parts),
        "kernel_shap": method("kernel_shap", **parts),
        "rise": method("rise", masks=samples, cells=CELLS),
    }
    return {name: program(function, params, images) for name, function in made.items()}


def peers(params: Any, images: Any, segments: np.ndarray, samples: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """captum's LIME and KernelSHAP, and RISE as a loop."""
    import captum.attr
    import torch
    from torch_vgg16 import finished, torch_device, torch_pixels, torch_vgg16

    network, pixels = torch_vgg16(params).requires_grad_(False), torch_pixels(images)
    mask = torch.from_numpy(np.array(segments, np.int64))[None, None].to(torch_device())

    def guarded(function):
        def call():
            with torch.no_grad(), torch.autocast(torch_device(), torch.bfloat16, enabled=dtype == "bfloat16"):
                return finished(function())

        return call

    def rise(each):
        size = pixels.shape[-1]
        cell = -(-size // CELLS)
        total = torch.zeros(size, size, device=pixels.device)
        generator = np.random.default_rng(0)
        for first in range(0, samples, each):
            count = min(each, samples - first)
            grids = torch.from_numpy((generator.random((count, 1, CELLS, CELLS)) < 0.5).astype(np.float32))
            large = torch.nn.functional.interpolate(
                grids.to(pixels.device), size=((CELLS + 1) * cell,) * 2, mode="bilinear", align_corners=False
            )
            row, column = generator.integers(0, cell, 2)
            masks = large[..., row : row + size, column : column + size]
            scores = network(pixels * masks).softmax(1)[:, 0].float()
            total += (scores[:, None, None] * masks[:, 0]).sum(0)
        return total / samples / 0.5

    shared = {"target": 0, "feature_mask": mask, "n_samples": samples, "show_progress": False}
    lime, shap = captum.attr.Lime(network), captum.attr.KernelShap(network)
    made = {
        "captum Lime": lambda each: lime.attribute(pixels, **shared, perturbations_per_eval=each),
        "captum KernelShap": lambda each: shap.attribute(pixels, **shared, perturbations_per_eval=each),
        "torch RISE loop": rise,
    }
    counts = (1, 4, 8, 16) if torch_device() == "cpu" else (16, 64, 256)
    tried = {str(n): guarded(partial(rise, n)) for n in counts}
    seconds = interleaved(tried, rounds=1, warm_up=1)
    each = int(min(seconds, key=lambda n: seconds[n][0]))
    print(f"PyTorch's batch: {each}")
    return {name: guarded(partial(function, each)) for name, function in made.items()}


def measure(options: argparse.Namespace, dtype: str) -> None:
    """All three methods in one dtype."""
    size = (options.size, options.size)
    chain, params = networks.build("vgg16", key=jax.random.key(0), input_size=size, dtype=dtype)  # type: ignore[arg-type]
    images = jax.random.normal(jax.random.key(1), (1, *size, 3))
    segments = grid_segments(size, options.parts)
    subjects: dict[str, Any] = ours(chain, params, images, segments, options.samples)
    absent = missing("torch", "captum", "sklearn")
    theirs = {} if absent or options.no_peers else peers(params, images, segments, options.samples, dtype)
    facts: dict[str, Any] = {
        "dtype": dtype,
        "batch": 1,
        "shape": [*size, 3],
        "samples": options.samples,
        "parts": options.parts,
    }
    facts |= {"peers_missing": absent}
    pairs = {"lime": "captum Lime", "kernel_shap": "captum KernelShap", "rise": "torch RISE loop"}
    for name, peer in pairs.items():
        calls = {f"jaxcam {name}": subjects[name]} | ({peer: theirs[peer]} if theirs else {})
        seconds = interleaved(calls, rounds=options.rounds, warm_up=options.warm_up)
        counted: Any = {"per_call": options.samples, "unit": "samples/s", "reference": f"jaxcam {name}"}
        each = {f"jaxcam {name}": subjects[name].facts}
        write("surrogates", record(name, seconds, each=each, **counted, **facts), options)


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    gpu = jax.default_backend() != "cpu"
    parser.add_argument("--samples", type=int, default=2048 if gpu else 72)
    parser.add_argument("--parts", type=int, default=49 if gpu else 16, help="that LIME and KernelSHAP hide")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--no-peers", action="store_true", help="ours only; PyTorch need not be installed")
    options = parser.parse_args()
    if options.quick:
        options.samples, options.parts, options.size, options.rounds = 66, 16, 32, min(options.rounds, 3)
    for dtype in options.dtypes:
        measure(options, dtype)


if __name__ == "__main__":
    main()
