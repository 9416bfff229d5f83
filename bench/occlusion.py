"""How fast are exact occlusion maps, beside brute force, coarse to fine, and captum on the same weights?

Random weights, 224x224, black windows, all cores, one process, subjects in turns; outputs are compared first.
Coarse to fine is the only one that is not exact: its line tells the rank correlation with the exact map.
captum runs in its better memory layout with its best number of windows at once (in bfloat16 under autocast).
`--windows N` measures N windows spread over the grid instead of all (captum always runs its own grid); `--profile`
tells where the time of the incremental evaluation goes, stage by stage, and `--plan` what it ought to be.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, missing, record, write
from jax import lax
from programs import program

from jaxcam import attribution, networks
from jaxcam.attribution.incremental import grid_offsets, incremental

SUBJECTS = ("incremental", "brute", "coarse", "captum")


def brute_force(apply: Callable, window: tuple[int, int], offsets: np.ndarray, chunk: int) -> Callable:
    """Every window through the whole network, `chunk` at a time, in one program."""

    def one(params, image, corner):
        rows, columns = (np.arange(length) for length in image.shape[:2])
        inside = ((rows >= corner[0]) & (rows < corner[0] + window[0]))[:, None]
        inside &= (columns >= corner[1]) & (columns < corner[1] + window[1])
        return apply(params, jnp.where(inside[None, :, :, None], 0, image[None]))[0]

    def all_windows(params, images):
        step = lambda image: lax.map(lambda corner: one(params, image, corner), jnp.asarray(offsets), batch_size=chunk)
        return lax.map(step, images)

    return jax.jit(all_windows)


def best(candidates: dict[Any, Callable[[], Any]]) -> Any:
    """The candidate that needs least time, of two calls each after one to warm up."""
    seconds = interleaved(candidates, rounds=2, warm_up=1)
    return min(seconds, key=lambda name: min(seconds[name]))


def call(program: Callable, *arguments: Any) -> Any:
    """The program's results, when they are there."""
    return jax.block_until_ready(program(*arguments))


def captum_subject(params: Any, images: Any, window: int, stride: int, dtype: str) -> tuple[str, Callable]:
    """captum's Occlusion with the same weights, in its faster memory layout, with its best perturbations_per_eval."""
    import captum.attr
    import torch
    from torch_vgg16 import LAYOUTS, finished, torch_device, torch_pixels, torch_vgg16

    def subject(layout, each, window, stride):
        model, pixels = torch_vgg16(params, LAYOUTS[layout]), torch_pixels(images, LAYOUTS[layout])
        occlusion = captum.attr.Occlusion(model)
        options = {"target": torch.arange(len(pixels)).to(torch_device()), "perturbations_per_eval": each}
        shapes = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}

        def call():
            with torch.no_grad(), torch.autocast(torch_device(), torch.bfloat16, enabled=dtype == "bfloat16"):
                return finished(occlusion.attribute(pixels, **options, **shapes))

        return call

    # Chosen on 16 large windows: how long a forward takes does not depend on what the window hides.
    quarter = images.shape[1] // 4
    counts = (1, 4, 8, 16) if torch_device() == "cpu" and quarter >= 32 else (16, 64, 256)
    chosen = best({(name, n): subject(name, n, quarter, quarter) for name in LAYOUTS for n in counts})
    name = f"captum Occlusion, {chosen[0]}, {chosen[1]} per eval"
    return name, subject(chosen[0], chosen[1], window, stride)


def profile(params: Any, images: Any, window: tuple[int, int], offsets: np.ndarray) -> None:
    """Processor seconds of each stage of VGG16: differences between evaluations that stop behind successive stages."""
    chain, _ = networks.build("vgg16", key=jax.random.key(0))
    plan = incremental(lambda x: chain.apply(params, x)).plan(images.shape, window=window, offsets=offsets)
    flops = {operation.label.split("/")[0]: operation.flops for operation in plan.operations}
    before = 0.0
    for name in chain.names:
        cut = jax.jit(lambda params, x, name=name: boxes_until(chain, params, x, name, window, offsets))
        jax.block_until_ready(cut(params, images))
        started = time.process_time()
        jax.block_until_ready(cut(params, images))
        seconds = time.process_time() - started
        work = flops.get(name, 0.0) * len(offsets) * len(images)
        rate = f"{work / max(seconds - before, 1e-9) / 1e9:8.1f} GFLOP/core-s" if work else ""
        print(f"{name:14} {seconds - before:8.3f} core-s {rate}", flush=True)
        before = seconds


def boxes_until(chain: Any, params: Any, images: Any, name: str, window: tuple[int, int], offsets: np.ndarray) -> Any:
    """What the windows change at a stage's output, as sums that keep XLA from dropping anything."""
    evaluate = incremental(lambda x: chain.apply(params, x, stop=name))
    changes = evaluate.changes(images, window=window, offsets=offsets)
    return [part.patches.sum() for part in changes.parts]


