"""What share of a training step does augmentation take? Frozen VGG16 base with a new head, 224x224, one picture set.

The same jitted step (forward through the frozen base, gradient of the head, Adam) with and without augmentation, and
augmentation alone, in turns in one process. The share is (step with - step without) / step with, by processor seconds
on a CPU, where other work may be running, and by wall seconds elsewhere. Also the cost by fill mode, and flips alone.
"""

import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, record, write

from jaxcam.classifier import Classifier
from jaxcam.config import Phase
from jaxcam.data.augment import Augment, augment
from jaxcam.networks import Head, NetworkSpec, split_params
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing
from jaxcam.training.forward import Forward
from jaxcam.training.phases import optimiser, trainable_stages
from jaxcam.training.step import Sums, TrainState, make_train_step

PLACE: dict[str, Any] = {
    "rotation": 20,
    "width_shift": 0.1,
    "height_shift": 0.1,
    "shear": 10,
    "zoom": 0.2,
    "horizontal_flip": True,
}
COLOUR: dict[str, Any] = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 10}
VARIATIONS = {
    "flips": Augment(horizontal_flip=True, vertical_flip=True),
    "warp": Augment(**PLACE),
    "warp, reflect": Augment(**PLACE, fill="reflect"),
    "warp and colour": Augment(**PLACE, **COLOUR),
}


def main() -> None:
    """Measure one batch size and append the lines."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--network", choices=("vgg16", "vgg16_mini"), default="vgg16")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.network, options.rounds = 2, "vgg16_mini", min(options.rounds, 3)
    spec = NetworkSpec(
        name=options.network, classes=10, head=Head(kind="cam"), base_end="block5_conv3", dtype=options.dtype
    )
    chain = spec.chain()
    params = fresh_params(chain, jax.random.key(0), spec.shape)
    classifier = Classifier(spec, params, Preprocessing.named("keras"), tuple("abcdefghij"))
    phase = Phase(trainable="head", epochs=1)
    trainable, frozen = split_params(params, trainable_stages(phase, chain, spec.base_names()))
    rows = np.random.default_rng(0)
    images = jnp.asarray(rows.integers(0, 256, (options.batch, 224, 224, 3)).astype(np.uint8))
    labels = jnp.asarray(rows.integers(0, 10, options.batch).astype(np.int32))
    mask, weights = jnp.ones(options.batch, bool), jnp.ones(10)
    adam = optimiser(phase, 1)

    def stepper(variation: Augment):
        step = make_train_step(Forward(classifier, variation=variation).training, adam, seed_key=jax.random.key(1))
        place = [TrainState(jax.tree.map(jnp.array, trainable), {}, adam.init(trainable), jnp.asarray(0, jnp.int32))]
        sums = [Sums.zero(10)]

        def call():
            place[0], sums[0], _ = step(place[0], sums[0], frozen, images, labels, mask, weights)
            jax.block_until_ready((place[0], sums[0]))

        return call

    def alone(variation: Augment):
        vary = jax.jit(lambda key: augment(variation, key, images))
        return lambda: jax.block_until_ready(vary(jax.random.key(2)))

    plain = "step without augmentation"
    subjects = {plain: stepper(Augment())}
    subjects |= {f"step with {name}": stepper(variation) for name, variation in VARIATIONS.items()}
    subjects |= {f"{name} alone": alone(variation) for name, variation in VARIATIONS.items()}
    seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
    facts = {"dtype": options.dtype, "batch": options.batch, "network": options.network, "size": [224, 224]}
    lines = record("augmentation", seconds, per_call=options.batch, unit="images/s", reference=plain, **facts)
    on_cpu = jax.default_backend() == "cpu"

    def spent(name: str) -> float:
        return statistics.median(seconds[name].cpu if on_cpu else seconds[name])

    for line in lines:
        name = line["subject"].removesuffix(" alone")
        if line["subject"].startswith("step with "):
            line["share_of_step"] = round(1 - spent(plain) / spent(line["subject"]), 4)
        elif name in VARIATIONS:
            # Alone, so without what fusing with the step saves: the steadier and the larger of the two figures.
            line["share_of_step"] = round(spent(line["subject"]) / (spent(plain) + spent(line["subject"])), 4)
    write("augmentation", lines, options)
    for line in lines:
        if "share_of_step" in line:
            print(f"{line['subject']:28} {100 * line['share_of_step']:6.2f} % of a step")


if __name__ == "__main__":
    main()
