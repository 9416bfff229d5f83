"""One phase of a run: its inputs, its compiled steps, its epochs."""

import time
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.config import Config, Phase
from jaxcam.data.folder import ImageSet
from jaxcam.data.loader import epoch_order, prefetch_to_device
from jaxcam.errors import UserError
from jaxcam.networks.chain import split_params, split_statistics
from jaxcam.progress import Progress
from jaxcam.training import phases
from jaxcam.training.forward import Forward
from jaxcam.training.inputs import Inputs, Streamed, gather, in_order, input_leaf, shuffled
from jaxcam.training.late import LateLosses, Waited
from jaxcam.training.step import Sums, TrainState, make_eval_step, make_train_step

AHEAD = 2
"""batches on their way to the devices"""


class PhaseRun:
    """A phase that is ready to run: `state`, then `epoch` after `epoch`."""

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
        self.number, self.seed, self.progress, self.classifier = number, config.seed, progress, classifier
        names = phases.trainable_stages(self.phase, classifier.chain, classifier.network.base_names())
        moving, frozen = split_params(classifier.params, names)
        self.trainable, self.statistics = split_statistics(moving)
        start = phases.last_frozen(names, classifier.chain)
        # Features of varied pictures differ in every epoch: only the pictures themselves can be kept.
        varied = None if self.phase.augment.active else start
        room = config.cache_gib
        self.train, unreadable = gather(classifier, train, varied, cache_gib=room, progress=progress)
        self.valid, more = gather(classifier, valid, start, cache_gib=room - self.train.gib, progress=progress)
        self.tell_skipped(train=unreadable, valid=more)
        self.steps = self.phase.steps or -(-len(self.train) // self.phase.batch_size)
        self.optimiser = phases.optimiser(self.phase, self.steps)
        self.rate = jax.jit(phases.learning_rates(self.phase, self.steps))
        self.classes = len(classifier.class_names)
        self.frozen = devices.replicate(frozen)
        self.class_weights = devices.replicate(phases.class_weights(self.phase, classifier.class_names, train.labels))
        key = jax.random.fold_in(jax.random.key(config.seed), 1 + number)
        forward = Forward(classifier, self.train.start, trained=names, variation=self.phase.augment)
        self.valid_size = max(32, self.phase.batch_size)
        started = time.monotonic()
        everywhere = devices.everywhere()
        train_step: Any = make_train_step(
            forward.training,
            self.optimiser,
            seed_key=key,
            label_smoothing=self.phase.label_smoothing,
            place=everywhere,
        )
        eval_step: Any = make_eval_step(Forward(classifier, self.valid.start), place=everywhere)
        # Ahead of the first batch, so that the seconds are known and no epoch's speed is that of the compiler.
        state, sums, params, weights = abstract(
            (self.first_state(), Sums.zero(self.classes), dict(classifier.params), self.class_weights)
        )
        batch = self.abstract_batch(self.train, self.phase.batch_size)
        self.train_step = train_step.lower(state, sums, abstract(frozen), *batch, weights).compile()
        self.eval_step = eval_step.lower(params, sums, *self.abstract_batch(self.valid, self.valid_size)).compile()
        self.compile_seconds: float | None = time.monotonic() - started

    def first_state(self) -> TrainState:
        """The state before the first step, on one device."""
        # Copies: the step donates its state, and the same arrays still stand in the classifier.
        trainable, statistics = jax.tree.map(jnp.array, (self.trainable, self.statistics))
        return TrainState(trainable, statistics, self.optimiser.init(trainable), jnp.zeros((), jnp.int32))

    def state(self, opt_state: Any = None, step: int = 0) -> TrainState:
        """The state before a step; `opt_state=None` starts the optimiser."""
        state = self.first_state()
        if opt_state is not None:
            state = state._replace(opt_state=jax.tree.map(jnp.array, opt_state))
        return devices.replicate(state._replace(step=jnp.asarray(step, jnp.int32)))

    def abstract_batch(self, inputs: Inputs, batch_size: int) -> list[jax.ShapeDtypeStruct]:
        """Inputs, labels and mask of a batch, without values."""
        leaf = input_leaf(self.classifier, inputs.start)
        size, sharding = devices.padded(batch_size), devices.rows_split()
        kinds = ((leaf.shape, leaf.dtype), ((), jnp.int32), ((), jnp.bool_))
        return [jax.ShapeDtypeStruct((size, *shape), dtype, sharding=sharding) for shape, dtype in kinds]

    def params(self, state: TrainState) -> dict[str, Any]:
        """All parameters of the network."""
        return {**self.frozen, **state.params}

    def epoch(self, state: TrainState, epoch: int) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
        """One epoch of training and one pass over the validation set: the state, the history's line, the timing's."""
        started, waited = time.monotonic(), Waited()
        sums = devices.replicate(Sums.zero(self.classes))
        late = LateLosses(lambda step, loss: self.diverged(step, loss, epoch))
        for step, batch in enumerate(waited.over(self.batches(self.train, self.training_table(epoch)))):
            state, sums, loss = self.train_step(state, sums, self.frozen, *batch, self.class_weights)
            late.add(epoch * self.steps + step + 1, loss)
        late.finish()
        trained, images = sums.numbers(), float(sums.images)
        seconds = time.monotonic() - started
        if epoch == 0:
            self.tell_skipped(train=unreadable(self.train))
        if not images:
            raise UserError("no readable picture in the training set")

        sums, params = devices.replicate(Sums.zero(self.classes)), self.params(state)
        for batch in self.batches(self.valid, in_order(len(self.valid), self.valid_size)):
            sums = self.eval_step(params, sums, *batch)
        judged = sums.numbers()
        if epoch == 0:
            self.tell_skipped(valid=unreadable(self.valid))
        if not float(sums.images):
            raise UserError("no readable picture in the validation set")
        record: dict[str, Any] = {"phase": self.number, "epoch": epoch + 1, "step": int(state.step)}
        record |= {f"train_{k}": float(f"{v:.7g}") for k, v in trained.items() if k != "logit_spread"}
        record |= {f"valid_{k}": round(v, 8) for k, v in judged.items()}
        record["learning_rate"] = float(np.asarray(self.rate(jnp.asarray(record["step"] - 1, jnp.int32))))
        timing: dict[str, Any] = {"phase": self.number, "epoch": epoch + 1}
        timing |= {"seconds": round(time.monotonic() - started, 3), "waiting_seconds": round(waited.seconds, 3)}
        timing["images_per_second"] = round(images / max(seconds, 1e-9), 1)
        if self.compile_seconds is not None:
            timing["compile_seconds"], self.compile_seconds = round(self.compile_seconds, 3), None
        return state, record, timing

    def training_table(self, epoch: int) -> np.ndarray:
        """Rows of the batches of an epoch, counted from 0."""

        def order(number: int) -> np.ndarray:
            return epoch_order(len(self.train), seed=self.seed, epoch=1000 * self.number + number)

        return shuffled(len(self.train), self.phase.batch_size, epoch=epoch, steps=self.steps, order=order)

    def batches(self, inputs: Inputs, table: np.ndarray) -> Iterable[tuple[jax.Array, ...]]:
        """The batches of a table on the devices, the next ones on their way."""
        return prefetch_to_device(inputs.epoch(table), lambda batch: devices.assemble(tuple(batch)), depth=AHEAD)

    def diverged(self, step: int, loss: float, epoch: int) -> None:
        """End a training that has become nonsense."""
        raise UserError(
            f"training diverged: the loss is {loss} at step {step}, in epoch {epoch + 1} of phase {self.number + 1}; "
            f"give a smaller --phases.{self.number}.learning-rate and another --out"
        )

    def tell_skipped(self, **unreadable: Iterable[tuple[str, str]]) -> None:
        """Name the images of each split that could not be read."""
        for split, pairs in unreadable.items():
            for path, reason in pairs:
                self.progress.say(f"{split}: skipped {path}: {reason}")


def unreadable(inputs: Inputs) -> Iterable[tuple[str, str]]:
    """What could not be read in the epochs so far, where images are decoded anew in each."""
    return inputs.unreadable.items() if isinstance(inputs, Streamed) else ()


def abstract(tree: Any) -> Any:
    """Shapes and dtypes of arrays that will lie on every device."""
    place = devices.everywhere()
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)