def main() -> None:
    """Measure one setting and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--network", choices=("vgg16", "resnet50"), default="vgg16")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--windows", type=int, help="only so many of the grid's windows")
    parser.add_argument("--groups", type=int, default=9)
    parser.add_argument("--keep", type=float, default=0.25, help="coarse to fine: share of the other windows")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--no-peers", action="store_true", help="ours only; PyTorch need not be installed")
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--profile", action="store_true", help="time every stage of VGG16 and stop")
    options = parser.parse_args()
    if options.quick:
        options.size, options.window, options.stride = 64, 16, 16
        options.rounds = min(options.rounds, 3)
    size = (options.size, options.size)
    window, stride = (options.window, options.window), (options.stride, options.stride)
    offsets = grid_offsets(size, window, stride)
    if options.windows:
        offsets = offsets[np.linspace(0, len(offsets) - 1, options.windows).astype(int)]
    chain, params = networks.build(options.network, key=jax.random.key(0), input_size=size, dtype=options.dtype)
    apply = chain.apply
    images = jax.random.normal(jax.random.key(1), (options.batch, *size, 3))
    plan = incremental(lambda x: apply(params, x)).plan(
        images.shape, window=window, offsets=offsets, groups=options.groups
    )
    if options.plan:
        print(plan)
        return
    if options.profile:
        profile(params, images, window, offsets)
        return

    def cheap(params, images):
        evaluate = incremental(lambda x: apply(params, x))
        return evaluate(images, window=window, offsets=offsets, groups=options.groups)

    subjects: dict[str, Callable[[], Any]] = {}
    absent = missing("torch", "captum")
    facts: dict[str, Any] = {"predicted_ratio": round(plan.speed_up, 3), "positions": len(offsets)}
    facts |= {"peers_missing": absent}
    compiled = program(cheap, params, images)
    subjects["jaxcam incremental"] = compiled
    each = {"jaxcam incremental": compiled.facts}
    exact = np.asarray(compiled(), np.float32)
    if "brute" in options.subjects:
        few = offsets[:16]
        chunks = (16,) if options.quick else (4, 8, 16) if jax.default_backend() == "cpu" else (16, 64, 256)
        tried = {n: brute_force(apply, window, few, n) for n in chunks}
        chunk = best({n: partial(call, function, params, images) for n, function in tried.items()})
        brute = program(brute_force(apply, window, offsets, chunk), params, images)
        subjects["jaxcam brute force"], each["jaxcam brute force"] = brute, brute.facts
        theirs = np.asarray(brute(), np.float32)
        facts |= {"chunk": chunk, "difference": float(np.abs(exact - theirs).max() / np.abs(theirs).max())}
        print(f"largest difference from brute force: {facts['difference']:.1e} of the maximum")
    if "coarse" in options.subjects and not options.windows:
        subjects["jaxcam coarse to fine"], each["jaxcam coarse to fine"] = coarse(apply, params, images, options, exact)
    beside = "captum" in options.subjects and options.network == "vgg16" and not (options.windows or options.no_peers)
    if beside and not absent:
        captum = captum_subject(params, images, options.window, options.stride, options.dtype)
        facts["captum"], subjects["captum Occlusion"] = captum
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    facts |= {"dtype": options.dtype, "batch": options.batch, "network": options.network, "shape": [*size, 3]}
    facts |= {"window": options.window, "stride": options.stride, "groups": plan.groups}
    counted: Any = {"per_call": options.batch, "unit": "maps/s", "reference": "jaxcam incremental", "each": each}
    lines = record("occlusion", seconds, **counted, **facts)
    for line in lines:
        line["positions_s"] = round(line["rate"] * len(offsets), 2)
    write("occlusion", lines, options)


def coarse(apply: Any, params: Any, images: Any, options: Any, exact: np.ndarray) -> tuple[Callable, dict[str, Any]]:
    """Coarse to fine, with how well its ranks agree with the exact map's."""
    from scipy.stats import spearmanr

    targets = jnp.arange(len(images))

    def function(params, images):
        return attribution.occlusion_coarse_to_fine(
            lambda x: apply(params, x), images, targets, options.window, options.stride, keep=options.keep
        )

    compiled = program(function, params, images)
    found = np.asarray(compiled()).reshape(len(images), -1)
    if found.shape[1] != exact.shape[1]:
        return compiled, compiled.facts | {"keep": options.keep}
    drops = [-exact[row, :, row] for row in range(len(images))]
    ranks = [spearmanr(mine, true).statistic for mine, true in zip(found, drops, strict=True)]
    print(f"coarse to fine: rank correlation {np.mean(ranks):.3f} with the exact map")
    return compiled, compiled.facts | {"keep": options.keep, "rank_correlation": round(float(np.mean(ranks)), 3)}


if __name__ == "__main__":
    main()
