"""How fast are exact occlusion maps, beside brute force on the same machine and captum on the same weights?

Random weights, float32, 224x224, black windows, all cores, one process, subjects in turns; outputs are compared first.
`--windows N` measures N windows spread over the grid instead of all (captum always runs its own grid); `--profile`
tells where the time of the incremental evaluation goes, stage by stage, and `--plan` what it ought to be.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import interleaved, record, write
from jax import lax

from jaxcam import networks
from jaxcam.attribution.incremental import grid_offsets, incremental

SIZE = (224, 224)


def brute_force(apply: Callable, window: tuple[int, int], offsets: np.ndarray, chunk: int) -> Callable:
    """Every window through the whole network, `chunk` at a time, in one program."""
    rows, columns = (np.arange(length) for length in SIZE)

    def one(params, image, corner):
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


def captum_subject(params: Any, images: Any, window: int, stride: int) -> tuple[str, Callable]:
    """captum's Occlusion with the same weights, in its faster memory layout, with its best perturbations_per_eval."""
    import captum.attr
    import torch
    from torch_vgg16 import torch_vgg16

    def subject(layout, each, window, stride):
        model = torch_vgg16(params).to(memory_format=layout)  # type: ignore[call-overload]
        pixels = torch.from_numpy(np.array(images).transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
        occlusion = captum.attr.Occlusion(model)
        options = {"target": torch.arange(len(pixels)), "perturbations_per_eval": each}
        shapes = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}

        def call():
            with torch.no_grad():
                return occlusion.attribute(pixels, **options, **shapes)

        return call

    layouts = {"default": torch.contiguous_format, "channels_last": torch.channels_last}
    # Chosen on 16 large windows: how long a forward takes does not depend on what the window hides.
    chosen = best({(name, n): subject(layouts[name], n, 64, 64) for name in layouts for n in (1, 4, 8, 16)})
    name = f"captum Occlusion, {chosen[0]}, {chosen[1]} per eval"
    return name, subject(layouts[chosen[0]], chosen[1], window, stride)


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=("vgg16", "resnet50"), default="vgg16")
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--windows", type=int, help="only so many of the grid's windows")
    parser.add_argument("--groups", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--subjects", nargs="+", default=["incremental", "brute", "captum"])
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--profile", action="store_true", help="time every stage of VGG16 and stop")
    options = parser.parse_args()
    window, stride = (options.window, options.window), (options.stride, options.stride)
    offsets = grid_offsets(SIZE, window, stride)
    if options.windows:
        offsets = offsets[np.linspace(0, len(offsets) - 1, options.windows).astype(int)]
    chain, params = networks.build(options.network, key=jax.random.key(0))
    apply = chain.apply
    images = jax.random.normal(jax.random.key(1), (options.batch, *SIZE, 3))
    plan = incremental(lambda x: apply(params, x)).plan(
        images.shape, window=window, offsets=offsets, groups=options.groups
    )
    if options.plan:
        print(plan)
        return
    if options.profile:
        profile(params, images, window, offsets)
        return

    @jax.jit
    def cheap(params, images):
        evaluate = incremental(lambda x: apply(params, x))
        return evaluate(images, window=window, offsets=offsets, groups=options.groups)

    subjects: dict[str, Callable[[], Any]] = {}
    facts: dict[str, Any] = {"predicted_ratio": round(plan.speed_up, 3), "positions": len(offsets)}
    started = time.process_time()
    compiled = cheap.lower(params, images).compile()
    facts |= {"compile_core_s": round(time.process_time() - started, 1)}
    if memory := compiled.memory_analysis():
        facts |= {"temporary_bytes": memory.temp_size_in_bytes}
    subjects["jaxcam incremental"] = partial(call, compiled, params, images)
    if "brute" in options.subjects:
        few = offsets[:16]
        tried = {n: brute_force(apply, window, few, n) for n in (4, 8, 16)}
        chunk = best({n: partial(call, program, params, images) for n, program in tried.items()})
        brute = brute_force(apply, window, offsets, chunk)
        subjects["jaxcam brute force"] = partial(call, brute, params, images)
        ours, theirs = compiled(params, images), brute(params, images)
        facts |= {"chunk": chunk, "difference": float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())}
        print(f"largest difference from brute force: {facts['difference']:.1e} of the maximum")
    if "captum" in options.subjects and options.network == "vgg16" and not options.windows:
        name, subjects["captum Occlusion"] = captum_subject(params, images, options.window, options.stride)
        facts |= {"captum": name}
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=1)
    facts |= {"dtype": "float32", "batch": options.batch, "network": options.network}
    facts |= {"window": options.window, "stride": options.stride, "groups": plan.groups}
    lines = record("occlusion", seconds, per_call=options.batch, unit="maps/s", reference="jaxcam incremental", **facts)
    write("occlusion", lines)


if __name__ == "__main__":
    main()
