"""Endless shuffled batches: the same for any number of processes, to be resumed after any batch.

stream = Stream(images, preprocessing, batch_size=256, seed=0, process_index=jax.process_index(),
                process_count=jax.process_count())
for batch, state in stream.batches(saved_state):
    pixels, labels, mask = on_devices(batch)
    ...                                        # save `state` (plain JSON) with the parameters
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Int

from jaxcam import devices
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import Batch, Pieces, deliver, epoch_order
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

_ENDLESS = 2**40
State = dict[str, int]
"""what `Stream.batches` gives beside a batch: enough to go on after it; plain JSON"""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The batches of one process.

    A global batch is decided by `seed`, epoch and number alone. Process i of n reads the i-th of its n equal parts, so
    the parts side by side are the batch that one process would read, also after a resume with another n. Every epoch
    holds each row once; its last batch is padded.
    """

    images: ImageSet
    preprocessing: Preprocessing
    batch_size: int
    """rows of the global batch, over all processes"""
    seed: int = 0
    shuffle: bool = True
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        if self.batch_size < 1 or not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"got batch_size {self.batch_size}, process {self.process_index} of {self.process_count}; a batch has "
                "at least one row, and processes are counted from 0"
            )
        if self.batch_size % self.process_count:
            raise ValueError(f"batch_size {self.batch_size} does not divide over {self.process_count} processes")
        if not len(self.images):
            raise ValueError("the image set is empty")

    @property
    def batches_an_epoch(self) -> int:
        """Global batches that hold every row once."""
        return -(-len(self.images) // self.batch_size)

    def global_rows(self, step: int) -> Int[np.ndarray, " b"]:
        """Rows of the global batch `step`, counted over all epochs; -1 is padding."""
        return batch_rows(len(self.images), step, batch_size=self.batch_size, seed=self.seed, shuffle=self.shuffle)

    def rows(self, step: int) -> Int[np.ndarray, " b"]:
        """The part of the global batch `step` that this process reads."""
        return own_part(self.global_rows(step), self.process_index, self.process_count)

    def state(self, epoch: int = 0, batch: int = 0) -> State:
        """The state before a batch of an epoch."""
        more, batch = divmod(batch, self.batches_an_epoch)
        facts = {"seed": self.seed, "shuffle": int(self.shuffle), "rows": len(self.images), "size": self.batch_size}
        return {"epoch": epoch + more, "batch": batch, **facts}

    def batches(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        epochs: int | None = None,
        threads: int | None = None,
        ahead: int = 2,
    ) -> Iterator[tuple[Batch, State]]:
        """Batches from `state` (None: the first) up to the end of epoch `epochs` (None: for ever), each with the state
        after it. Decoding runs ahead over the ends of epochs.

        Raises `UserError` where the state belongs to another seed, batch size or number of rows.
        """
        first = self.state() if state is None else dict(state)
        expected = self.state()
        if changed := [key for key in expected if key not in ("epoch", "batch") and first.get(key) != expected[key]]:
            told = ", ".join(f"{key} {first.get(key)} -> {expected[key]}" for key in changed)
            raise UserError(f"the loader's state belongs to another stream ({told}); begin anew")
        each = self.batches_an_epoch
        begin = int(first["epoch"]) * each + int(first["batch"])
        end = begin + _ENDLESS if epochs is None else epochs * each
        size = self.batch_size // self.process_count
        pieces = Pieces(self.images, self.preprocessing, lambda k: self.rows(begin + k), max(0, end - begin), size)
        for number, batch in enumerate(deliver(pieces, threads, ahead), start=begin + 1):
            yield batch, self.state(*divmod(number, each))


def batch_rows(
    count: int, step: int, *, batch_size: int, seed: int, shuffle: bool = True
) -> Int[np.ndarray, " {batch_size}"]:
    """Rows of batch `step` of a set of `count` rows, counted over all epochs; -1 fills up an epoch's last batch."""
    epoch, batch = divmod(step, -(-count // batch_size))
    rows = np.full(batch_size, -1, dtype=np.int64)
    own = _order(count, seed, epoch if shuffle else -1)[batch * batch_size : (batch + 1) * batch_size]
    rows[: len(own)] = own
    return rows


def own_part(rows: Int[np.ndarray, " b"], process_index: int, process_count: int) -> Int[np.ndarray, " m"]:
    """The equal part of a global batch that a process reads; in the order of the processes they make the batch."""
    share = len(rows) // process_count
    return rows[process_index * share : (process_index + 1) * share]


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> Int[np.ndarray, " n"]:
    """The rows of an epoch; of epoch -1 in their own order."""
    return np.arange(count) if epoch < 0 else epoch_order(count, seed=seed, epoch=epoch)


def on_devices(batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Images, labels and mask of a global batch on the devices of all processes, each process bringing its part.

    The part must divide over the process' devices.
    """
    sharding = NamedSharding(devices.mesh(), PartitionSpec("data"))
    host = (batch.images, batch.labels, batch.mask)
    first, second, third = (jax.make_array_from_process_local_data(sharding, array) for array in host)
    return first, second, third
