"""How fast are filter patterns, beside the book's loop over channels and steps (Keras on JAX) on the same weights?

VGG16 with random weights, float32, the book's recipe (mean of the channel, normalised gradient, noise around 128), 64
channels. `keras, one program` compiles a step whose channel is an argument and calls it for every channel and step, as
the book's third edition does; `keras, a program a channel` compiles a step for every channel, as the first edition
does. Both are timed on `--channels-timed` channels, and counted for all. `--loops` tells what gradients in loops cost.
"""

import argparse
import os
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Seconds, arguments, interleaved, missing, record, write
from jax import lax

from jaxcam import networks
from jaxcam.attribution.features.ascent import grey_noise, plain_patterns
from jaxcam.attribution.features.responses import stage_response
from jaxcam.attribution.loops import loop_ready

CHECKED = 5


def keras_extractor(params: Any, stage: str) -> Any:
    """Keras' own VGG16 up to a layer, with our weights, as a function of the images."""
    import keras

    model = keras.applications.VGG16(weights=None, include_top=False)
    for layer in model.layers:
        if layer.name in params:
            layer.set_weights([np.asarray(params[layer.name][name]) for name in ("kernel", "bias")])
    return keras.Model(model.inputs, model.get_layer(stage).output)


def keras_step(extractor: Any, image: Any, channel: Any) -> Any:
    """One step of the book's loop."""
    loss = lambda image: extractor(image)[:, :, :, channel].mean()
    gradient = jax.grad(loss)(image)
    return image + gradient / (jnp.sqrt(jnp.mean(jnp.square(gradient))) + 1e-5)


def book_loop(extractor: Any, starts: np.ndarray, steps: int, *, program_each: bool) -> list[np.ndarray]:
    """The book's two loops: over channels, and over steps."""
    shared = jax.jit(partial(keras_step, extractor))
    found = []
    for channel, start in enumerate(starts):
        image = jnp.asarray(start[None])
        step = (
            jax.jit(partial(keras_step, extractor, channel=channel))
            if program_each
            else partial(shared, channel=channel)
        )
        for _ in range(steps):
            image = step(image)
        found.append(np.asarray(image)[0])
    return found


def loops(size: int, options: argparse.Namespace) -> None:
    """Milliseconds of an input gradient through a 3x3 convolution: by itself, in a loop, and in a loop made ready."""

    def slope(images, kernel):
        convolve = lambda x: lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return images + jax.grad(lambda x: jax.nn.relu(convolve(x)).sum())(images)

    repeated = lambda step: jax.jit(lambda x, kernel: lax.fori_loop(0, 10, lambda _, x: step(x, kernel), x))
    alone, looped, ready = jax.jit(slope), repeated(slope), repeated(loop_ready(slope))

    def ten(images, kernel):
        for _ in range(10):
            images = alone(images, kernel)
        return images

    images, kernel = jnp.ones((8, size, size, 64)), jnp.full((3, 3, 64, 64), 1e-3)
    subjects = {"fori_loop": looped, "ten calls": ten, "fori_loop, loop_ready": ready}
    calls = {name: partial(lambda f: jax.block_until_ready(f(images, kernel)), f) for name, f in subjects.items()}
    seconds = interleaved(calls, rounds=max(3, options.rounds))
    lines = record("input gradient in a loop", seconds, per_call=10, unit="steps/s", reference="fori_loop",
                   dtype="float32", batch=8, size=size)  # fmt: skip
    write("filters", lines, options)


def main() -> None:
    """Measure one stage and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--stage", default="block1_conv1")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--channels-timed", type=int, default=8, help="channels that Keras' loops are timed on")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--at-once", type=int, help="default: 16 for the first stage, 2 for the others")
    parser.add_argument("--loops", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.channels, options.channels_timed, options.size, options.steps, options.rounds = 4, 1, 32, 3, 1
    if options.loops:
        return loops(24, options)
    at_once = options.at_once or (16 if options.stage == "block1_conv1" else 2)
    chain, params = networks.build("vgg16", head=None, key=jax.random.key(0), input_size=(options.size,) * 2)
    channels, size = jnp.arange(options.channels), (options.size, options.size)

    @partial(jax.jit, static_argnames="steps")
    def ours(params, steps=options.steps):
        response = stage_response(chain, params, options.stage)
        return plain_patterns(response, channels, key=jax.random.key(1), size=size, steps=steps, at_once=at_once).images

    subjects: dict[str, Any] = {}
    facts: dict[str, Any] = {"peers_missing": missing("keras")}
    timed = options.channels_timed
    if not facts["peers_missing"]:
        starts = np.asarray(grey_noise(jax.random.key(1), channels[:timed], size))
        extractor = keras_extractor(params, options.stage)
        # After a few steps: later a rounding that turns a ReLU on or off has grown, in any two programs.
        theirs = np.stack(book_loop(extractor, starts, CHECKED, program_each=False))
        found = np.asarray(ours(params, CHECKED))[:timed]
        difference = float(np.abs(theirs - found).max() / np.abs(theirs - starts).max())
        print(f"largest difference of the patterns: {difference:.1e} of the largest change after {CHECKED} steps")
        facts |= {"difference": difference, "keras_channels_timed": timed}
        subjects["keras, one program"] = lambda: book_loop(extractor, starts, options.steps, program_each=False)
        subjects["keras, a program a channel"] = lambda: book_loop(extractor, starts, options.steps, program_each=True)
    subjects["jaxcam"] = lambda: jax.block_until_ready(ours(params))
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    for name in set(subjects) - {"jaxcam"}:
        scaled = Seconds()
        scaled.extend(value * options.channels / timed for value in seconds[name])
        scaled.cpu = [value * options.channels / timed for value in seconds[name].cpu]
        scaled.facts = seconds[name].facts
        seconds[name] = scaled
    lines = record(
        f"filter patterns, {options.stage}", seconds, per_call=options.channels, unit="patterns/s",
        reference=next(iter(subjects)), dtype="float32", batch=at_once, size=options.size,
        steps=options.steps, channels=options.channels, **facts,
    )  # fmt: skip
    write("filters", lines, options)
    for line in lines:
        print(f"{line['subject']:28} {line['cpu_s']:9.2f} processor seconds")


if __name__ == "__main__":
    main()
