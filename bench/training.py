"""How fast does VGG16 train, beside Keras 3 on JAX and PyTorch doing the same work?

Questions, each with its own lines in `results/training.jsonl`:

- `frozen_step`: the base frozen, end to end: forward through the base, forward and backward through the head
- `block5_step`: block 5 and the head move
- `full_step`: everything moves
- `cached_epoch`: an epoch of the head on kept features, beside the same epoch end to end
- `step_flops`: operations of these steps over those of a forward pass, by XLA's cost analysis

VGG16's convolutions, flatten, dense 256, two logits; SGD with momentum .9. Same random weights, pictures and labels,
one process, all cores, subjects in turns; pictures lie on the device. Keras runs the jitted loop of its guide for JAX
(`stateless_call`, state donated), PyTorch in channels_last. Before anything is timed, the losses of two steps and the
first step's gradient of the lowest kernel that moves are compared. Float32, or bfloat16 with float32 parameters.
The ratio of a line is jaxcam's seconds over its own: 0.5 says that jaxcam is twice as fast. The forward pass alone
runs between the steps. Where Keras or PyTorch are missing they are left out, and the lines say so.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, machine, missing, record, write
from programs import cost_analysis, formula_flops

from jaxcam import devices, networks
from jaxcam.classifier import Classifier
from jaxcam.config import Phase
from jaxcam.data.loader import prefetch_to_device
from jaxcam.networks import Head
from jaxcam.networks.chain import split_params, split_statistics
from jaxcam.networks.convolution import one_operation
from jaxcam.networks.portions import in_whole_batches
from jaxcam.preprocessing import Preprocessing
from jaxcam.training import phases, step
from jaxcam.training.forward import Forward
from jaxcam.training.inputs import Cached

STEPS = {"frozen_step": "head", "block5_step": "block5_conv1", "full_step": "all"}
QUESTIONS = (*STEPS, "cached_epoch", "step_flops")
RATE = 1e-3


class Ours:
    """jaxcam's own training step, on pictures or on the features after the stage `start`."""

    def __init__(self, classifier: Classifier, trainable: str, batch: int, *, start: str | None = None):
        phase = Phase(trainable=trainable, optimiser="sgd", learning_rate=RATE, batch_size=batch)
        self.names = phases.trainable_stages(phase, classifier.chain, classifier.network.base_names())
        moving, frozen = split_params(classifier.params, self.names)
        self.frozen = devices.replicate(frozen)
        optimiser = phases.optimiser(phase, 1)
        self.weights = jnp.ones((len(classifier.class_names),))
        forward = Forward(classifier, start, self.names)
        self.step: Any = step.make_train_step(
            forward.training, optimiser, seed_key=jax.random.key(0), place=devices.everywhere()
        )
        trainable_values, statistics = split_statistics(jax.tree.map(jnp.array, moving))
        state = step.TrainState(
            trainable_values, statistics, optimiser.init(trainable_values), jnp.zeros((), jnp.int32)
        )
        self.state = devices.replicate(state)
        self.sums = devices.replicate(step.Sums.zero(len(classifier.class_names)))

    def __call__(self, inputs: Any, labels: Any, mask: Any) -> jax.Array:
        """One step; its loss."""
        self.state, self.sums, loss = self.step(self.state, self.sums, self.frozen, inputs, labels, mask, self.weights)
        return loss

    def finished(self, *batch: Any) -> jax.Array:
        """One step, waited for; its loss."""
        loss = self(*batch)
        jax.block_until_ready((loss, self.state))
        return loss

    def gradient(self, stage: str) -> np.ndarray:
        """Of the stage's kernel, after the first step: what the momentum then holds."""
        found = [x for path, x in jax.tree.leaves_with_path(self.state.opt_state) if stage in str(path)]
        return np.asarray(next(x for x in found if x.ndim > 1))

    def flops(self, *batch: Any) -> float:
        """Operations of a step by XLA's cost analysis."""
        with in_whole_batches(), one_operation():  # the analysis counts a loop's body once; here all, by definition
            lowered = self.step.lower(self.state, self.sums, self.frozen, *batch, self.weights)
        return cost_analysis(lowered.compile())["flops"]

    def gflop(self, *batch: Any) -> float:
        """Operations of a step by formula."""
        return formula_flops(self.step, self.state, self.sums, self.frozen, *batch, self.weights)[0] / 1e9


