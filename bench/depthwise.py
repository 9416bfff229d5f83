"""Depthwise convolutions on a CPU: MobileNet as a sum of shifted products beside XLA's own convolution.

The same chain, the same weights; the logits are compared first. On accelerators both subjects are the convolution.
"""

import argparse

import jax
import numpy as np
from harness import arguments, interleaved, record, write
from programs import program

from jaxcam import networks
from jaxcam.networks.depthwise import one_operation


def measure(options: argparse.Namespace, name: str, question: str) -> None:
    """A forward pass, or the gradient with respect to the images, of one network."""
    size = (options.size, options.size)
    chain, params = networks.build(name, key=jax.random.key(0), input_size=size)
    images = jax.random.normal(jax.random.key(1), (options.batch, *size, 3))

    def apply(params, images):
        if question == "depthwise_forward":
            return chain.apply(params, images)
        return jax.grad(lambda x: chain.apply(params, x)[:, 0].sum())(images)

    subjects = {"sum of products": program(apply, params, images)}
    with one_operation():
        # A function of its own: what jit traced for the other one is of no use here.
        subjects["convolution"] = program(lambda params, images: apply(params, images), params, images)
    results = [np.asarray(subject()) for subject in subjects.values()]
    difference = float(np.abs(results[0] - results[1]).max() / np.abs(results[1]).max())
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    facts = {"network": name, "dtype": "float32", "batch": options.batch, "shape": [*size, 3], "difference": difference}
    write(
        "depthwise",
        record(question, seconds, per_call=options.batch, unit="img/s", reference="sum of products", **facts),
        options,
    )


def main() -> None:
    """Measure both questions of both networks and append the lines."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--networks", nargs="+", default=["mobilenet", "xception"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    if options.quick:
        options.size, options.batch, options.networks = 64, 2, ["mobilenet"]
    for name in options.networks:
        for question in ("depthwise_forward", "depthwise_gradient"):
            measure(options, name, question)


if __name__ == "__main__":
    main()
