"""The training loop: phases, epochs, history, checkpoints, resume."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcam import devices
from jaxcam.checkpoint import Checkpoints
from jaxcam.classifier import Classifier
from jaxcam.config import Config, Phase
from jaxcam.data.augment import Augment, augment
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import epoch_order
from jaxcam.errors import UserError
from jaxcam.files import replace_file
from jaxcam.networks import split_params
from jaxcam.progress import Progress
from jaxcam.training import phases
from jaxcam.training.inputs import Inputs, Streamed, gather
from jaxcam.training.step import Sums, TrainState, make_eval_step, make_train_step

CHECKPOINTS_A_PHASE = 10
UNVARIED = Augment()
DEAD_SPREAD = 1e-6
DEAD = (
    "warning: every picture gets the same logits: the head is dead. Lower --phases.{}.learning-rate, or take the ReLU "
    "out of the head"
)


def fit(
    classifier: Classifier,
    config: Config,
    train: ImageSet,
    valid: ImageSet,
    run: Path,
    *,
    progress: Progress,
) -> Classifier:
    """Train the classifier through the config's phases; continues where the run's last checkpoint stands.

    Writes `history.jsonl` (no times in it: a resumed run gives the same bytes), `timings.jsonl` and `checkpoints/`.
    Raises `UserError` where the loss becomes NaN or infinite.
    """
    with Checkpoints(run / "checkpoints") as checkpoints:
        place, params, opt_state = last_state(checkpoints, classifier, config)
        if place["epoch"]:
            progress.say(f"continuing after epoch {place['epoch']} of phase {place['phase'] + 1}")
        for name in ("history.jsonl", "timings.jsonl"):
            cut_history(run / name, place)
        for number, phase in enumerate(config.phases):
            first = place["epoch"] if number == place["phase"] else 0
            if number < place["phase"] or first >= phase.epochs:
                continue
            job = PhaseRun(replace(classifier, params=params), config, number, train, valid, progress)
            state = job.state(opt_state if first else None, place["step"] if first else 0)
            every = max(1, phase.epochs // CHECKPOINTS_A_PHASE)
            trained, before = trained_stages(classifier, config, number), sum(p.epochs for p in config.phases[:number])
            for epoch in range(first, phase.epochs):
                started = time.monotonic()
                state, record = job.epoch(state, epoch)
                seconds = time.monotonic() - started
                append_line(run / "history.jsonl", record)
                append_line(run / "timings.jsonl", {"phase": number, "epoch": epoch + 1, "seconds": round(seconds, 3)})
                progress.say(epoch_line(record, phase, seconds))
                if (epoch + 1) % every == 0 or epoch + 1 == phase.epochs:
                    moved = {**split_params(params, trained)[0], **state.trainable}
                    loop = {"phase": number, "epoch": epoch + 1, "step": record["step"]}
                    checkpoints.save(before + epoch + 1, {"params": moved, "opt_state": state.opt_state, "loop": loop})
                    if record["valid_logit_spread"] < DEAD_SPREAD:
                        progress.say(DEAD.format(number))
            params |= jax.tree.map(jnp.array, state.trainable)
    return replace(classifier, params=jax.tree.map(jnp.asarray, jax.device_get(params)))


def trained_stages(classifier: Classifier, config: Config, number: int) -> tuple[str, ...]:
    """Stages that have moved by the end of phase `number`."""
    base = classifier.network.base_names()
    moved = [phases.trainable_stages(p, classifier.chain, base) for p in config.phases[: number + 1]]
    return tuple(name for name in classifier.chain.names if any(name in names for names in moved))


def last_state(checkpoints: Checkpoints, classifier: Classifier, config: Config) -> tuple[dict[str, int], dict, Any]:
    """Where the last checkpoint stands, with its parameters and optimiser state; the beginning where there is none."""
    params = dict(classifier.params)
    if not checkpoints.steps:
        return {"phase": 0, "epoch": 0, "step": 0}, params, None
    step = checkpoints.steps[-1]
    place = {key: int(value) for key, value in checkpoints.loop(step).items()}
    phase = config.phases[place["phase"]]
    names = phases.trainable_stages(phase, classifier.chain, classifier.network.base_names())
    opt_state = phases.optimiser(phase, 1).init(split_params(params, names)[0])
    wanted = {
        "params": split_params(params, trained_stages(classifier, config, place["phase"]))[0],
        "opt_state": opt_state,
    }
    restored = checkpoints.restore(step, jax.tree.map(abstract_leaf, wanted))
    return place, {**params, **restored["params"]}, restored["opt_state"]


class PhaseRun:
    """One phase: its inputs, its compiled steps, its optimiser."""

    def __init__(
        self,
        classifier: Classifier,
        config: Config,
        number: int,
        train: ImageSet,
        valid: ImageSet,
        progress: Progress,
    ):
        self.phase: Phase = config.phases[number]
        self.number, self.seed = number, config.seed
        names = phases.trainable_stages(self.phase, classifier.chain, classifier.network.base_names())
        self.trainable, frozen = split_params(classifier.params, names)
        self.frozen = devices.replicate(frozen)
        start = phases.last_frozen(names, classifier.chain)
        # Features of varied pictures differ in every epoch: only the pictures themselves can be kept.
        varied = None if self.phase.augment.active else start
        self.progress, room = progress, config.cache_gib
        self.train, unreadable = gather(classifier, train, varied, cache_gib=room, progress=progress)
        self.valid, more = gather(classifier, valid, start, cache_gib=room - self.train.gib, progress=progress)
        self.tell_skipped(train=unreadable, valid=more)
        self.steps = -(-len(self.train) // self.phase.batch_size)
        self.optimiser = phases.optimiser(self.phase, self.steps)
        self.rate = jax.jit(phases.learning_rates(self.phase, self.steps))
        self.class_weights = phases.class_weights(self.phase, classifier.class_names, train.labels)
        self.classes = len(classifier.class_names)
        self.forward = forward_from(classifier, self.train, self.phase.augment)
        key = jax.random.fold_in(jax.random.key(config.seed), 1 + number)
        self.train_step = make_train_step(self.forward, self.optimiser, seed_key=key)
        self.eval_step = make_eval_step(forward_from(classifier, self.valid))

    def state(self, opt_state: Any, step: int) -> TrainState:
        """The state before a step; `opt_state=None` starts the optimiser."""
        # Copies: the step donates its state, and the same arrays still stand in the classifier.
        trainable = jax.tree.map(jnp.array, self.trainable)
        opt_state = self.optimiser.init(trainable) if opt_state is None else opt_state
        return devices.replicate(TrainState(trainable, opt_state, jnp.asarray(step, jnp.int32)))

    def epoch(self, state: TrainState, epoch: int) -> tuple[TrainState, dict[str, Any]]:
        """One pass over the training set and one over the validation set; reads the device once, at the end."""
        sums = devices.replicate(Sums.zero(self.classes))
        order = epoch_order(len(self.train), seed=self.seed, epoch=1000 * self.number + epoch)
        for batch in self.train.epoch(order, self.phase.batch_size):
            state, sums = self.train_step(state, sums, self.frozen, *devices.shard(tuple(batch)), self.class_weights)
        valid = devices.replicate(Sums.zero(self.classes))
        params = {**self.frozen, **state.trainable}
        for batch in self.valid.epoch(np.arange(len(self.valid)), max(32, self.phase.batch_size)):
            valid, _ = self.eval_step(params, valid, *devices.shard(tuple(batch)))
        record: dict[str, Any] = {"phase": self.number, "epoch": epoch + 1, "step": int(state.step)}
        record |= {f"train_{k}": round(v, 6) for k, v in sums.numbers().items() if k != "logit_spread"}
        record |= {f"valid_{k}": round(v, 8) for k, v in valid.numbers().items()}
        record["learning_rate"] = float(np.asarray(self.rate(state.step - 1)))
        if epoch == 0:
            streamed = {"train": self.train, "valid": self.valid}
            self.tell_skipped(**{k: v.unreadable.items() for k, v in streamed.items() if isinstance(v, Streamed)})
        for split, found in (("training", sums), ("validation", valid)):
            if not found.images:
                raise UserError(f"no readable picture in the {split} set")
        if not math.isfinite(record["train_loss"]):
            raise UserError(
                f"training diverged: the loss is {record['train_loss']} after epoch {epoch + 1} of phase "
                f"{self.number + 1}; give a smaller --phases.{self.number}.learning-rate and another --out"
            )
        return state, record

    def tell_skipped(self, **unreadable: Iterable[tuple[str, str]]) -> None:
        """Name the images of each split that could not be read."""
        for split, pairs in unreadable.items():
            for path, reason in pairs:
                self.progress.say(f"{split}: skipped {path}: {reason}")


def forward_from(classifier: Classifier, inputs: Inputs, variation: Augment = UNVARIED):
    """`forward(params, inputs, train=..., key=...)` from images, varied when training, or from features."""
    chain, start = classifier.chain, inputs.start

    def forward(params, x, *, train: bool, key):
        if start is None:
            if train and variation.active:
                x = augment(variation, jax.random.fold_in(key, len(chain.stages)), x)
            x = classifier.preprocessing.normalise(x)
        return chain.apply(params, x, start=start, train=train, key=key)

    return forward


def abstract_leaf(leaf: Any) -> Any:
    """Shape, dtype and replicated sharding of an array, for restoring."""
    array = devices.replicate(leaf)
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def cut_history(path: Path, place: Mapping[str, int]) -> None:
    """Keep the history up to a checkpoint; what was written after it will be computed again."""
    if not path.exists():
        return
    kept = ""
    for line in path.read_text().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            break
        if (record["phase"], record["epoch"]) > (place["phase"], place["epoch"]):
            break
        kept += line
    replace_file(path, kept.encode())


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON object as a line."""
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")


def epoch_line(record: Mapping[str, Any], phase: Phase, seconds: float) -> str:
    """An epoch in words."""
    return (
        f"phase {record['phase'] + 1} epoch {record['epoch']}/{phase.epochs}: "
        f"loss {record['train_loss']:.4f} accuracy {record['train_accuracy']:.3f} | "
        f"validation loss {record['valid_loss']:.4f} accuracy {record['valid_accuracy']:.3f} ({seconds:.1f} s)"
    )