def compare(ours: Ours, batch: tuple[Any, ...], peers: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Losses of two steps by subject, and the largest difference of a gradient to ours over its largest value."""
    lowest = next(name for name in ours.names if name in ours.state.trainable)
    losses = {"jaxcam": [float(ours(*batch))]}
    gradient = ours.gradient(lowest)
    losses["jaxcam"].append(float(ours(*batch)))
    differences = {}
    for name, peer in peers.items():
        losses[name] = [float(peer())]
        theirs = peer.gradient(lowest).reshape(gradient.shape)
        differences[name] = float(np.abs(theirs - gradient).max() / np.abs(gradient).max())
        losses[name].append(float(peer()))
        told = ", ".join(f"{loss:.6f}" for loss in losses[name])
        print(f"{name}: losses {told} (jaxcam {losses['jaxcam']}), gradient of {lowest} off by {differences[name]:.1e}")
        if not np.allclose(losses[name], losses["jaxcam"], rtol=tolerance, atol=tolerance):
            raise SystemExit(f"{name} does other work: its losses differ")
    return {"losses": losses, "gradient_difference": differences}


def main() -> None:
    """Measure and append the lines."""
    gpu = jax.default_backend() != "cpu"
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--size", type=int, nargs=2, default=[224, 224])
    parser.add_argument("--batch", type=int, default=128 if gpu else 8)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16" if gpu else "float32")
    parser.add_argument("--epoch-images", type=int, default=2048 if gpu else 48)
    parser.add_argument("--no-peers", action="store_true", help="ours only; Keras and PyTorch need not be installed")
    options = parser.parse_args()
    if options.quick:
        options.size, options.batch, options.epoch_images, options.rounds = [64, 64], 2, 8, min(options.rounds, 3)
    size = tuple(options.size)
    head = Head(kind="dense", pool="flatten", hidden=(256,))
    spec = networks.NetworkSpec(name="vgg16", classes=2, head=head, input_size=size, dtype=options.dtype)
    chain = spec.chain()
    params = networks.catalog.fresh_params(chain, jax.random.key(0), spec.shape)
    classifier = Classifier(spec, params, Preprocessing.named("unit", size=size), ("cat", "dog"))
    generator = np.random.default_rng(0)
    count = max(options.batch, options.epoch_images)
    pixels = generator.integers(0, 256, (count, *size, 3)).astype(np.uint8)
    labels = generator.integers(0, 2, count).astype(np.int32)
    first = (pixels[: options.batch], labels[: options.batch], np.ones(options.batch, bool))
    batch = devices.shard(first)
    facts: dict[str, Any] = {"dtype": options.dtype, "batch": options.batch, "shape": [*size, 3]}
    absent = missing("keras", "torch")
    facts |= {"peers_missing": absent}
    forward = jax.jit(classifier.apply)
    forward_gflop = formula_flops(forward, classifier.params, batch[0])[0] / 1e9

    for question, trainable in STEPS.items():
        if question not in options.questions:
            continue
        ours = Ours(classifier, trainable, options.batch)
        peers: dict[str, Any] = {}
        if not options.no_peers:
            moving = {name for name in ours.names if name in params}
            data = (pixels[: options.batch].astype(np.float32) / 255, labels[: options.batch])
            for name, make in peer_steps(absent).items():
                peers[name] = make(params, moving, *data, rate=RATE, dtype=options.dtype)
        checked = compare(ours, batch, peers, 1e-3 if options.dtype == "float32" else 5e-2)
        subjects: dict[str, Callable[[], Any]] = {
            "jaxcam": partial(ours.finished, *batch),
            "jaxcam forward": lambda: jax.block_until_ready(forward(classifier.params, batch[0])),
            **peers,
        }
        work = ours.gflop(*batch)
        each = {name: {"gflop": forward_gflop if name == "jaxcam forward" else work} for name in subjects}
        seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
        counted = {"per_call": options.batch, "unit": "img/s", "reference": "jaxcam"}
        write("training", record(question, seconds, each=each, **counted, **facts, **checked), options)

    if "cached_epoch" in options.questions:
        cached_epoch(classifier, pixels, labels, options, facts)
    if "step_flops" in options.questions:
        step_flops(classifier, batch, facts, options)


def peer_steps(absent: list[str]) -> dict[str, Any]:
    """The peers that are installed."""
    found: dict[str, Any] = {}
    if "keras" not in absent:
        from training_keras import keras_step

        found["keras"] = keras_step
    if "torch" not in absent:
        from training_torch import torch_step

        found["torch"] = torch_step
    return found


def cached_epoch(classifier, pixels, labels, options, facts) -> None:
    """An epoch of the head, end to end and on features that were computed once."""
    chain, last = classifier.chain, classifier.network.base_names()[-1]
    size = options.batch
    rows = options.epoch_images // size * size
    table = np.arange(rows).reshape(-1, size)
    features = jax.jit(partial(classifier.apply, stop=last))
    kept = np.concatenate([np.asarray(features(classifier.params, pixels[i : i + size])) for i in range(0, rows, size)])
    # What comes after the flattening moves, so the step may begin behind it: as the trainer does.
    start = phases.last_frozen(phases.trainable_stages(Phase(), chain, classifier.network.base_names()), chain)
    if start != last:
        kept = np.asarray(chain.apply(classifier.params, jnp.asarray(kept), start=last, stop=start))
    held = {"jaxcam end to end": Cached(None, pixels[:rows], labels[:rows])}
    held["jaxcam on kept features"] = Cached(start, kept, labels[:rows])
    ours = {name: Ours(classifier, "head", size, start=inputs.start) for name, inputs in held.items()}

    def epoch(name):
        for batch in prefetch_to_device(held[name].epoch(table), lambda batch: devices.assemble(tuple(batch))):
            ours[name](*batch)
        return jax.block_until_ready(ours[name].state)

    subjects = {name: partial(epoch, name) for name in held}
    seconds = interleaved(subjects, rounds=min(3, options.rounds), warm_up=options.warm_up)
    counted = {"per_call": rows, "unit": "img/s", "reference": "jaxcam end to end"}
    write("training", record("cached_epoch", seconds, **counted, **facts, epoch_images=rows), options)


def step_flops(classifier, batch, facts, options) -> None:
    """Operations over those of a forward pass."""
    with in_whole_batches(), one_operation():
        lowered = jax.jit(classifier.apply).lower(classifier.params, batch[0])
    forward = cost_analysis(lowered.compile())["flops"]
    lines = []
    for question, trainable in STEPS.items():
        flops = Ours(classifier, trainable, len(batch[0])).flops(*batch)
        line = {"question": "step_flops", "subject": f"jaxcam {question}", **facts, "median_s": None}
        line |= {"rate": round(flops / len(batch[0]) / 1e9, 3), "unit": "GFLOP/img"}
        lines.append(line | {"ratio_to": "forward", "ratio": round(flops / forward, 4)} | machine())
    write("training", lines, options)


if __name__ == "__main__":
    main()
