"""jaxcam's forms of convolutions beside XLA's own, on a CPU, for the forward pass and the gradient of the images.

Depthwise convolutions are sums of shifted products (MobileNet, Xception), wide 3x3 ones need fewer multiplications
(VGG16, ResNet50). The same chain, the same weights; results are compared first. On accelerators both subjects are the
convolution.
"""

import argparse

import jax
import numpy as np
from harness import arguments, interleaved, record, write
from programs import program

from jaxcam import networks
from jaxcam.networks.convolution import one_operation


def measure(options: argparse.Namespace, name: str, question: str) -> None:
    """A forward pass, or the gradient with respect to the images, of one network."""
    size = (options.size, options.size)
    chain, params = networks.build(name, key=jax.random.key(0), input_size=size)
    images = jax.random.normal(jax.random.key(1), (options.batch, *size, 3))

    def apply(params, images):
        if question == "forward":
            return chain.apply(params, images)
        return jax.grad(lambda x: chain.apply(params, x)[:, 0].sum())(images)

    subjects = {"jaxcam": program(apply, params, images)}
    with one_operation():
        # A function of its own: what jit traced for the other one is of no use here.
        subjects["convolution"] = program(lambda params, images: apply(params, images), params, images)
    results = [np.asarray(subject()) for subject in subjects.values()]
    difference = float(np.abs(results[0] - results[1]).max() / np.abs(results[1]).max())
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    facts = {"network": name, "dtype": "float32", "batch": options.batch, "shape": [*size, 3], "difference": difference}
    write(
        "convolutions",
        record(question, seconds, per_call=options.batch, unit="img/s", reference="jaxcam", **facts),
        options,
    )


def main() -> None:
    """Measure both questions of both networks and append the lines."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--networks", nargs="+", default=["vgg16", "resnet50", "mobilenet", "xception"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    if options.quick:
        options.size, options.batch, options.networks = 64, 2, ["mobilenet"]
    for name in options.networks:
        for question in ("forward", "gradient"):
            measure(options, name, question)


if __name__ == "__main__":
    main()
